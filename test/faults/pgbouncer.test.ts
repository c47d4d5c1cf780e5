import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import * as PgBouncer from "../support/pgbouncer.js"
import type { TestPool } from "../support/pgPool.js"
import {
  codeOf,
  eventually,
  isSleeping,
  makePool,
  makeTable,
  nobodySleeps,
  pause,
  promptly,
  serverUrl,
  uniqueName,
  watch
} from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

const behind = (mode: PgBouncer.Options["mode"], settings?: PgBouncer.Options["settings"], server = serverUrl) =>
  PgBouncer.start({ mode, server, settings })

/** The server's process that answers each of two statements, while somebody else wants a session in between. */
const twice = ({ sql }: TestPool, other: TestPool) =>
  Effect.gen(function*() {
    const ask = Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([{ pid }]) => pid)
    const first = yield* ask
    const sleeper = yield* Effect.fork(other.sql`SELECT pg_sleep(0.5)`)
    yield* other.until((sessions) => sessions.some(isSleeping))
    const second = yield* ask
    yield* Fiber.join(sleeper)
    return first === second
  })

/** What is logged while the effect runs. */
const logged = <A, E, R>(effect: (lines: Array<string>) => Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.provide(effect(lines), Logger.replace(Logger.defaultLogger, logger))
  })

const all = <A, E>(count: number, effect: (n: number) => Effect.Effect<A, E>) =>
  Effect.forEach(Array.from({ length: count }, (_, n) => n), effect, { concurrency: "unbounded" })

describe.skipIf(!PgBouncer.isInstalled)("behind PgBouncer", () => {
  for (const mode of ["session", "transaction"] as const) {
    describe(`in ${mode} mode`, () => {
      it.scopedLive("statements, transactions and streams", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode)
          const { sql } = yield* makePool({ url })
          const table = yield* makeTable()
          const name = sql(table.name)
          yield* all(40, (n) =>
            n % 2 === 0
              ? sql`INSERT INTO ${name} VALUES (${n})`
              : sql.withTransaction(Effect.zipRight(
                sql`INSERT INTO ${name} VALUES (${n})`,
                Effect.ignore(sql.withTransaction(sql`INSERT INTO ${name} VALUES (${n})`))
              )))
          assert.deepStrictEqual(yield* table.ids, Array.from({ length: 40 }, (_, n) => n))
          const rows = sql`SELECT generate_series(1, 1000)`.stream
          assert.lengthOf(yield* Stream.runCollect(rows), 1000)
          assert.lengthOf(yield* sql.withTransaction(Stream.runCollect(rows)), 1000)
          assert.strictEqual(codeOf(yield* Effect.flip(sql`SELECT 1 / 0`)), "22012")
        }))

      it.scopedLive("multiplex: each gets its own answer, and its own error", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode)
          const { sql } = yield* makePool({ url, multiplex: true, maxsize: 2, maxoverflow: 2 })
          const answers = yield* all(500, (n) => Effect.either(sql`SELECT ${n}::integer / ${n % 7}::integer AS n`))
          for (const [n, answer] of answers.entries()) {
            if (answer._tag === "Right") assert.deepStrictEqual(answer.right, [{ n: Math.floor(n / (n % 7)) }])
            else assert.deepStrictEqual([n % 7, codeOf(answer.left)], [0, "22012"])
          }
        }))

      it.scopedLive("R16 a cancel stops its own statement, and no other", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode, { default_pool_size: 4 })
          const pool = yield* makePool({ url, maxsize: 4, maxoverflow: 4, cleanupTimeout: "5 seconds" })
          const { sql } = pool
          const sleeper = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
          yield* pool.until((sessions) => sessions.some(isSleeping))
          assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(sleeper))))
          yield* pool.until(nobodySleeps)
          // Cancels that come about when their statement ends.
          const short = Effect.timeoutOption(sql`SELECT pg_sleep(0.01)`, "10 millis")
          const innocent = sql`SELECT pg_sleep(0.003), 1 AS one`
          yield* all(4, () => Effect.all(Effect.replicate(Effect.zipRight(short, innocent), 50), { discard: true }))
          assert.strictEqual((yield* pool.pool.stats).closed.dirty, 0)
        }))

      it.scopedLive("application_name is ours while we are served", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode, { default_pool_size: 1 })
          for (const app of [uniqueName(), uniqueName()]) {
            yield* Effect.scoped(Effect.gen(function*() {
              const { sql } = yield* makePool({ url, applicationName: app })
              const rows = yield* sql`SELECT current_setting('application_name') AS app`
              assert.deepStrictEqual(rows, [{ app }])
            }))
          }
        }))

      it.scopedLive("PAUSE lets callers wait until RESUME, and RECONNECT fails nobody", () =>
        Effect.gen(function*() {
          const { admin, url } = yield* behind(mode)
          const { pool, sql } = yield* makePool({ url, maxsize: 2, maxoverflow: 4 })
          yield* sql`SELECT 1`
          // In session mode it waits until the last client has gone.
          yield* pool.use((connection) => pool.invalidate(connection))
          yield* eventually(pool.stats, ({ size }) => size === 0)
          yield* admin("PAUSE")
          const callers = yield* Effect.fork(
            all(20, (n) => n % 2 === 0 ? sql`SELECT 1` : sql.withTransaction(sql`SELECT 1`))
          )
          yield* pause(1000)
          assert.strictEqual((yield* pool.stats).waiting > 0, true)
          yield* admin("RESUME")
          yield* Fiber.join(callers)
          yield* admin("RECONNECT")
          yield* all(20, () => sql`SELECT 1`)
        }))

      it.scopedLive("R18 what a login is refused for is said at once", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode)
          const changed = (change: (url: URL) => void) => {
            const other = new URL(Redacted.value(url))
            change(other)
            return Redacted.make(other.href)
          }
          const cases: Array<[RegExp, Redacted.Redacted]> = [
            [/authentication failed/, changed((url) => url.password = "wrong")],
            [/authentication failed/, changed((url) => url.username = "stranger")],
            [/"nowhere" does not exist/, changed((url) => url.pathname = "/nowhere")],
            [/unsupported startup parameter: statement_timeout/, changed((url) => url.search = "?statement_timeout=5")]
          ]
          for (const [words, url] of cases) {
            const { sql } = yield* makePool({ url })
            const error = yield* promptly(Effect.flip(sql`SELECT 1`))
            assert.match(error.message, words)
            assert.isFalse(PgError.isRetryable(error) || PgError.isOutcomeUnknown(error))
          }
        }))

      it.scopedLive("R18 where no more clients are allowed that is a lower limit", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode, { max_client_conn: 3 })
          const { pool, sql } = yield* makePool({ url, maxsize: 8, connectConcurrency: 8 })
          yield* all(30, () => sql`SELECT pg_sleep(0.05)`)
          assert.isAtMost((yield* pool.stats).opened, 3)
        }))

      it.scopedLive("R22 a session of the server that is killed: what ran there fails, typed, and nothing else", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode)
          const pool = yield* makePool({ url, maxsize: 2 })
          const sleeper = yield* Effect.fork(Effect.flip(pool.sql`SELECT pg_sleep(60)`))
          const [{ pid }] = yield* pool.until((sessions) => sessions.some(isSleeping))
          yield* pool.server.terminate(pid)
          assert.strictEqual(codeOf(yield* Fiber.join(sleeper)), "57P01")
          yield* all(20, () => pool.sql`SELECT 1`)
        }))

      it.scopedLive("R22 KILL leaves the outcome open", () =>
        Effect.gen(function*() {
          const { admin, url } = yield* behind(mode)
          const pool = yield* makePool({ url, maxsize: 2 })
          const sleeper = yield* Effect.fork(Effect.flip(pool.sql`SELECT pg_sleep(60)`))
          yield* pool.until((sessions) => sessions.some(isSleeping))
          yield* admin("KILL postgres")
          assert.isTrue(PgError.isOutcomeUnknown(yield* Fiber.join(sleeper)))
          yield* admin("RESUME postgres")
          yield* pool.sql`SELECT 1`
        }))

      it.scopedLive("R18 the server restarts behind it: only what was in flight fails", () =>
        Effect.gen(function*() {
          const server = yield* Postgres.start()
          const { url } = yield* behind(mode, {}, Redacted.make(server.url))
          const { pool, sql } = yield* makePool({ url, maxsize: 4, outageTimeout: "20 seconds" })
          yield* all(4, () => sql`SELECT pg_sleep(0.05)`)
          yield* server.stop()
          yield* pause(100)
          const callers = yield* Effect.fork(all(20, () => sql`SELECT 1`))
          yield* pause(500)
          yield* server.start
          yield* Fiber.join(callers)
          assert.isAtMost((yield* pool.stats).size, 4)
        }))

      for (
        const [how, restart] of [
          ["SIGTERM", (it: PgBouncer.PgBouncer) => Effect.zipRight(it.stop("SIGTERM"), it.start)],
          ["SIGKILL", (it: PgBouncer.PgBouncer) => Effect.zipRight(it.stop("SIGKILL"), it.start)],
          ["SIGINT", (it: PgBouncer.PgBouncer) => Effect.zipRight(it.stop("SIGINT"), it.start)],
          ["takeover", (it: PgBouncer.PgBouncer) => it.takeOver]
        ] as const
      ) {
        // In session mode SIGINT waits for its clients to go, which a pool's never do.
        if (mode === "session" && how === "SIGINT") continue
        it.scopedLive(`R18 restarted under load (${how}): nothing fails but what was in flight`, () =>
          Effect.gen(function*() {
            const bouncer = yield* behind(mode)
            const table = yield* makeTable()
            const { sql } = yield* makePool({ url: bouncer.url, maxsize: 8, maxoverflow: 10 })
            let isOver = false
            let failed = 0
            let id = 0
            const acknowledged: Array<number> = []
            const insert = (id: number) => sql`INSERT INTO ${sql(table.name)} VALUES (${id})`
            const worker = (n: number) =>
              Effect.gen(function*() {
                while (!isOver) {
                  const mine = ++id
                  const work = n % 5 === 0 ? sql.withTransaction(insert(mine)) : insert(mine)
                  const result = yield* Effect.either(work)
                  if (result._tag === "Right") acknowledged.push(mine)
                  else {
                    failed++
                    assert.isTrue(PgError.isOutcomeUnknown(result.left) || PgError.isRetryable(result.left))
                  }
                }
              })
            const load = yield* Effect.fork(all(32, worker))
            yield* pause(300)
            yield* restart(bouncer)
            const before = acknowledged.length
            yield* eventually(Effect.sync(() => acknowledged.length), (now) => now > before + 100)
            isOver = true
            yield* Fiber.join(load)
            // No more than one on each connection.
            assert.isAtMost(failed, how === "takeover" ? 0 : 10)
            const stored = new Set(yield* table.ids)
            assert.deepStrictEqual(acknowledged.filter((id) => !stored.has(id)), [])
          }))
      }
    })
  }

  describe("what needs session mode", () => {
    it.scopedLive("a session of its own: SET, locks and temporary tables stay with withConnection", () =>
      Effect.gen(function*() {
        for (const [mode, isKept] of [["session", true], ["transaction", false]] as const) {
          const { url } = yield* behind(mode)
          const one = yield* makePool({ url })
          const other = yield* makePool({ url })
          const probe = twice(one, other)
          assert.strictEqual(yield* one.pool.withConnection(probe), isKept)
          // A transaction keeps its session in both.
          assert.isTrue(yield* one.sql.withTransaction(probe))
        }
      }))

    it.scopedLive("timeouts by SET meet other clients in transaction mode, and the log says so", () =>
      logged((lines) =>
        Effect.gen(function*() {
          for (const [mode, theirs] of [["session", "0"], ["transaction", "12345ms"]] as const) {
            const { url } = yield* behind(mode, { default_pool_size: 1 })
            yield* Effect.scoped(Effect.flatMap(
              makePool({ url, statementTimeout: 12345 }),
              ({ sql }) => sql`SELECT 1`
            ))
            const { sql } = yield* makePool({ url })
            assert.deepStrictEqual(yield* sql`SHOW statement_timeout`, [{ statement_timeout: theirs }])
          }
          assert.lengthOf(lines.filter((line) => line.includes("statementTimeout")), 2)
        })
      ))

    it.scopedLive("what options need it is said once for each pool, and never without a pooler", () =>
      logged((lines) =>
        Effect.gen(function*() {
          const { url } = yield* behind("session")
          const options: PgPool.PgPoolOptions = {
            prepare: true,
            reset: "session",
            lockTimeout: 1000,
            onConnect: () => Effect.void,
            maxsize: 2
          }
          for (const [where, times] of [[serverUrl, 0], [url, 1]] as const) {
            const { sql } = yield* makePool({ url: where, ...options })
            yield* all(2, () => sql`SELECT pg_sleep(0.1)`)
            yield* all(2, () => sql`SELECT pg_sleep(0.1)`)
            assert.lengthOf(lines, times)
          }
          for (const word of ["prepare", "reset", "lockTimeout", "onConnect", "pool_mode = session"]) {
            assert.include(lines[0], word)
          }
          // Nothing was asked for that could break.
          yield* (yield* makePool({ url })).sql`SELECT 1`
          assert.lengthOf(lines, 1)
        })
      ))

    it.scopedLive("prepare: outside of transactions a lost name heals, inside of one it is an error", () =>
      Effect.gen(function*() {
        const { url } = yield* behind("transaction")
        const { sql } = yield* makePool({ url, prepare: true, maxsize: 1, maxoverflow: 1 })
        const other = yield* makePool({ url })
        const one = sql`SELECT ${1}::integer AS one`
        const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.gen(function*() {
            // It has the session that was used last.
            const sleeper = yield* Effect.fork(other.sql`SELECT pg_sleep(0.5)`)
            yield* other.until((sessions) => sessions.some(isSleeping))
            return yield* Effect.ensuring(effect, Fiber.join(sleeper).pipe(Effect.ignore))
          })
        yield* one
        const error = yield* elsewhere(Effect.flip(sql.withTransaction(one)))
        assert.strictEqual(codeOf(error), "26000")
        yield* one
        assert.deepStrictEqual(yield* elsewhere(one), [{ one: 1 }])
      }))

    it.scopedLive("LISTEN hears everything in session mode; in transaction mode the log and then an error say why not", () =>
      logged((lines) =>
        Effect.gen(function*() {
          const server = yield* watch()
          const channel = uniqueName()
          for (const mode of ["session", "transaction"] as const) {
            const { url } = yield* behind(mode)
            const { pool } = yield* makePool({ url })
            const other = yield* makePool({ url })
            const heard: Array<PgPool.ListenEvent> = []
            const listener = yield* pool.listen(channel).pipe(
              Stream.runForEach((event) => Effect.sync(() => heard.push(event))),
              Effect.fork
            )
            yield* eventually(Effect.sync(() => lines.length), (count) => count === (mode === "session" ? 1 : 2))
            assert.include(lines.at(-1), "LISTEN")
            yield* pause(100)
            yield* server.query(`NOTIFY ${channel}, 'now'`)
            if (mode === "session") {
              yield* eventually(Effect.sync(() => heard), ({ length }) => length === 1)
              yield* Fiber.interrupt(listener)
            } else {
              yield* Effect.fork(other.sql`SELECT pg_sleep(20)`)
              const exit = yield* Fiber.await(listener)
              assert.isTrue(Exit.isFailure(exit))
              assert.include(String(exit), "A pooler has given the session that listens to somebody else")
              assert.lengthOf(heard, 0)
            }
          }
        })
      ))
  })

  it.scopedLive("R18 what it gave up before the server had it may be tried again, and is", () =>
    Effect.gen(function*() {
      const { url } = yield* behind("transaction", { default_pool_size: 1, query_wait_timeout: 1 })
      const { pool, sql } = yield* makePool({ url, maxsize: 2, maxoverflow: 2 })
      const other = yield* makePool({ url })
      yield* sql`SELECT 1`
      const hold = (seconds: number) => Effect.fork(other.sql`SELECT pg_sleep(${seconds})`)
      yield* hold(2)
      yield* other.until((sessions) => sessions.some(isSleeping))
      // Given up after a second, and sent again.
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      yield* hold(8)
      yield* other.until((sessions) => sessions.some(isSleeping))
      const error = yield* Effect.flip(sql.withTransaction(Effect.void))
      assert.isTrue(PgError.isRetryable(error))
      assert.isFalse(PgError.isOutcomeUnknown(error))
      assert.isAtLeast((yield* pool.stats).closed.invalidated, 1)
    }))

  it.scopedLive("on a Unix socket, with its cancel", () =>
    Effect.gen(function*() {
      const { folder, port } = yield* behind("transaction")
      const { password } = new URL(Redacted.value(serverUrl))
      const pool = yield* makePool({
        url: undefined,
        path: folder,
        port,
        username: "postgres",
        password: Redacted.make(password),
        database: "postgres"
      })
      const sleeper = yield* Effect.fork(pool.sql`SELECT pg_sleep(60)`)
      yield* pool.until((sessions) => sessions.some(isSleeping))
      yield* promptly(Fiber.interrupt(sleeper))
      yield* pool.until(nobodySleeps)
    }))
})
