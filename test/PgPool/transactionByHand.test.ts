import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schedule, Stream } from "effect"
import { PgError } from "effect-pgpool"
import { causeTagOf, codeOf, insert, makePool, makeTable, promptly } from "../support/pgPool.js"

const setUp = Effect.gen(function*() {
  const table = yield* makeTable()
  const made = yield* makePool({ maxsize: 1, maxoverflow: 1 })
  const { server, sql } = made
  return {
    ...made,
    table,
    insert: (id: number) => insert(sql, table, id),
    /** What is stored, and seen by all. */
    stored: table.ids,
    truncate: server.query(`TRUNCATE ${table.name}`)
  }
})

describe("R23: a transaction that the user began by hand on a kept connection", () => {
  const begins = ["BEGIN", "START TRANSACTION", "begin isolation level serializable; SELECT 1", "BEGIN; SAVEPOINT mine"]

  it.scopedLive("withTransaction in it is a savepoint: it commits nothing, and the user's ROLLBACK undoes it", () =>
    Effect.gen(function*() {
      const { insert, pool, sql, stored, truncate } = yield* setUp
      for (const begin of begins) {
        for (const end of ["ROLLBACK", "COMMIT"]) {
          yield* pool.withConnection(Effect.gen(function*() {
            yield* sql.unsafe(begin)
            yield* insert(1)
            yield* sql.withTransaction(Effect.zipRight(insert(2), sql.withTransaction(insert(3))))
            yield* pool.transaction({})(insert(4))
            assert.deepStrictEqual(yield* stored, [])
            yield* sql.unsafe(end)
          }))
          assert.deepStrictEqual(yield* stored, end === "COMMIT" ? [1, 2, 3, 4] : [])
          yield* truncate
        }
      }
    }))

  it.scopedLive("a failing or interrupted one in it is undone alone, and what follows is still in the user's", () =>
    Effect.gen(function*() {
      const { insert, pool, sql, stored } = yield* setUp
      yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`BEGIN`
        yield* insert(1)
        assert.strictEqual(yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("no")))), "no")
        yield* Effect.exit(sql.withTransaction(Effect.zipRight(insert(3), sql`SELECT 1 / 0`)))
        yield* Effect.timeoutOption(sql.withTransaction(Effect.zipRight(insert(4), sql`SELECT pg_sleep(60)`)), 200)
        yield* Effect.exit(sql.withTransaction(sql.withTransaction(Effect.zipRight(insert(5), Effect.fail("no")))))
        yield* insert(6)
        assert.deepStrictEqual(yield* stored, [])
        yield* sql`COMMIT`
        yield* sql.withTransaction(insert(7))
        assert.deepStrictEqual(yield* stored, [1, 6, 7])
      }))
    }))

  it.scopedLive("streams in it see its rows, and a sibling waits", () =>
    Effect.gen(function*() {
      const { insert, pool, sql, stored, table } = yield* setUp
      yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`BEGIN`
        const nested = sql.withTransaction(
          Effect.zipRight(insert(1), Stream.runCount(sql`SELECT * FROM ${sql(table.name)}`.stream))
        )
        const [count] = yield* Effect.all([nested, insert(2), sql.withTransaction(insert(3))], { concurrency: 3 })
        assert.strictEqual(count, 1)
        yield* sql`COMMIT`
      }))
      assert.deepStrictEqual(yield* stored, [1, 2, 3])
    }))

  it.scopedLive("after one that is still being cancelled it is looked at when that has settled", () =>
    Effect.gen(function*() {
      const { insert, pool, sql, stored } = yield* setUp
      yield* pool.withConnection(Effect.gen(function*() {
        yield* Effect.timeoutOption(sql`BEGIN; SELECT pg_sleep(60)`, 200)
        // The server has undone what was begun, or not begun it: here nobody knows before it has answered.
        const error = yield* Effect.flip(sql.withTransaction(insert(1)))
        assert.strictEqual(codeOf(error), "25P02")
        yield* sql`ROLLBACK`
        yield* sql.withTransaction(insert(2))
      }))
      assert.deepStrictEqual(yield* stored, [2])
    }))

  it.scopedLive("one that has failed takes no other in it: a typed failure, and the body never runs", () =>
    Effect.gen(function*() {
      const { insert, pool, sql, stored } = yield* setUp
      yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`BEGIN`
        yield* Effect.exit(sql`SELECT 1 / 0`)
        const error = yield* Effect.flip(sql.withTransaction(Effect.die("it ran")))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(codeOf(error), "25P02")
        yield* sql`ROLLBACK`
        yield* sql.withTransaction(insert(1))
      }))
      assert.deepStrictEqual(yield* stored, [1])
    }))

  it.scopedLive("options can't be kept in it: a typed failure, and the connection goes on", () =>
    Effect.gen(function*() {
      const { insert, pool, sql, stored } = yield* setUp
      yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`BEGIN`
        for (
          const options of [{ isolation: "serializable" }, { readOnly: true }, { retry: Schedule.recurs(1) }] as const
        ) {
          const error = yield* Effect.flip(pool.transaction(options)(Effect.die("it ran")))
          assert.include((error as Error).message, `options of its own: ${Object.keys(options)[0]}`)
        }
        yield* insert(1)
        yield* sql`COMMIT`
        yield* pool.transaction({ isolation: "serializable" })(insert(2))
      }))
      assert.deepStrictEqual(yield* stored, [1, 2])
    }))
})

describe("R22: a transaction that its body ends by hand", () => {
  for (const end of ["COMMIT", "ROLLBACK", "END", "ABORT", "SELECT 1; COMMIT"]) {
    it.scopedLive(`${end}: what follows is refused, nothing runs outside of it unseen`, () =>
      Effect.gen(function*() {
        const { insert, pool, sql, stored, truncate } = yield* setUp
        const ended = Effect.zipRight(insert(1), sql.unsafe(end))
        const bodies = [
          ended,
          Effect.zipRight(ended, insert(2)),
          Effect.zipRight(ended, Effect.ignore(insert(2))),
          Effect.zipRight(ended, sql.withTransaction(insert(2))),
          Effect.zipRight(ended, Stream.runDrain(sql`SELECT 1`.stream)),
          sql.withTransaction(ended),
          Effect.zipRight(Effect.exit(sql.withTransaction(ended)), insert(2)),
          Effect.all([ended, sql`BEGIN`, insert(2)])
        ]
        for (const body of bodies) {
          const error = yield* promptly(Effect.flip(sql.withTransaction(body)))
          assert.instanceOf(error, SqlError.SqlError)
          assert.strictEqual(causeTagOf(error), "TransactionDoomed")
          assert.include((error as Error).message, "COMMIT or ROLLBACK")
          assert.isFalse(PgError.isRetryable(error))
          assert.deepStrictEqual(yield* stored, end === "ROLLBACK" || end === "ABORT" ? [] : [1])
          yield* truncate
        }
        // The body's own failure is its exit.
        assert.strictEqual(yield* Effect.flip(sql.withTransaction(Effect.zipRight(ended, Effect.fail("no")))), "no")
        yield* truncate
        yield* sql.withTransaction(insert(3))
        assert.deepStrictEqual(yield* stored, [3])
        assert.deepInclude(yield* pool.stats, { opened: 1, busy: 0 })
      }))
  }

  it.scopedLive("a savepoint of the user's, and COMMIT AND CHAIN, end nothing", () =>
    Effect.gen(function*() {
      const { insert, sql, stored } = yield* setUp
      yield* sql.withTransaction(
        Effect.all([sql`SAVEPOINT mine`, insert(1), sql`ROLLBACK TO mine`, insert(2), sql`COMMIT AND CHAIN`, insert(3)])
      )
      assert.deepStrictEqual(yield* stored, [2, 3])
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(sql`SELECT 1`)))
    }))
})
