/** What a pool of sessions says of itself in the log, unless it is told not to. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Logger, LogLevel, Redacted, TestClock } from "effect"
import { PgPool } from "effect-pgpool"
import { makeAuthority } from "../support/certificates.js"
import { eventually, makePool, serverUrl } from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

const full = { name: "shop", maxsize: 2, maxoverflow: 2, acquireTimeout: "1 hour", expires: "1 day" } as const

/** Two requests do something else while they hold their connections, and a third one waits. */
const starve = (pool: PgPool.PgPool) =>
  Effect.gen(function*() {
    const call = Effect.withSpan(Effect.never, "http.client POST")
    yield* Effect.forkScoped(pool.use(() => call).pipe(Effect.withSpan("transfer")))
    yield* Effect.forkScoped(pool.use(() => call).pipe(Effect.withSpan("transfer")))
    yield* eventually(pool.stats, ({ busy }) => busy === 2)
    yield* Effect.forkScoped(pool.use(() => Effect.void))
    yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
  })

const advised = "WARN shop: connections are held while nothing runs on them: 2 in http.client POST"

describe("R36: the advice of a pool of sessions", () => {
  it.scoped("is on by default: it tells that connections are held while nothing runs on them", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool } = yield* makePool(full)
        yield* starve(pool)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs, [advised])
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs, [advised, advised])
      })
    ))

  it.scoped("statements that run are no reason for it", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ ...full, queryTimeout: "1 hour" })
        yield* Effect.forkScoped(sql`SELECT pg_sleep(60)`)
        yield* Effect.forkScoped(sql`SELECT pg_sleep(60)`)
        yield* eventually(pool.holders, (all) => all.filter(({ isRunning }) => isRunning).length === 2)
        yield* Effect.forkScoped(sql`SELECT 1`)
        yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs, [])
      })
    ))

  it.scoped("advice: false, or PGPOOL_ADVICE=false, switches it off, and the line for refusals", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const quiet = { ...full, acquireTimeout: "90 seconds", outageTimeout: 0 } as const
        const { pool } = yield* makePool({ ...quiet, advice: false })
        const layer = Layer.provide(
          PgPool.layerFromEnv({ ...quiet, url: serverUrl }),
          Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PGPOOL_ADVICE", "false"]])))
        )
        const other = Context.get(yield* Layer.build(layer), PgPool.PgPool)
        const noisy = yield* makePool(quiet)
        for (const each of [pool, other, noisy.pool]) yield* starve(each)
        yield* TestClock.adjust("100 seconds")
        for (const each of [pool, other, noisy.pool]) assert.strictEqual((yield* each.stats).refused.acquireTimeout, 1)
        assert.strictEqual(logs.length, 2)
        assert.strictEqual(logs[0], advised)
        assert.match(
          logs[1],
          /^WARN shop: A caller was refused\. No connection after 90000 ms .*Held: 2 taken in transfer/
        )
      })
    ))
})

describe("R29: the settings in the log", () => {
  const settingsWith = (options: PgPool.PgPoolOptions) =>
    withLogs((logs) =>
      Effect.as(Effect.scoped(makePool(options)), logs).pipe(Logger.withMinimumLogLevel(LogLevel.Debug))
    ).pipe(Effect.map((logs) => logs.filter((line) => line.includes("Settings"))))

  it.effect("are in one line, at Debug only", () =>
    Effect.gen(function*() {
      const options = { name: "shop", maxsize: 3, maxwait: 200, prepare: 50, warm: 0 }
      const lines = yield* settingsWith(options)
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0], /^DEBUG shop: Settings: hosts 127\.0\.0\.1:\d+, database \w+, username \w+, /)
      for (
        const setting of [
          "maxsize 3",
          "maxoverflow 20",
          "maxwait 200ms",
          "whenFull wait",
          "acquireTimeout 30s",
          "expires 10m",
          "idleTimeout off",
          "prepare 50",
          "multiplex off",
          "onConnect false",
          "ssl off",
          "advice true"
        ]
      ) assert.include(lines[0].split(": ")[2].split(", "), setting)
      assert.notInclude(lines[0], "\n")
      const atInfo = yield* withLogs((logs) => Effect.as(Effect.scoped(makePool(options)), logs))
      assert.deepStrictEqual(atInfo, [])
    }))

  it.effect("have no password, URL, credential or key in them", () =>
    Effect.gen(function*() {
      const authority = makeAuthority("test authority")
      const { cert, key } = authority.issue("ada")
      const secrets: ReadonlyArray<PgPool.PgPoolOptions> = [
        { url: Redacted.make("postgresql://ada:s3cret@db/shop?password=s3cret") },
        { host: "db", password: Redacted.make("s3cret"), spanAttributes: { "x.token": "s3cret" } },
        { host: "db", password: Effect.succeed(Redacted.make("s3cret")), onConnect: () => Effect.void },
        { host: "db", ssl: { ca: authority.cert, cert, key } }
      ]
      for (const options of secrets) {
        const [line] = yield* settingsWith(options)
        assert.match(line, /hosts db:\d+, /)
        assert.notMatch(line, /s3cret|postgresql:\/\/|BEGIN|PRIVATE|@/)
      }
    }))
})
