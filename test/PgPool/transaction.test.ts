import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, Option } from "effect"
import * as Proxy from "../../src/internal/testing/proxy.js"
import type { TestPool } from "../support/pgPool.js"
import {
  causeTagOf,
  codeOf,
  eventually,
  insert,
  makePool,
  makeSlowCommit,
  makeTable,
  pidOf,
  promptly,
  serverUrl
} from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

describe("R22: commit and rollback", () => {
  it.scopedLive("R22: commits what the body did and gives what it gave", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const result = yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        assert.deepStrictEqual(yield* table.ids, [])
        yield* insert(sql, table, 2)
        return "done"
      }))
      assert.strictEqual(result, "done")
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))

  it.scopedLive("R22: a failing body is rolled back before its failure comes out", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, server, sql } = yield* makePool({ maxsize: 1 })
      const pid = yield* pidOf(sql)
      const error = yield* sql.withTransaction(Effect.zipRight(insert(sql, table, 1), Effect.fail("no" as const))).pipe(
        Effect.flip
      )
      assert.strictEqual(error, "no")
      // No reset was needed: the ROLLBACK was waited for.
      assert.deepInclude(yield* pool.stats, { idle: 1, checking: 0 })
      const [{ state }] = yield* server.query("SELECT state FROM pg_stat_activity WHERE pid = $1", [pid])
      assert.strictEqual(state, "idle")
      assert.deepStrictEqual(yield* table.ids, [])
      assert.strictEqual(yield* pidOf(sql), pid)
    }))

  it.scopedLive("R22: a defect of the body is rolled back and comes out as it is", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const exit = yield* Effect.exit(sql.withTransaction(Effect.zipRight(insert(sql, table, 1), Effect.die("bug"))))
      assert.deepStrictEqual(exit, Exit.die("bug"))
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22: an interrupted body returns at once, the connection's own fiber rolls back", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ maxsize: 1 })
      const pid = yield* pidOf(sql)
      const inside = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(sql.withTransaction(
        insert(sql, table, 1).pipe(Effect.zipRight(Deferred.succeed(inside, undefined)), Effect.zipRight(Effect.never))
      ))
      yield* Deferred.await(inside)
      const exit = yield* promptly(Fiber.interrupt(fiber))
      assert.isTrue(Exit.isInterrupted(exit))
      assert.strictEqual((yield* pool.stats).busy, 0)
      assert.strictEqual(yield* pidOf(sql), pid)
      assert.deepStrictEqual(yield* table.ids, [])
      // The lock of the insert is gone.
      yield* insert(sql, table, 1)
    }))

  it.scopedLive("R22: a COMMIT that the server answers with ROLLBACK is a failure", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        const error = yield* Effect.flip(sql`SELECT 1 / 0`)
        assert.strictEqual(codeOf(error), "22012")
        return "all is well"
      })).pipe(Effect.flip)
      assert.instanceOf(error, SqlError.SqlError)
      assert.include(error.message, "rolled back")
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22: what a deferred constraint says at COMMIT is a typed failure with its SQLSTATE", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id integer UNIQUE DEFERRABLE INITIALLY DEFERRED")
      const { pool, sql } = yield* makePool({ maxsize: 1 })
      const pid = yield* pidOf(sql)
      const error = yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(insert(sql, table, 1), insert(sql, table, 1))
      ))
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(codeOf(error), "23505")
      assert.deepInclude(yield* pool.stats, { idle: 1, busy: 0 })
      assert.strictEqual(yield* pidOf(sql), pid)
    }))

  it.scopedLive("R22: a failing BEGIN is a typed failure; where it has options the body never runs", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url })
      let runs = 0
      const run = Effect.sync(() => ++runs)
      const ways: Array<Effect.Effect<unknown, SqlError.SqlError>> = [
        sql.withTransaction(Effect.zipRight(run, sql`SELECT ${1}::int`)),
        sql.withTransaction(run)
      ]
      for (const way of [...ways, pool.transaction({ isolation: "serializable" })(run)]) {
        yield* sql`SELECT 1`
        proxy.onRequest = (chunk) => {
          if (chunk.includes("BEGIN")) proxy.reset()
        }
        assert.instanceOf(yield* Effect.flip(way), SqlError.SqlError)
        proxy.onRequest = () => {}
      }
      assert.strictEqual(runs, 2)
      assert.strictEqual(yield* sql.withTransaction(Effect.succeed(1)), 1)
    }))

  it.scopedLive("R22: the body's own failure is kept where ROLLBACK fails", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool()
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* server.terminate(yield* pidOf(sql))
        return yield* Effect.fail("mine" as const)
      })).pipe(Effect.flip)
      assert.strictEqual(error, "mine")
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R22: nothing is rolled back, and nothing logged, where the connection was lost", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ message }) => logged.push(message))
      const body = Effect.gen(function*() {
        const { pool, server, sql } = yield* makePool()
        const pid = yield* pidOf(sql)
        const kill = Effect.zipRight(server.terminate(pid), Effect.ignore(sql`SELECT 1`))
        const error = yield* sql.withTransaction(sql.withTransaction(Effect.zipRight(kill, sql`SELECT 1`))).pipe(
          Effect.flip
        )
        assert.instanceOf(error, SqlError.SqlError)
        yield* eventually(pool.stats, ({ size }) => size === 0)
      })
      yield* Effect.provide(body, Logger.replace(Logger.defaultLogger, logger))
      assert.deepStrictEqual(logged, [])
    }))

  it.scopedLive("R22: a session killed in the body: its statements fail typed, and nothing was stored", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql } = yield* makePool()
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        yield* server.terminate(yield* pidOf(sql))
        yield* insert(sql, table, 2)
      })).pipe(Effect.flip)
      assert.instanceOf(error, SqlError.SqlError)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22: a COMMIT that could not be sent has a known outcome", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql } = yield* makePool()
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        yield* server.terminate(yield* pidOf(sql))
        // Its socket has ended by now: nothing is sent any more.
        yield* Effect.ignore(insert(sql, table, 2))
        yield* Effect.ignore(insert(sql, table, 2))
      })).pipe(Effect.flip)
      assert.instanceOf(error, SqlError.SqlError)
      assert.notStrictEqual(causeTagOf(error), "CommitOutcomeUnknown")
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22: ROLLBACK is awaited for at most cleanupTimeout", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, cleanupTimeout: 200 })
      const error = yield* sql.withTransaction(Effect.zipRight(
        Effect.zipRight(sql`SELECT 1`, Effect.sync(() => proxy.blackhole())),
        Effect.fail("mine" as const)
      )).pipe(Effect.flip, promptly)
      assert.strictEqual(error, "mine")
      yield* eventually(pool.stats, ({ size }) => size === 0)
    }))
})

describe("R22: lost answers", () => {
  it.scopedLive("R22: a COMMIT whose answer is lost may be stored", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      let commits = 0
      proxy.onRequest = (chunk) => {
        if (!chunk.includes("COMMIT")) return
        commits++
        proxy.blackhole("answers")
      }
      const fiber = yield* Effect.fork(Effect.flip(sql.withTransaction(insert(sql, table, 1))))
      yield* eventually(table.ids, (ids) => ids.length === 1)
      proxy.reset()
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "CommitOutcomeUnknown")
      assert.include(error.message, "COMMIT")
      assert.strictEqual(commits, 1)
    }))

  it.scopedLive("R22: a COMMIT that never arrives fails in the same way, and is not tried again", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      let commits = 0
      proxy.onRequest = (chunk) => {
        if (!chunk.includes("COMMIT")) return
        commits++
        proxy.blackhole("requests")
        proxy.cut()
      }
      const error = yield* Effect.flip(sql.withTransaction(insert(sql, table, 1)))
      assert.strictEqual(causeTagOf(error), "CommitOutcomeUnknown")
      assert.strictEqual(commits, 1)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22: a session killed during COMMIT", () =>
    Effect.gen(function*() {
      const table = yield* makeSlowCommit(1)
      const { server, sql, until } = yield* makePool()
      const fiber = yield* Effect.fork(Effect.flip(sql.withTransaction(insert(sql, table, 1))))
      const [{ pid }] = yield* until(([session]) => session?.query === "COMMIT" && session.state === "active")
      yield* server.terminate(pid)
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "CommitOutcomeUnknown")
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R22: a statement whose answer is lost fails with OutcomeUnknown and is not sent again", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      let inserts = 0
      proxy.onRequest = (chunk) => {
        if (!chunk.includes("INSERT")) return
        inserts++
        proxy.blackhole("answers")
      }
      const fiber = yield* Effect.fork(Effect.flip(insert(sql, table, 1)))
      yield* eventually(table.ids, (ids) => ids.length === 1)
      proxy.cut()
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "OutcomeUnknown")
      assert.strictEqual(inserts, 1)
    }))

  it.scopedLive("R22: COMMIT is not cancelled: an interrupted caller returns at once, and the COMMIT ends", () =>
    Effect.gen(function*() {
      const table = yield* makeSlowCommit(1)
      const { sql, until } = yield* makePool({ cleanupTimeout: "10 seconds" })
      const fiber = yield* Effect.fork(sql.withTransaction(insert(sql, table, 1)))
      yield* until(([session]) => session?.query === "COMMIT" && session.state === "active")
      const exit = yield* promptly(Fiber.interrupt(fiber))
      assert.isTrue(Exit.isInterrupted(exit))
      assert.deepStrictEqual(yield* table.ids, [])
      yield* eventually(table.ids, (ids) => ids.length === 1)
    }))

  it.scopedLive("R22: an event tells how the COMMIT of an interrupted caller has ended", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const table = yield* makeSlowCommit(1)
        const commitAndLeave = (test: TestPool, id: number) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.fork(test.sql.withTransaction(insert(test.sql, table, id)))
            const [{ pid }] = yield* test.until(([session]) =>
              session?.query === "COMMIT" && session.state === "active"
            )
            yield* promptly(Fiber.interrupt(fiber))
            return pid
          })
        yield* commitAndLeave(yield* makePool({ cleanupTimeout: "10 seconds" }), 1)
        yield* eventually(Effect.sync(() => logs), (logs) => logs.some((line) => line.includes("was committed")))
        const test = yield* makePool({ name: "test", cleanupTimeout: "10 seconds" })
        yield* test.server.terminate(yield* commitAndLeave(test, 2))
        const isUnknown = (line: string) => line.startsWith("WARN test: It is not known what became of a transaction")
        yield* eventually(Effect.sync(() => logs), (logs) => logs.some(isUnknown))
      })
    ))
})

describe("R22: waiting", () => {
  it.scopedLive("R22: waiting for a transaction's connection can be interrupted", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      yield* sql.reserve
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.void))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(fiber))))
      assert.strictEqual((yield* pool.stats).waiting, 0)
    }))

  it.scopedLive("R22: a caller's own timeout is kept while BEGIN has no answer", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      yield* sql`SELECT 1`
      proxy.blackhole()
      const result = yield* promptly(Effect.timeoutOption(sql.withTransaction(Effect.void), "100 millis"))
      assert.isTrue(Option.isNone(result))
    }))
})
