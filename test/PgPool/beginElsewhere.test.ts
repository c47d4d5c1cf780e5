import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import type { TransactionLevel } from "../../src/internal/postgres/transaction/level.js"
import { byHand, endAtNext, firsts, optionsOf, watched } from "../support/begin.js"
import { samplesOf } from "../support/metrics.js"
import { causeTagOf, eventually, insert, makePool, makeTable, pidOf, promptly, uniqueName } from "../support/pgPool.js"

describe("R22: the session is lost before the transaction has begun", () => {
  for (const [name, first] of Object.entries(firsts)) {
    for (const [how, options] of Object.entries(optionsOf)) {
      it.scopedLive(`R22: ${name} goes to another one, and its body runs once (${how})`, () =>
        Effect.gen(function*() {
          const table = yield* makeTable()
          const { lose, pool, sql } = yield* watched(options)
          let runs = 0
          const losing = Effect.zipRight(Effect.sync(() => runs++), lose)
          yield* promptly(sql.withTransaction(Effect.zipRight(losing, first(sql, table))))
          assert.strictEqual(runs, 1)
          assert.deepStrictEqual(yield* table.ids, [1])
          assert.deepInclude(yield* pool.stats, { opened: 2, idle: 1, busy: 0, waiting: 0 })
        }))
    }
  }

  it.scopedLive("siblings that wait for their turn go with it", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { lose, pool, sql } = yield* watched()
      const body = Effect.gen(function*() {
        yield* lose
        yield* Effect.forEach([1, 2, 3], (id) => insert(sql, table, id), { concurrency: "unbounded" })
        return yield* pidOf(sql)
      })
      yield* promptly(sql.withTransaction(body))
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
      assert.deepInclude(yield* pool.stats, { opened: 2, idle: 1 })
    }))

  it.scopedLive("the last words of a session that was idle: the same", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({
        maxsize: 1,
        maxoverflow: 1,
        validateAfterIdle: "1 hour",
        onConnect: (connection) => connection.executeRaw("SET idle_session_timeout = 40", [])
      })
      for (let id = 0; id < 30; id++) {
        yield* sql.withTransaction(insert(sql, table, id))
        yield* Effect.sleep(37 + id / 6)
      }
      assert.lengthOf(yield* table.ids, 30)
      assert.isAbove((yield* pool.stats).opened, 1)
      assert.strictEqual((yield* pool.stats).rolledBack, 0)
    }))

  it.scopedLive("a connection of one's own is not exchanged: the caller has to know", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* watched()
      const error = yield* pool.withConnection(Effect.gen(function*() {
        yield* Effect.orDie(server.terminate(yield* pidOf(sql)))
        yield* Effect.sleep(50)
        return yield* Effect.flip(sql.withTransaction(sql`SELECT ${1}::int`))
      }))
      assert.strictEqual(causeTagOf(error), "NotSent")
      assert.deepInclude(yield* pool.stats, { opened: 1, busy: 0 })
    }))

  for (const lost of ["before it is sent", "with it"]) {
    it.scopedLive(`what was sent by pg's own client can't come along: the transaction fails (lost ${lost})`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { lose, pool, proxy, sql } = yield* watched()
        const body = Effect.zipRight(
          lost === "with it" ? Effect.sync(() => endAtNext(proxy)) : lose,
          Effect.zipRight(Effect.exit(byHand(table, 1)), insert(sql, table, 2))
        )
        assert.isTrue(Exit.isFailure(yield* promptly(Effect.exit(sql.withTransaction(body)))))
        assert.deepStrictEqual(yield* table.ids, [])
        assert.strictEqual((yield* pool.stats).opened, 1)
      }))
  }

  it.scopedLive("it counts as one statement, no rollback, and its holder stays the same", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { lose, pool, sql } = yield* watched({ name })
      const counts = () => samplesOf(name).filter((sample) => sample.name === "db.client.operation.duration")
      const before = counts().map(({ value }) => value)
      assert.deepStrictEqual(before, [1])
      const fibers: Array<string> = []
      const look = Effect.map(pool.holders, ([{ fiber }]) => void fibers.push(fiber ?? ""))
      const body = Effect.gen(function*() {
        yield* lose
        yield* look
        yield* Effect.all([sql`SELECT ${1}::int`, sql`SELECT ${2}::int`], { concurrency: 2 })
        yield* look
      })
      yield* sql.withTransaction(body)
      assert.strictEqual(fibers[0], fibers[1])
      assert.deepInclude(yield* pool.stats, { opened: 2, rolledBack: 0, acquired: 2 })
      assert.deepStrictEqual(counts().map(({ value }) => value), [3])
    }))

  it.scopedLive("where the answer is lost nobody knows: neither it nor what follows goes elsewhere", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, proxy, sql } = yield* watched()
      endAtNext(proxy)
      const tags: Array<unknown> = []
      const noted = (id: number) =>
        Effect.catchAll(insert(sql, table, id), (error) => Effect.sync(() => tags.push(causeTagOf(error))))
      const body = Effect.forEach([1, 2, 3], noted, { concurrency: "unbounded" })
      assert.strictEqual(
        causeTagOf(yield* Effect.flip(sql.withTransaction(Effect.zipRight(body, noted(4))))),
        "NotSent"
      )
      assert.deepStrictEqual(tags, ["OutcomeUnknown", "NotSent", "NotSent", "NotSent"])
      assert.deepStrictEqual(yield* table.ids, [])
      assert.deepInclude(yield* pool.stats, { opened: 1, rolledBack: 1 })
    }))

  it.scopedLive("where there is no other one the refusal is the statement's, and the transaction's end", () =>
    Effect.gen(function*() {
      const { lose, pool, proxy, sql } = yield* watched({ acquireTimeout: 300, outageTimeout: 300 })
      const body = Effect.gen(function*() {
        proxy.refusing = true
        yield* lose
        yield* Effect.ignore(sql`SELECT ${1}::int`)
        yield* Effect.ignore(sql`SELECT ${2}::int`)
      })
      assert.isDefined(yield* promptly(Effect.flip(sql.withTransaction(body))))
      const { busy, refused, waiting } = yield* pool.stats
      assert.deepStrictEqual({ busy, waiting }, { busy: 0, waiting: 0 })
      assert.strictEqual(Object.values(refused).reduce((sum, n) => sum + n), 1)
    }))

  it.scopedLive("a body that ends while a fiber of its own sees to another one is committed on that", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { lose, pool, proxy, sql } = yield* watched()
      const body = Effect.gen(function*() {
        yield* lose
        proxy.delay = 50
        yield* Effect.forkDaemon(Effect.ignore(insert(sql, table, 1)))
        yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      })
      yield* promptly(sql.withTransaction(body))
      assert.deepInclude(yield* pool.stats, { opened: 2, busy: 0, waiting: 0 })
    }))

  it.scopedLive("who has asked for its processId keeps that session: the transaction fails", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* watched()
      const body = Effect.gen(function*() {
        const [connection] = yield* Effect.orDie(Effect.serviceOptional(SqlClient.TransactionConnection))
        yield* Effect.orDie(server.terminate((connection as TransactionLevel).processId))
        yield* Effect.sleep(50)
        yield* sql`SELECT ${1}::int`
      })
      assert.strictEqual(causeTagOf(yield* promptly(Effect.flip(sql.withTransaction(body)))), "NotSent")
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("interrupted while it waits for another one, it leaves nothing behind", () =>
    Effect.gen(function*() {
      const { lose, pool, proxy, sql } = yield* watched()
      const begun = yield* Deferred.make<void>()
      const body = Effect.gen(function*() {
        proxy.refusing = true
        yield* lose
        yield* Deferred.succeed(begun, undefined)
        yield* sql`SELECT ${1}::int`
      })
      const fiber = yield* Effect.fork(sql.withTransaction(body))
      yield* Deferred.await(begun)
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(fiber))))
      proxy.refusing = false
      assert.deepInclude(yield* pool.stats, { busy: 0, waiting: 0 })
      yield* promptly(sql`SELECT 1`)
    }))

  for (const [name, first] of Object.entries(firsts)) {
    it.scopedLive(`a fiber that the body left behind gets none for itself: ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { lose, pool, proxy, sql } = yield* watched()
        const body = Effect.gen(function*() {
          proxy.refusing = true
          yield* lose
          const left = yield* Effect.forkDaemon(Effect.exit(first(sql, table)))
          yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
          return yield* Effect.fail(left)
        })
        const left = yield* Effect.flip(sql.withTransaction(body)) as Effect.Effect<
          Fiber.Fiber<Exit.Exit<unknown, SqlError>>
        >
        proxy.refusing = false
        assert.isTrue(Exit.isFailure(yield* promptly(Fiber.join(left))))
        assert.deepInclude(yield* pool.stats, { busy: 0, waiting: 0 })
        assert.deepStrictEqual(yield* table.ids, [])
      }))
  }
})
