import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Stream } from "effect"
import { PgError } from "effect-pgpool"
import type { TestPool } from "../support/pgPool.js"
import {
  eventually,
  insert,
  isSleeping,
  makeCommit,
  makeFunction,
  makePool,
  makeTable,
  nobodySleeps,
  pidOf
} from "../support/pgPool.js"

const rolledBack = ({ pool }: TestPool) => Effect.map(pool.stats, ({ rolledBack }) => rolledBack)

const cancelled = ({ pool }: TestPool) => Effect.map(pool.stats, ({ cancelled }) => cancelled)

/** Interrupts a statement when the server is in it, and waits until the server is in none. */
const cutOff = ({ until }: TestPool, sleep: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(sleep)
    yield* until((sessions) => sessions.some(isSleeping))
    yield* Fiber.interrupt(fiber)
    yield* until(nobodySleeps)
  })

const failing = (sql: PgClient.PgClient) => Effect.exit(sql`SELECT 1 / 0`)

describe("R40: rolledBack", () => {
  it.scopedLive("counts a transaction that failed, and one that was interrupted, when the server has rolled it back", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const { pool, sql } = test
      yield* sql.withTransaction(sql`SELECT 1`)
      assert.strictEqual(yield* rolledBack(test), 0)
      yield* Effect.exit(sql.withTransaction(Effect.fail("of the body")))
      assert.strictEqual(yield* rolledBack(test), 1)
      yield* Effect.exit(sql.withTransaction(sql`SELECT 1 / 0`))
      assert.strictEqual(yield* rolledBack(test), 2)
      yield* cutOff(test, sql.withTransaction(sql`SELECT pg_sleep(60)`))
      yield* eventually(rolledBack(test), (count) => count === 3)
      yield* Effect.exit(pool.transaction({ isolation: "serializable" })(Effect.die("of the body")))
      assert.strictEqual(yield* rolledBack(test), 4)
    }))

  it.scopedLive("counts one that a borrower has begun by hand and left open", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      yield* test.pool.use((connection) => connection.executeRaw("BEGIN", []))
      yield* eventually(rolledBack(test), (count) => count === 1)
    }))

  it.scopedLive("does not count a nested transaction, nor what was never sent", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const { sql } = test
      yield* sql.withTransaction(Effect.exit(sql.withTransaction(Effect.fail("of the inner body"))))
      assert.strictEqual(yield* rolledBack(test), 0)
      yield* Effect.exit(sql.withTransaction(sql.withTransaction(Effect.fail("of the inner body"))))
      assert.strictEqual(yield* rolledBack(test), 1)
      const { close } = test
      yield* close
      yield* Effect.exit(sql.withTransaction(Effect.void))
      assert.strictEqual(yield* rolledBack(test), 1)
    }))

  it.scopedLive("counts a COMMIT that the server has answered with ROLLBACK, or has refused", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const { sql } = test
      yield* Effect.exit(sql.withTransaction(failing(sql)))
      assert.strictEqual(yield* rolledBack(test), 1)
      const table = yield* makeTable("id integer UNIQUE DEFERRABLE INITIALLY DEFERRED")
      yield* insert(sql, table, 1)
      const exit = yield* Effect.exit(sql.withTransaction(insert(sql, table, 1)))
      assert.strictEqual(exit._tag, "Failure")
      assert.strictEqual(yield* rolledBack(test), 2)
    }))

  const dies = "SELECT pg_terminate_backend(pg_backend_pid())"

  const losses: Record<string, (test: TestPool) => Effect.Effect<unknown, unknown>> = {
    "in a statement of its body": ({ sql }) => sql.withTransaction(sql.unsafe(dies)),
    "in a statement of a nested one": ({ sql }) => sql.withTransaction(sql.withTransaction(sql.unsafe(dies))),
    "while it does something else": ({ server, sql }) =>
      sql.withTransaction(Effect.gen(function*() {
        const pid = yield* pidOf(sql)
        yield* sql`SELECT 1 -- no commit`
        yield* server.query(`SELECT pg_terminate_backend(${pid}, 5000)`)
        yield* sql`SELECT 1`
      })),
    "where a borrower has begun it by hand": ({ pool }) =>
      pool.use((connection) => Effect.zipRight(connection.executeRaw("BEGIN", []), connection.executeRaw(dies, [])))
  }

  for (const [name, way] of Object.entries(losses)) {
    it.scopedLive(`counts one whose connection was lost ${name}, once`, () =>
      Effect.gen(function*() {
        const test = yield* makePool()
        yield* Effect.exit(way(test))
        yield* test.sql`SELECT 1`
        assert.strictEqual(yield* rolledBack(test), 1)
        yield* test.close
        assert.strictEqual(yield* rolledBack(test), 1)
      }))
  }

  it.scopedLive("counts one whose connection the pool has closed", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const { pool, sql } = test
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.never)))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      yield* pool.drain({ within: 0 })
      yield* Fiber.interrupt(fiber)
      yield* eventually(rolledBack(test), (count) => count === 1)
    }))

  it.scopedLive("does not count one whose connection was lost in its COMMIT: nobody knows what became of it", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const { sql } = test
      const table = yield* makeCommit("PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);")
      const exit = yield* Effect.exit(sql.withTransaction(insert(sql, table, 1)))
      assert.isTrue(Exit.isFailure(exit) && PgError.isOutcomeUnknown(Cause.squash(exit.cause)))
      yield* sql`SELECT 1`
      assert.strictEqual(yield* rolledBack(test), 0)
    }))
})

describe("R40: cancelled", () => {
  const ways: Record<string, (sql: PgClient.PgClient) => Effect.Effect<unknown, unknown>> = {
    "a statement": (sql) => sql`SELECT pg_sleep(60)`,
    "a stream": (sql) => Stream.runDrain(sql`SELECT pg_sleep(60)`.stream),
    "a statement of a transaction": (sql) => sql.withTransaction(sql`SELECT pg_sleep(60)`)
  }

  for (const [name, way] of Object.entries(ways)) {
    it.scopedLive(`counts ${name} once that was interrupted while it ran`, () =>
      Effect.gen(function*() {
        const test = yield* makePool()
        const { sql } = test
        yield* way(sql).pipe(Effect.timeout("1 minute"), (sleep) => cutOff(test, sleep))
        yield* eventually(test.pool.stats, ({ idle }) => idle === 1)
        assert.strictEqual(yield* cancelled(test), 1)
      }))
  }

  it.scopedLive("counts a statement that took longer than queryTimeout, and none that came to its end", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ queryTimeout: "500 millis" })
      const { sql } = test
      yield* sql`SELECT 1`
      yield* failing(sql)
      assert.strictEqual(yield* cancelled(test), 0)
      yield* Effect.flip(sql`SELECT pg_sleep(60)`)
      yield* eventually(test.pool.stats, ({ idle }) => idle === 1)
      assert.strictEqual(yield* cancelled(test), 1)
    }))

  it.scopedLive("counts a statement once for which the server has to be asked twice", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ cleanupTimeout: "5 seconds" })
      const { sql, until } = test
      const sleeps = "PERFORM pg_sleep(60);"
      const deaf = yield* makeFunction("void", `${sleeps} EXCEPTION WHEN query_canceled THEN ${sleeps}`)
      const fiber = yield* Effect.fork(sql.unsafe(`SELECT ${deaf}(), 'pg_sleep'`))
      yield* until((sessions) => sessions.some(isSleeping))
      yield* Fiber.interrupt(fiber)
      yield* until(nobodySleeps)
      assert.strictEqual(yield* cancelled(test), 1)
    }))

  it.scopedLive("counts each statement of several that share a connection and are all interrupted", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ multiplex: 3, maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const { pool, sql } = test
      yield* sql`SELECT 1`
      yield* cutOff(
        test,
        Effect.all(Effect.replicate(sql`SELECT pg_sleep(60)`, 3), { concurrency: "unbounded" })
      )
      yield* eventually(pool.stats, ({ idle }) => idle === 1)
      assert.strictEqual(yield* cancelled(test), 3)
    }))
})
