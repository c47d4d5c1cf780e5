import { Reactivity } from "@effect/experimental"
import { SqlClient, SqlError } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { PgPool, PoolError } from "effect-pgpool"
import { areAll } from "../support/areAll.js"
import { causeTagOf, eventually, makePool, makeTable, pause, pidOf, promptly, serverUrl } from "../support/pgPool.js"

const backend = (connection: PgPool.PgConnection) =>
  Effect.map(connection.executeValues("SELECT pg_backend_pid()", []), ([[pid]]) => pid)

describe("R31: the service", () => {
  it.scopedLive("get lends until the scope ends, use while it runs", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ maxsize: 2 })
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* pool.get
        assert.strictEqual(yield* backend(connection), connection.processId)
        assert.deepInclude(yield* pool.stats, { busy: 1, idle: 0, size: 1 })
        yield* pool.use((other) => Effect.sync(() => assert.notStrictEqual(other.processId, connection.processId)))
        assert.deepInclude(yield* pool.stats, { busy: 1, idle: 1, size: 2 })
      }))
      assert.deepInclude(yield* pool.stats, { busy: 0, idle: 2, size: 2, opened: 2, acquired: 2 })
    }))

  it.scopedLive("use gives its connection back however it ends, and passes its exit on", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      assert.strictEqual(yield* pool.use(() => Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(pool.use(() => Effect.fail("no"))), "no")
      assert.deepStrictEqual(yield* Effect.exit(pool.use(() => Effect.die("bug"))), Exit.die("bug"))
      const thrown = yield* Effect.exit(pool.use((): Effect.Effect<void> => {
        throw new Error("thrown")
      }))
      assert.isTrue(Exit.isFailure(thrown))
      const inside = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        pool.use(() => Effect.zipRight(Deferred.succeed(inside, undefined), Effect.never))
      )
      yield* Deferred.await(inside)
      yield* promptly(Fiber.interrupt(fiber))
      assert.deepInclude(yield* pool.stats, { busy: 0, idle: 1, opened: 1 })
    }))

  it.scopedLive("pg is the client below, of the session that processId names", () =>
    Effect.gen(function*() {
      const { pool, sessions } = yield* makePool()
      yield* pool.use((connection) =>
        Effect.gen(function*() {
          const { rows } = yield* Effect.promise(() => connection.pg.query("SELECT pg_backend_pid() AS pid"))
          assert.strictEqual(rows[0].pid, connection.processId)
          assert.strictEqual((yield* sessions)[0].pid, connection.processId)
        })
      )
    }))

  it.scopedLive("what was done by way of pg is cleaned up as well", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      yield* pool.use(({ pg }) =>
        Effect.promise(async () => {
          await pg.query("BEGIN")
          await pg.query(`INSERT INTO ${table.name} VALUES (1)`)
          // In flight at the release.
          pg.query(`INSERT INTO ${table.name} VALUES (2)`).catch(() => {})
        })
      )
      yield* sql`INSERT INTO ${sql(table.name)} VALUES (3)`
      assert.deepStrictEqual(yield* table.ids, [3])
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("invalidate closes a connection: at once where it is idle, else on release", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ maxsize: 1 })
      const pid = yield* pool.use((connection) =>
        Effect.gen(function*() {
          yield* pool.invalidate(connection)
          // It serves its borrower to the end.
          return yield* backend(connection)
        })
      )
      yield* until((sessions) => sessions.length === 0)
      yield* eventually(pool.stats, ({ closed }) => closed.invalidated === 1)
      const given = yield* pool.use((connection) => Effect.succeed(connection))
      assert.notStrictEqual(given.processId, pid)
      yield* pool.invalidate(given)
      yield* until((sessions) => sessions.length === 0)
      yield* eventually(pool.stats, ({ closed }) => closed.invalidated === 2)
      yield* pool.invalidate(given)
      yield* sql`SELECT 1`
    }))

  it.scopedLive("resize: growing serves waiters at once, shrinking closes what is idle and lets the busy finish", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const release = yield* Deferred.make<void>()
      const hold = pool.use((connection) => Effect.as(Deferred.await(release), connection.processId))
      const holders = yield* Effect.forEach([1, 2, 3], () => Effect.fork(hold))
      yield* eventually(pool.stats, ({ busy, waiting }) => busy === 1 && waiting === 2)
      yield* pool.resize({ maxsize: 3, maxoverflow: 3 })
      yield* eventually(pool.stats, ({ busy }) => busy === 3)
      yield* pool.resize({ maxsize: 1, maxoverflow: 1 })
      assert.deepInclude(yield* pool.stats, { busy: 3, maxsize: 1, maxoverflow: 1 })
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.joinAll(holders)
      yield* until((sessions) => sessions.length === 1)
      yield* sql`SELECT 1`
      assert.deepInclude(yield* pool.stats, { size: 1 })
    }))

  it.scopedLive("the layer provides the pool of its client", () =>
    Effect.gen(function*() {
      const pids = yield* Effect.gen(function*() {
        const pool = yield* PgPool.PgPool
        const sql = yield* SqlClient.SqlClient
        const [{ pid }] = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
        return [pid, yield* pool.use((connection) => Effect.succeed(connection.processId))]
      }).pipe(Effect.provide(PgPool.layer({ url: serverUrl })))
      assert.strictEqual(pids[0], pids[1])
    }))

  it.scopedLive("several pools under tags of one's own", () =>
    Effect.gen(function*() {
      class Reports extends Context.Tag("test/Reports")<Reports, PgPool.PgPool>() {}
      const ReportsLive = Layer.scoped(Reports, PgPool.make({ url: serverUrl, maxsize: 1, maxoverflow: 2 })).pipe(
        Layer.provide(Reactivity.layer)
      )
      yield* Effect.gen(function*() {
        const main = yield* PgPool.PgPool
        const reports = yield* Reports
        assert.notStrictEqual(yield* pidOf(main.client), yield* pidOf(reports.client))
        assert.strictEqual((yield* main.stats).maxsize, 4)
        assert.strictEqual((yield* reports.stats).maxsize, 1)
        assert.strictEqual(yield* PgClient.PgClient, main.client)
      }).pipe(Effect.provide(Layer.merge(PgPool.layer({ url: serverUrl, maxsize: 4 }), ReportsLive)))
    }))
})

describe("R31: refusals", () => {
  it.scopedLive("R4: PoolExhausted is the cause of an SqlError, with the counts and an advice in its message", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 2, maxwait: 50, acquireTimeout: 150 })
      yield* sql.reserve
      yield* sql.reserve
      const error = yield* Effect.flip(sql`SELECT 1`)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "PoolExhausted")
      const { stats, waited } = error.cause as PoolError.PoolExhausted
      assert.deepInclude(stats, { busy: 2, idle: 0, maxsize: 1, maxoverflow: 2 })
      assert.isAtLeast(waited, 149)
      for (
        const part of ["acquireTimeout: 150 ms", "2 busy", "0 idle", "maxsize 1", "maxoverflow 2", "raise maxoverflow"]
      ) {
        assert.include(error.message, part)
      }
      assert.strictEqual(causeTagOf(yield* Effect.flip(sql.withTransaction(Effect.void))), "PoolExhausted")
      assert.instanceOf(yield* Effect.flip(Effect.scoped(pool.get)), PoolError.PoolExhausted)
      assert.strictEqual((yield* pool.stats).timeouts, 3)
    }))

  const sevenCallers = (options: PgPool.PgPoolOptions) =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ maxsize: 2, maxoverflow: 4, ...options })
      const done = yield* Deferred.make<void>()
      const callers = yield* Effect.forEach(
        Array.from({ length: 7 }),
        () => Effect.fork(Effect.either(pool.use(() => Deferred.await(done))))
      )
      yield* eventually(pool.stats, ({ busy }) => busy === 4)
      return { callers, done, pool }
    })

  for (const maxwait of [undefined, "50 millis", "auto", 0] as const) {
    it.scopedLive(`R4: of more callers than maxoverflow none fails, with maxwait ${maxwait}`, () =>
      Effect.gen(function*() {
        const { callers, done, pool } = yield* sevenCallers({ maxwait })
        yield* pause(300)
        assert.deepInclude(yield* pool.stats, { busy: 4, waiting: 3, timeouts: 0 })
        yield* Deferred.succeed(done, undefined)
        assert.isTrue(areAll(yield* Fiber.join(Fiber.all(callers)), ({ _tag }) => _tag === "Right"))
      }))
  }

  it.scopedLive("R4: with whenFull \"fail\" those past maxoverflow fail after maxwait, and the others are served", () =>
    Effect.gen(function*() {
      const { callers, done, pool } = yield* sevenCallers({ maxwait: "50 millis", whenFull: "fail" })
      yield* eventually(pool.stats, ({ timeouts, waiting }) => timeouts === 3 && waiting === 0)
      yield* Deferred.succeed(done, undefined)
      const results = yield* Fiber.join(Fiber.all(callers))
      const failures = results.flatMap((result) => result._tag === "Left" ? [result.left] : [])
      assert.strictEqual(failures.length, 3)
      for (const failure of failures) {
        assert.include(
          failure.message,
          "(maxwait: 50 ms, with whenFull \"fail\"): all 4 that maxoverflow allows are in use"
        )
      }
    }))

  it.scopedLive("an error of the user's that looks like ours stays as it is", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const mine = new PoolError.PoolClosed({ stats: yield* pool.stats })
      const errors = [
        yield* Effect.flip(sql.withTransaction(Effect.fail(mine))),
        yield* Effect.flip(pool.use(() => Effect.fail(mine)))
      ]
      for (const error of errors) {
        assert.strictEqual(error._tag, "PoolClosed")
        assert.strictEqual((error as PoolError.PoolClosed).stats, mine.stats)
      }
    }))

  it.scopedLive("maxWaiting: PoolQueueFull is the cause of an SqlError, at once", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, maxWaiting: 1 })
      yield* sql.reserve
      yield* Effect.fork(sql`SELECT 1`)
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.strictEqual(causeTagOf(error), "PoolQueueFull")
      assert.include(error.message, "maxWaiting")
    }))
})

describe("R14: time", () => {
  it.scoped("R14: maxwait and acquireTimeout are the TestClock's, over a real server", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({
        maxsize: 1,
        maxoverflow: 2,
        maxwait: "1 hour",
        acquireTimeout: "2 hours"
      })
      yield* sql.reserve
      const second = yield* Effect.fork(Effect.scoped(Effect.zipRight(sql.reserve, Effect.never)))
      yield* pause(300)
      assert.deepInclude(yield* pool.stats, { waiting: 1, size: 1 })
      yield* TestClock.adjust("1 hour")
      yield* until((sessions) => sessions.length === 2)
      yield* eventually(pool.stats, ({ busy }) => busy === 2)
      const third = yield* Effect.fork(Effect.flip(sql`SELECT 1`))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(causeTagOf(yield* Fiber.join(third)), "PoolExhausted")
      yield* Fiber.interrupt(second)
    }))

  it.scoped("R14: expires is the TestClock's; the quiet pool has a fresh session", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ expires: "10 minutes" })
      const pid = yield* pidOf(sql)
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual(yield* pidOf(sql), pid)
      yield* TestClock.adjust("1 minute")
      yield* until(([session, ...others]) => session !== undefined && others.length === 0 && session.pid !== pid)
      yield* eventually(pool.stats, ({ idle, size }) => idle === 1 && size === 1)
      assert.notStrictEqual(yield* pidOf(sql), pid)
    }))

  it.scoped("R14: I/O takes real time: cancel, rollback and close don't wait for the TestClock", () =>
    Effect.gen(function*() {
      const { close, pool, sql, until } = yield* makePool({ maxsize: 1, expires: "1 day", closeTimeout: 100 })
      const fiber = yield* Effect.fork(Effect.timeoutOption(sql.withTransaction(sql`SELECT pg_sleep(60)`), "1 hour"))
      yield* until((sessions) => sessions.some(({ query, state }) => state === "active" && query.includes("pg_sleep")))
      yield* TestClock.adjust("1 hour")
      assert.isTrue(Option.isNone(yield* Fiber.join(fiber)))
      yield* eventually(pool.stats, ({ idle }) => idle === 1)
      yield* Effect.forkDaemon(Effect.scoped(Effect.zipRight(sql.reserve, Effect.never)))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      yield* close
      yield* until((sessions) => sessions.length === 0)
    }))

  it.scoped("R24: queryTimeout is real time, as it is about a socket", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ queryTimeout: 200 })
      assert.strictEqual(causeTagOf(yield* Effect.flip(sql`SELECT pg_sleep(60)`)), "OutcomeUnknown")
    }))
})
