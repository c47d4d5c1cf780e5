import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, LogLevel, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import { randomBytes } from "node:crypto"
import { inspect } from "node:util"
import * as Proxy from "../../src/internal/testing/proxy.js"
import {
  causeTagOf,
  codeOf,
  eventually,
  makePool,
  makeTable,
  promptly,
  serverUrl,
  uniqueName,
  watch
} from "../support/pgPool.js"
import { traced } from "../support/spans.js"

/** A role whose password can be changed on the server, and the place where the current one can be had. */
const makeRole = Effect.gen(function*() {
  const server = yield* watch()
  const name = uniqueName()
  let current = "the first one"
  const turn = Effect.unsafeMakeSemaphore(1)
  yield* Effect.acquireRelease(
    server.query(`CREATE ROLE ${name} LOGIN PASSWORD '${current}'`),
    () => server.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`)
  )
  const change = Effect.gen(function*() {
    const next = randomBytes(12).toString("hex")
    yield* server.query(`ALTER ROLE ${name} PASSWORD '${next}'`)
    current = next
  }).pipe(turn.withPermits(1))
  const password = turn.withPermits(1)(Effect.sync(() => Redacted.make(current)))
  return { name, server, change, password }
})

/** The address of the server for a role, without a password. */
const urlFor = (name: string, url = serverUrl): Redacted.Redacted => {
  const changed = new URL(Redacted.value(url))
  changed.username = name
  changed.password = ""
  return Redacted.make(changed.href)
}

/** Statements and transactions of many fibers, until `during` has ended. Gives how many there were, and what failed. */
const load = <A, E, R>(
  { client }: PgPool.PgPool,
  table: string,
  seconds: number,
  during: Effect.Effect<A, E, R>
): Effect.Effect<{ done: number; failures: Array<unknown> }, E, R> =>
  Effect.gen(function*() {
    let done = 0
    let isOver = false
    const failures: Array<unknown> = []
    const once = (n: number) =>
      n % 5 === 0
        ? client.withTransaction(client`INSERT INTO ${client(table)} (id) VALUES (1)`)
        : client`SELECT pg_sleep(${seconds})`
    const caller = (n: number) =>
      Effect.iterate(0, {
        while: () => !isOver,
        body: () =>
          Effect.match(once(n), { onFailure: (error) => failures.push(error), onSuccess: () => done++ }).pipe(
            Effect.zipLeft(Effect.yieldNow())
          )
      })
    const over = Effect.ensuring(during, Effect.sync(() => isOver = true))
    yield* Effect.all([Effect.forEach(Array.from({ length: 10 }, (_, n) => n), caller, { concurrency: 10 }), over], {
      concurrency: 2
    })
    return { done, failures }
  })

const makeLedger = (role: string) =>
  Effect.gen(function*() {
    const { name } = yield* makeTable("id integer")
    const server = yield* watch()
    yield* server.query(`GRANT ALL ON ${name} TO ${role}`)
    return { name, count: Effect.map(server.query(`SELECT 1 FROM ${name}`), (rows) => rows.length) }
  })

describe("R20: a password that is an Effect", () => {
  it.scopedLive("R20: is changed again and again under load, and no statement fails", () =>
    Effect.gen(function*() {
      const role = yield* makeRole
      const table = yield* makeLedger(role.name)
      const { pool } = yield* makePool({
        url: urlFor(role.name),
        password: role.password,
        maxsize: 4,
        maxwait: 5,
        maxoverflow: 6,
        connectConcurrency: 4,
        acquireTimeout: "20 seconds",
        expires: 60
      })
      const rotations = Effect.gen(function*() {
        for (let i = 0; i < 10; i++) {
          const { opened } = yield* pool.stats
          yield* role.change
          // More than there can be at once: a connect that is under way meets one change only.
          yield* eventually(pool.stats, (stats) => stats.opened >= opened + 8)
        }
      })
      const { done, failures } = yield* load(pool, table.name, 0.001, rotations)
      assert.deepStrictEqual(failures, [])
      assert.isAbove(done, 100)
      assert.isAbove(yield* table.count, 0)
      assert.isAtLeast((yield* pool.stats).opened, 80)
    }), 60_000)

  it.scopedLive("R20: one that is changed after it was read, and before the server saw it, is asked for again", () =>
    Effect.gen(function*() {
      const role = yield* makeRole
      let asked = 0
      const password = Effect.tap(role.password, () => ++asked === 1 ? role.change : Effect.void)
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: urlFor(role.name, proxy.url), password })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      assert.deepInclude(yield* pool.stats, { opened: 1, size: 1 })
      assert.strictEqual(asked, 2)
      assert.strictEqual(proxy.accepted, 2)
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 1)
    }))

  it.scopedLive("R20: a wrong one is tried once if it stays the same, and twice if it is always another one", () =>
    Effect.gen(function*() {
      const passwords: Array<[password: PgPool.PgPoolOptions["password"], dials: number]> = [
        [Redacted.make("wrong"), 1],
        [Effect.sync(() => Redacted.make("wrong")), 1],
        [Effect.sync(() => Redacted.make(uniqueName())), 2]
      ]
      for (const [password, dials] of passwords) {
        const proxy = yield* Proxy.start(serverUrl)
        const { sql } = yield* makePool({ url: proxy.url, password })
        const error = yield* promptly(Effect.flip(sql`SELECT 1`))
        assert.strictEqual(codeOf(error), "28P01")
        assert.isFalse(PgError.isRetryable(error))
        assert.strictEqual(proxy.accepted, dials)
      }
    }))

  it.scopedLive("R20: listeners reconnect with the new one", () =>
    Effect.gen(function*() {
      const role = yield* makeRole
      const { app, pool, server } = yield* makePool({ url: urlFor(role.name), password: role.password })
      const channel = uniqueName()
      const heard: Array<string> = []
      yield* Effect.fork(Stream.runForEach(pool.listen(channel), ({ _tag }) => Effect.sync(() => heard.push(_tag))))
      const [{ pid }] = yield* server.until(app, (sessions) => sessions.some(({ query }) => query.includes(channel)))
      yield* role.change
      yield* server.terminate(pid)
      yield* eventually(Effect.succeed(heard), (heard) => heard.includes("Reconnected"))
    }))
})

describe("R20: a password that can't be had", () => {
  const providers: Record<string, [password: Effect.Effect<any, unknown>, words: string]> = {
    "fails": [Effect.fail("the vault is shut"), "the vault is shut"],
    "dies, as a rejected promise": [Effect.promise(() => Promise.reject(new Error("no such key"))), "no such key"],
    "throws": [
      Effect.suspend(() => {
        throw new Error("a mistake")
      }),
      "a mistake"
    ],
    "gives no Redacted": [Effect.succeed("s3cret"), "Redacted.make makes, and not string"],
    "gives nothing": [Effect.succeed(undefined), "Redacted.make makes, and not undefined"]
  }
  for (const [name, [password, words]] of Object.entries(providers)) {
    it.scopedLive(`R20: since its effect ${name}: a typed error that says so`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ password })
        const error = yield* promptly(Effect.flip(sql`SELECT 1`))
        assert.strictEqual(error._tag, "SqlError")
        assert.include(error.message, "the password could not be had")
        assert.include(error.message, words)
        assert.notInclude(inspect(error, { depth: Infinity }), "s3cret")
        assert.isFalse(PgError.isRetryable(error))
        assert.strictEqual((yield* pool.stats).size, 0)
      }))
  }

  it.scopedLive("R20: since its effect does not end: connectTimeout holds, and the next one may go well", () =>
    Effect.gen(function*() {
      const url = new URL(Redacted.value(serverUrl))
      let hangs = true
      const password = Effect.suspend(() => hangs ? Effect.never : Effect.succeed(Redacted.make(url.password)))
      const options = { password, connectTimeout: 100 }
      const impatient = yield* makePool({ ...options, acquireTimeout: 300, outageTimeout: 300 })
      const error = yield* promptly(Effect.flip(impatient.sql`SELECT 1`))
      assert.strictEqual(causeTagOf(error), "PoolExhausted")
      assert.include(error.message, "connectTimeout")
      const { pool, sql } = yield* makePool({ ...options, connectTimeout: 1000 })
      const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* eventually(pool.stats, ({ closed }) => closed.failed > 0)
      hangs = false
      assert.deepStrictEqual(yield* caller, [{ one: 1 }])
    }))
})

describe("R20: the good connections go on serving everybody", () => {
  const hour = { validateAfterIdle: "1 hour", expires: "1 hour" } as const

  /** A pool that keeps two connections and always wants more, and what becomes of their password. */
  const goesOn = (becomes: "changed" | "unavailable" | "awaited") =>
    Effect.gen(function*() {
      const role = yield* makeRole
      const table = yield* makeLedger(role.name)
      const first = yield* role.password
      let isLost = false
      const { pool } = yield* makePool({
        ...hour,
        url: urlFor(role.name),
        password: becomes === "changed"
          ? first
          : Effect.suspend(() =>
            !isLost ? role.password : becomes === "awaited" ? Effect.never : Effect.fail("the vault is shut")
          ),
        maxsize: 2,
        maxwait: 5,
        maxoverflow: 4,
        acquireTimeout: "20 seconds",
        connectTimeout: 500,
        warm: 2
      })
      yield* eventually(pool.stats, ({ idle }) => idle === 2)
      isLost = true
      yield* role.change
      const { done, failures } = yield* load(
        pool,
        table.name,
        0.02,
        eventually(pool.stats, ({ closed }) => closed.failed >= 3)
      )
      assert.deepStrictEqual(failures, [])
      assert.isAbove(done, 10)
      assert.deepInclude(yield* pool.stats, { opened: 2 })
    })

  it.scopedLive("R18: when the password is changed on the server, and nobody gives the new one", () =>
    goesOn("changed"))
  it.scopedLive("R18: when the password can't be had any more", () => goesOn("unavailable"))
  it.scopedLive("R18: when the password does not come", () => goesOn("awaited"))
})

describe("R29: secrets", () => {
  it.scopedLive("are in no error, log line, span or output", () =>
    Effect.gen(function*() {
      const secret = "s3cret"
      const url = new URL(Redacted.value(serverUrl))
      url.password = secret
      const given: Array<PgPool.PgPoolOptions> = [
        { url: Redacted.make(url.href) },
        { password: Redacted.make(secret) },
        { password: Effect.succeed(Redacted.make(secret)) }
      ]
      const role = yield* makeRole
      yield* role.server.query(`ALTER ROLE ${role.name} PASSWORD '${secret}'`)
      const seen: Array<unknown> = []
      const keys: Array<string> = []
      const logger = Logger.make((line) => void seen.push(line, Cause.pretty(line.cause)))
      const program = Effect.forEach(given, (options) =>
        Effect.gen(function*() {
          const { sql } = yield* makePool(options)
          const failing: Array<Effect.Effect<unknown, unknown>> = [
            sql`SELECT 1`,
            sql.withTransaction(Effect.void),
            Stream.runDrain(sql.listen("channel")),
            makePool({ ...options, eager: true }).pipe(Effect.scoped)
          ]
          for (const effect of failing) {
            const exit = yield* Effect.exit(effect)
            assert.isTrue(Exit.isFailure(exit))
            seen.push(exit, Exit.isFailure(exit) && Cause.pretty(exit.cause, { renderErrorCause: true }))
          }
          const good = yield* makePool({ ...options, username: role.name })
          const connection = yield* good.pool.get
          seen.push(good.pool, good.sql, good.sql.config, String(good.sql.config), connection, connection.pg)
          const { secretKey } = connection.pg as unknown as { readonly secretKey: unknown }
          assert.isNumber(secretKey)
          keys.push(String(secretKey))
          seen.push(yield* good.sql`SELECT pg_sleep(0.001)`, yield* good.pool.stats)
        }), { discard: true })
      seen.push(
        yield* traced(program.pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
          Logger.withMinimumLogLevel(LogLevel.All)
        ))
      )
      for (const value of seen) {
        const text = inspect(value, { depth: 12, maxStringLength: null })
        for (const hidden of [secret, ...keys]) assert.notInclude(text, hidden)
      }
      for (const { config } of seen as Array<any>) assert.notInclude(String(JSON.stringify(config)), secret)
    }))
})
