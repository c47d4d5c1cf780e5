import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Option, Stream } from "effect"
import { insert, makePool, makeSlowCommit, makeTable, pidOf, serverUrl } from "../support/pgPool.js"

describe("R23: whose transaction it is", () => {
  it.scopedLive("a daemon that outlives the transaction in which it was forked uses the pool", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const ended = yield* Deferred.make<void>()
      const daemon = yield* sql.withTransaction(
        Effect.forkDaemon(Effect.zipRight(
          Deferred.await(ended),
          Effect.all([insert(sql, table, 1), sql.withTransaction(insert(sql, table, 2))])
        ))
      )
      // Another transaction on the same connection, which fails.
      yield* Effect.ignore(sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT 1`
        yield* Deferred.succeed(ended, undefined)
        yield* Fiber.join(daemon)
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))

  it.scopedLive("a daemon that asks while its transaction commits uses the pool", () =>
    Effect.gen(function*() {
      const slow = yield* makeSlowCommit(1)
      const table = yield* makeTable()
      const { pool, sql, until } = yield* makePool({ maxsize: 5, maxoverflow: 5 })
      const asked = yield* Deferred.make<void>()
      const committing = yield* Effect.fork(sql.withTransaction(
        Effect.zipRight(
          insert(sql, slow, 1),
          Effect.forkDaemon(Effect.zipRight(
            Deferred.await(asked),
            Effect.all([
              insert(sql, table, 1),
              sql.withTransaction(insert(sql, table, 2)),
              pool.withConnection(insert(sql, table, 3)),
              Stream.runDrain(sql`SELECT 1`.stream)
            ])
          ))
        )
      ))
      yield* until((sessions) => sessions.some(({ query, state }) => query === "COMMIT" && state === "active"))
      yield* Deferred.succeed(asked, undefined)
      yield* Effect.flatMap(Fiber.join(committing), Fiber.join)
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
    }))

  it.scopedLive("another pool's query inside our transaction runs on a connection of its own", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const ours = yield* makePool()
      const theirs = yield* makePool()
      yield* Effect.ignore(ours.sql.withTransaction(Effect.gen(function*() {
        assert.notStrictEqual(yield* pidOf(ours.sql), yield* pidOf(theirs.sql))
        yield* insert(ours.sql, table, 1)
        yield* insert(theirs.sql, table, 2)
        yield* theirs.sql.withTransaction(insert(theirs.sql, table, 3))
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [2, 3])
    }))

  it.scopedLive("our query inside a transaction of another client's runs on a connection of its own", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const stock = Context.get(yield* Layer.build(PgClient.layer({ url: serverUrl })), PgClient.PgClient)
      yield* Effect.ignore(stock.withTransaction(Effect.gen(function*() {
        yield* stock`INSERT INTO ${stock(table.name)} (id) VALUES (1)`
        yield* insert(sql, table, 2)
        yield* sql.withTransaction(insert(sql, table, 3))
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [2, 3])
    }))

  it.scopedLive("the global tag is set, and alone it leads back to the transaction", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        const pid = yield* pidOf(sql)
        const carried = Option.getOrThrow(yield* Effect.serviceOption(SqlClient.TransactionConnection))
        // In a runtime of its own nothing of ours comes along.
        const alone = Effect.provideService(pidOf(sql), SqlClient.TransactionConnection, carried)
        assert.strictEqual(yield* Effect.promise(() => Effect.runPromise(alone)), pid)
        assert.notStrictEqual(yield* Effect.promise(() => Effect.runPromise(pidOf(sql))), pid)
      }))
    }))

  it.scopedLive("nested transactions and their statements share the one connection", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const pids = yield* sql.withTransaction(Effect.all([
        pidOf(sql),
        sql.withTransaction(Effect.all([pidOf(sql), sql.withTransaction(pidOf(sql))]))
      ]))
      assert.strictEqual(new Set(pids.flat(2)).size, 1)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("a pool's transaction in fibers that run at the same time are apart", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* Effect.forEach(
        Array.from({ length: 12 }, (_, id) => id),
        (id) =>
          sql.withTransaction(Effect.gen(function*() {
            yield* insert(sql, table, id)
            yield* sql`SELECT pg_sleep(0.01)`
            if (id % 2 === 1) return yield* Effect.fail("no")
          })).pipe(Effect.ignore),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* table.ids, [0, 2, 4, 6, 8, 10])
    }))
})
