import { SqlClient, SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { PgPool } from "effect-pgpool"
import {
  causeTagOf,
  eventually,
  makePool,
  makeTable,
  makeWarmPool,
  pidOf,
  promptly,
  serverUrl
} from "../support/pgPool.js"

describe("R23: withConnection", () => {
  it.scopedLive("every statement runs on one connection, in whatever fiber, and no transaction is open", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const pids = yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`CREATE TEMPORARY TABLE mine (id integer)`
        yield* sql`INSERT INTO mine VALUES (1)`
        const [{ id }] = yield* sql<{ id: number }>`SELECT id FROM mine`
        assert.strictEqual(id, 1)
        // In a transaction it would stand still.
        const [{ moved }] = yield* sql<{ moved: boolean }>`SELECT now() = statement_timestamp() AS moved`
        assert.isTrue(moved)
        return yield* Effect.all(Effect.replicate(pidOf(sql), 5), { concurrency: "unbounded" })
      }))
      assert.strictEqual(new Set(pids).size, 1)
      assert.deepInclude(yield* pool.stats, { opened: 1, busy: 0 })
    }))

  it.scopedLive("the effect runs with all it has, and its exit is the exit", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool()
      assert.strictEqual(yield* pool.withConnection(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(pool.withConnection(Effect.fail("no"))), "no")
      assert.deepStrictEqual(yield* Effect.exit(pool.withConnection(Effect.die("bug"))), Exit.die("bug"))
      assert.deepInclude(yield* pool.stats, { busy: 0 })
    }))

  it.scopedLive("transactions inside run on it, nested ones too, and end where they end", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool()
      const insert = (id: number) => sql`INSERT INTO ${sql(table.name)} (id) VALUES (${id})`
      yield* pool.withConnection(Effect.gen(function*() {
        const pid = yield* pidOf(sql)
        yield* sql.withTransaction(Effect.gen(function*() {
          assert.strictEqual(yield* pidOf(sql), pid)
          yield* insert(1)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("no"))))
          assert.deepStrictEqual(yield* table.ids, [])
        }))
        assert.deepStrictEqual(yield* table.ids, [1])
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(3), Effect.fail("no"))))
        yield* insert(4)
        assert.deepStrictEqual(yield* table.ids, [1, 4])
      }))
    }))

  it.scopedLive("a transaction that is interrupted is undone before the next statement", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const insert = (id: number) => sql`INSERT INTO ${sql(table.name)} (id) VALUES (${id})`
      yield* pool.withConnection(Effect.gen(function*() {
        for (const [id, rest] of [sql`SELECT pg_sleep(60)`, Effect.never].entries()) {
          const body = Effect.zipRight(insert(2 * id), Effect.asVoid(rest))
          assert.isTrue(Option.isNone(yield* Effect.timeoutOption(sql.withTransaction(body), "200 millis")))
          yield* insert(2 * id + 1)
        }
        assert.deepStrictEqual(yield* table.ids, [1, 3])
        // BEGIN cut off at any moment leaves no transaction open either.
        for (let millis = 0; millis < 4; millis++) {
          yield* Effect.timeoutOption(sql.withTransaction(Effect.sleep(millis)), millis)
          const [{ moved }] = yield* sql<{ moved: boolean }>`SELECT now() = statement_timestamp() AS moved`
          assert.isTrue(moved)
        }
      }))
    }))

  it.scopedLive("inside another one, and inside a transaction, it changes nothing", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const inside = pool.withConnection(pidOf(sql))
      const [a, b] = yield* pool.withConnection(Effect.all([pidOf(sql), inside]))
      assert.strictEqual(a, b)
      const [c, d] = yield* sql.withTransaction(Effect.all([pidOf(sql), inside]))
      assert.strictEqual(c, d)
    }))

  it.scopedLive("R15: a fiber that outlives it uses the pool, and what was queued in it fails", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const ended = yield* Deferred.make<void>()
      const daemon = yield* pool.withConnection(
        Effect.forkDaemon(Effect.zipRight(Deferred.await(ended), sql`SELECT 1 AS one`))
      )
      yield* Deferred.succeed(ended, undefined)
      assert.deepStrictEqual(yield* Fiber.join(daemon), [{ one: 1 }])
      const queued = yield* pool.withConnection(Effect.gen(function*() {
        yield* Effect.forkDaemon(sql`SELECT pg_sleep(0.2)`)
        yield* Effect.yieldNow()
        const queued = yield* Effect.forkDaemon(sql`SELECT 1`)
        yield* Effect.yieldNow()
        return queued
      }))
      assert.strictEqual(causeTagOf(yield* Effect.flip(Fiber.join(queued))), "LeaseEnded")
    }))

  it.scopedLive("R23: a stream has the connection to itself, and who waits for it inside is told so", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makeWarmPool({ acquireTimeout: 200 })
      const error = yield* pool.withConnection(
        Stream.runForEach(sql`SELECT n FROM generate_series(1, 1000) n`.stream, () => sql`SELECT 1`)
      ).pipe(Effect.flip, promptly)
      assert.strictEqual(causeTagOf(error), "ConnectionBusy")
      assert.include(error.message, "stream")
    }))

  it.scopedLive("a stream that begins during a transaction of another fiber waits for its end", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const count = yield* pool.withConnection(Effect.gen(function*() {
        const inside = yield* Deferred.make<void>()
        const transaction = yield* Effect.fork(
          sql.withTransaction(Effect.zipRight(Deferred.succeed(inside, undefined), sql`SELECT pg_sleep(0.2)`))
        )
        yield* Deferred.await(inside)
        const count = yield* Stream.runCount(sql`SELECT n FROM generate_series(1, 1000) n`.stream)
        yield* Fiber.join(transaction)
        return count
      }))
      assert.strictEqual(count, 1000)
    }))

  it.scopedLive("a transaction that outlives it was not committed, and that is known", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool()
      const ended = yield* Deferred.make<void>()
      const inside = yield* Deferred.make<void>()
      const daemon = yield* pool.withConnection(Effect.gen(function*() {
        const daemon = yield* Effect.forkDaemon(sql.withTransaction(
          sql`INSERT INTO ${sql(table.name)} (id) VALUES (1)`.pipe(
            Effect.zipRight(Deferred.succeed(inside, undefined)),
            Effect.zipRight(Deferred.await(ended))
          )
        ))
        yield* Deferred.await(inside)
        return daemon
      }))
      yield* Deferred.succeed(ended, undefined)
      assert.strictEqual(causeTagOf(yield* Effect.flip(Fiber.join(daemon))), "LeaseEnded")
      yield* eventually(table.ids, (ids) => ids.length === 0)
    }))

  it.scopedLive("a statement interrupted in it dooms nothing", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ cleanupTimeout: "10 seconds" })
      yield* pool.withConnection(Effect.gen(function*() {
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, "100 millis")))
        assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      }))
    }))

  it.scopedLive("waiting for its connection can be interrupted, and fails as for a statement", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makeWarmPool({ maxsize: 1, maxoverflow: 1, acquireTimeout: 300 })
      yield* sql.reserve
      const waiting = yield* Effect.fork(pool.withConnection(Effect.void))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(waiting))))
      const error = yield* Effect.flip(pool.withConnection(Effect.void))
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "PoolExhausted")
    }))

  it.effect("as a function of the module it needs the pool of the layer", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const pid = Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, (rows) => rows[0].pid)
      const pids = yield* PgPool.withConnection(Effect.all([pid, pid, PgPool.transaction({})(pid)]))
      assert.strictEqual(new Set(pids).size, 1)
    }).pipe(Effect.provide(PgPool.layer({ url: serverUrl }))))
})
