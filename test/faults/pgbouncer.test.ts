import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import { whereInstalled } from "../support/faults/suite.js"
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

const restarts: Record<string, (bouncer: PgBouncer.PgBouncer) => Effect.Effect<void>> = {
  SIGTERM: (bouncer) => Effect.zipRight(bouncer.stop("SIGTERM"), bouncer.start),
  SIGKILL: (bouncer) => Effect.zipRight(bouncer.stop("SIGKILL"), bouncer.start),
  SIGINT: (bouncer) => Effect.zipRight(bouncer.stop("SIGINT"), bouncer.start),
  takeover: (bouncer) => bouncer.takeOver
}

/** 32 callers: of five, one writes in a transaction. */
const startLoad = ({ sql }: TestPool, ledger: string) =>
  Effect.gen(function*() {
    const load = { answers: 0, failures: new Array<unknown>(), stored: new Array<number>() }
    let isOver = false
    let ids = 0
    const call = (n: number) =>
      Effect.suspend(() => {
        if (n % 5 > 0) return sql`SELECT ${n}::integer AS n`
        const id = ++ids
        const write = sql`INSERT INTO ${sql(ledger)} VALUES (${id})`
        return Effect.tap(sql.withTransaction(write), () => Effect.sync(() => load.stored.push(id)))
      }).pipe(
        Effect.match({
          onSuccess: () => void load.answers++,
          onFailure: (error) => void load.failures.push(error)
        })
      )
    const callers = yield* Effect.fork(all(32, (n) => Effect.repeat(call(n), { until: () => isOver })))
    const stop = Effect.suspend(() => {
      isOver = true
      return Fiber.join(callers)
    })
    return Object.assign(load, { stop })
  })

/** All permits can be used, no transaction is left open, and after the close PgBouncer has no client. */
const leavesNothing = ({ app, close, server, sql }: TestPool, { admin }: PgBouncer.PgBouncer) =>
  Effect.gen(function*() {
    // With a takeover PgBouncer forgets who its clients are.
    const mark = `pg_sleep(3) AS ${app}`
    const sessions = server.query(`SELECT state FROM pg_stat_activity WHERE query LIKE '%' || $1`, [mark])
    const sleepers = yield* Effect.fork(all(10, () => sql.withTransaction(sql.unsafe(`SELECT ${mark}`))))
    yield* eventually(sessions, (sleeping) => sleeping.length === 10)
    yield* Fiber.join(sleepers)
    yield* eventually(
      server.query("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"),
      ({ length }) => length === 0
    )
    const clients = Effect.map(admin("SHOW CLIENTS"), (all) => all.filter(({ database }) => database === "postgres"))
    assert.isAtMost((yield* clients).length, 10)
    yield* close
    yield* eventually(clients, ({ length }) => length === 0)
  })

whereInstalled(PgBouncer, "pgbouncer")("behind PgBouncer", () => {
  for (const mode of ["session", "transaction"] as const) {
    describe(`R38: in ${mode} mode`, () => {
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

      it.scopedLive("R16: a cancel stops its own statement, and no other", () =>
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

      it.scopedLive("R18: what a login is refused for is said at once", () =>
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

      it.scopedLive("R18: where no more clients are allowed that is a lower limit", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode, { max_client_conn: 3 })
          const { pool, sql } = yield* makePool({ url, maxsize: 8, connectConcurrency: 8 })
          yield* all(30, () => sql`SELECT pg_sleep(0.05)`)
          assert.isAtMost((yield* pool.stats).opened, 3)
        }))

      it.scopedLive("R22: a session of the server that is killed: what ran there fails, typed, and nothing else", () =>
        Effect.gen(function*() {
          const { url } = yield* behind(mode)
          const pool = yield* makePool({ url, maxsize: 2 })
          const sleeper = yield* Effect.fork(Effect.flip(pool.sql`SELECT pg_sleep(60)`))
          const [{ pid }] = yield* pool.until((sessions) => sessions.some(isSleeping))
          yield* pool.server.terminate(pid)
          assert.strictEqual(codeOf(yield* Fiber.join(sleeper)), "57P01")
          yield* all(20, () => pool.sql`SELECT 1`)
        }))

      it.scopedLive("R22: KILL leaves the outcome open", () =>
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

      it.scopedLive("R18: the server restarts behind it: only what was in flight fails", () =>
        Effect.gen(function*() {
          const server = yield* Postgres.start()
          const { url } = yield* behind(mode, {}, Redacted.make(server.url))
          const { pool, sql } = yield* makePool({ url, maxsize: 4, maxoverflow: 4, outageTimeout: "20 seconds" })
          yield* all(4, () => sql`SELECT pg_sleep(0.05)`)
          yield* server.stop()
          yield* pause(100)
          const callers = yield* Effect.fork(all(20, () => sql`SELECT 1`))
          yield* pause(500)
          yield* server.start
          yield* Fiber.join(callers)
          assert.isAtMost((yield* pool.stats).size, 4)
        }))
    })
  }

  describe("R18: restarted under load: nothing fails but what was in flight", () => {
    for (const [mode, multiplex] of [["session", false], ["transaction", false], ["transaction", true]] as const) {
      for (const [how, restart] of Object.entries(restarts)) {
        // Its soft end waits for its clients to go, which in session mode a pool's never do.
        if (mode === "session" && how === "SIGINT") continue
        // It loses what it has read of a client and not passed on yet (https://github.com/pgbouncer/pgbouncer/pull/894).
        if (multiplex && how === "takeover") continue
        it.scopedLive(`${mode} mode, ${how}${multiplex ? ", multiplex" : ""}`, () =>
          Effect.gen(function*() {
            const bouncer = yield* behind(mode)
            const test = yield* makePool({ url: bouncer.url, multiplex, maxsize: 10, maxoverflow: 10 })
            const ledger = yield* makeTable()
            const load = yield* startLoad(test, ledger.name)
            yield* eventually(Effect.sync(() => load.stored.length), (length) => length > 50)
            yield* restart(bouncer)
            const restarted = performance.now()
            const before = load.stored.length
            yield* eventually(Effect.sync(() => load.stored.length), (length) => length > before)
            const first = performance.now() - restarted
            yield* eventually(Effect.sync(() => load.stored.length), (length) => length > before + 100)
            yield* load.stop
            console.log(
              `PgBouncer, ${mode} mode, ${how}${multiplex ? ", multiplex" : ""}: ${load.answers} answers, ` +
                `${load.failures.length} failed, ${
                  load.failures.filter(PgError.isOutcomeUnknown).length
                } of them unknown, ` +
                `the next write after ${Math.round(first)} ms`
            )
            // What was on its way, and where connections are shared what met the next one before its end was told.
            assert.isAtMost(load.failures.length, how === "takeover" ? 0 : multiplex ? 64 : 10)
            for (const error of load.failures) {
              assert.isTrue(PgError.isOutcomeUnknown(error) || PgError.isRetryable(error), String(error))
            }
            const ids = new Set(yield* ledger.ids)
            assert.deepStrictEqual(load.stored.filter((id) => !ids.has(id)), [])
            yield* leavesNothing(test, bouncer)
          }))
      }
    }
  })

  describe("R38: what needs session mode", () => {
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

  it.scopedLive("R18: what it gave up before the server had it may be tried again, and is", () =>
    Effect.gen(function*() {
      const { url } = yield* behind("transaction", { default_pool_size: 1, query_wait_timeout: 1 })
      const { pool, sql } = yield* makePool({ url, maxsize: 2, maxoverflow: 2 })
      const other = yield* makePool({ url })
      yield* sql`SELECT 1`
      const hold = (seconds: number) => Effect.fork(other.sql`SELECT pg_sleep(${seconds})`)
      for (const use of [sql`SELECT 1 AS one`, sql.withTransaction(sql`SELECT 1 AS one`)]) {
        yield* hold(2)
        yield* other.until((sessions) => sessions.some(isSleeping))
        // Given up after a second, and sent again.
        assert.deepStrictEqual(yield* use, [{ one: 1 }])
      }
      const connection = yield* sql.reserve
      yield* hold(8)
      yield* other.until((sessions) => sessions.some(isSleeping))
      const error = yield* Effect.flip(connection.executeRaw("SELECT 1", []))
      assert.isTrue(PgError.isRetryable(error))
      assert.isFalse(PgError.isOutcomeUnknown(error))
      assert.isAtLeast((yield* pool.stats).closed.invalidated, 2)
    }))

  it.scopedLive("R38: on a Unix socket, with its cancel", () =>
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
