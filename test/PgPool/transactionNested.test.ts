import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option } from "effect"
import * as Proxy from "../../src/internal/testing/proxy.js"
import {
  causeTagOf,
  codeOf,
  insert,
  makePool,
  makeTable,
  makeWarmPool,
  promptly,
  serverUrl
} from "../support/pgPool.js"

describe("R23: nested transactions", () => {
  it.scopedLive("R23: a failing one is undone alone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(sql, table, 2), sql`SELECT 1 / 0`)))
        assert.strictEqual(codeOf(error), "22012")
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 3)
          yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(sql, table, 4), Effect.fail("no"))))
          yield* sql.withTransaction(insert(sql, table, 5))
        }))
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 3, 5])
    }))

  it.scopedLive("R23: the failure of the outer one undoes what the inner ones did", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(sql.withTransaction(insert(sql, table, 1)), Effect.fail("no"))
      ))
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R23: an interrupted one is undone alone, where the outer one goes on", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        const inner = sql.withTransaction(Effect.zipRight(insert(sql, table, 2), Effect.never))
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(inner, "200 millis")))
        yield* insert(sql, table, 3)
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 3])
    }))

  it.scopedLive("R23: one that is interrupted at the very end is undone before the COMMIT of the outer one", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, cleanupTimeout: "10 seconds" })
      for (const [i, rest] of [Effect.never, sql`SELECT pg_sleep(60)`].entries()) {
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 2 * i)
          const inside = yield* Deferred.make<void>()
          const nested = yield* Effect.fork(sql.withTransaction(
            insert(sql, table, 2 * i + 1).pipe(
              Effect.zipRight(Deferred.succeed(inside, undefined)),
              Effect.zipRight(Effect.asVoid(rest))
            )
          ))
          yield* Deferred.await(inside)
          proxy.delay = 100
          yield* Fiber.interrupt(nested)
        }))
        proxy.delay = 0
      }
      assert.deepStrictEqual(yield* table.ids, [0, 2])
    }))

  it.scopedLive("R23: a statement cut off in a nested one is undone with it, where the outer one goes on", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        const inner = sql.withTransaction(Effect.zipRight(insert(sql, table, 2), sql`SELECT pg_sleep(60)`))
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(inner, "200 millis")))
        yield* insert(sql, table, 3)
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 3])
    }))

  it.scopedLive("R23: savepoints are released", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      const names: Array<string> = []
      const released: Array<string> = []
      proxy.onRequest = (chunk) => {
        const text = chunk.toString("latin1")
        for (const [, name] of text.matchAll(/(?<!TO )(?<!RELEASE )SAVEPOINT (\w+)/g)) names.push(name)
        for (const [, name] of text.matchAll(/RELEASE SAVEPOINT (\w+)/g)) released.push(name)
      }
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql.withTransaction(sql.withTransaction(sql`SELECT 1`))
        yield* Effect.ignore(sql.withTransaction(Effect.fail("no")))
      }))
      assert.strictEqual(new Set(names).size, 3)
      assert.deepStrictEqual(released.sort(), names.sort())
    }))

  it.scopedLive("R23: concurrent ones run one after the other, and each is undone alone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool()
      let inside = 0
      yield* sql.withTransaction(Effect.forEach(
        Array.from({ length: 20 }, (_, id) => id),
        (id) =>
          sql.withTransaction(Effect.gen(function*() {
            assert.strictEqual(++inside, 1)
            yield* insert(sql, table, id)
            yield* Effect.yieldNow()
            yield* sql`SELECT 1`
            inside--
            if (id % 3 === 0) return yield* Effect.fail("no")
          })).pipe(Effect.ignore),
        { concurrency: "unbounded" }
      ))
      const expected = Array.from({ length: 20 }, (_, id) => id).filter((id) => id % 3 !== 0)
      assert.deepStrictEqual(yield* table.ids, expected)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("R23: a sibling's statement waits, so that it is not undone with a nested one", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      yield* sql.withTransaction(Effect.gen(function*() {
        const nested = yield* Effect.fork(Effect.flip(sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 1)
          yield* Deferred.succeed(inside, undefined)
          yield* Deferred.await(goOn)
          return yield* Effect.fail("no")
        }))))
        yield* Deferred.await(inside)
        const sibling = yield* Effect.fork(insert(sql, table, 2))
        yield* Effect.sleep("100 millis")
        assert.isNull(sibling.unsafePoll())
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(sibling)
        yield* Fiber.join(nested)
      }))
      assert.deepStrictEqual(yield* table.ids, [2])
    }))

  it.scopedLive("R23: a waiting sibling, statement or transaction, can be interrupted", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      yield* sql.withTransaction(Effect.gen(function*() {
        const nested = yield* Effect.fork(sql.withTransaction(
          insert(sql, table, 1).pipe(
            Effect.zipRight(Deferred.succeed(inside, undefined)),
            Effect.zipRight(Deferred.await(goOn))
          )
        ))
        yield* Deferred.await(inside)
        const statement = yield* Effect.fork(insert(sql, table, 2))
        const transaction = yield* Effect.fork(sql.withTransaction(insert(sql, table, 3)))
        yield* Effect.sleep("50 millis")
        assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(statement))))
        assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(transaction))))
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(nested)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R23: a sibling waits at most acquireTimeout, and is told what it waited for", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeWarmPool({ acquireTimeout: 200 })
      yield* sql.withTransaction(Effect.gen(function*() {
        const inside = yield* Deferred.make<void>()
        const goOn = yield* Deferred.make<void>()
        const nested = yield* Effect.fork(sql.withTransaction(
          Deferred.succeed(inside, undefined).pipe(
            Effect.zipRight(Deferred.await(goOn)),
            Effect.zipRight(insert(sql, table, 1))
          )
        ))
        yield* Deferred.await(inside)
        for (const sibling of [insert(sql, table, 2), sql.withTransaction(insert(sql, table, 3))]) {
          const error = yield* promptly(Effect.flip(Effect.asVoid(sibling)))
          assert.instanceOf(error, SqlError.SqlError)
          assert.strictEqual(causeTagOf(error), "ConnectionBusy")
          assert.match(error.message, /^A nested transaction had .* for \d+ ms \(acquireTimeout: 200 ms\)\. /)
        }
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(nested)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R23: it waits no longer where it can't be interrupted", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeWarmPool({ acquireTimeout: 200 })
      yield* sql.withTransaction(Effect.gen(function*() {
        const inside = yield* Deferred.make<void>()
        const nested = yield* Effect.fork(
          sql.withTransaction(Effect.zipRight(Deferred.succeed(inside, undefined), Effect.never))
        )
        yield* Deferred.await(inside)
        const error = yield* promptly(Effect.uninterruptible(Effect.flip(sql`SELECT 1`)))
        assert.strictEqual(causeTagOf(error), "ConnectionBusy")
        yield* Fiber.interrupt(nested)
      }))
    }))

  it.scopedLive("R23: statements wait for statements as long as it takes", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeWarmPool({ acquireTimeout: 50 })
      yield* sql.withTransaction(
        Effect.all([sql`SELECT pg_sleep(0.4)`, sql`SELECT 1`, sql`SELECT 2`], { concurrency: "unbounded" })
      )
    }))

  it.scopedLive("R23: interrupted at any moment, also when its turn has just come, nobody keeps the turn", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        for (let i = 0; i < 100; i++) {
          const holder = yield* Effect.fork(sql.withTransaction(Effect.yieldNow()))
          const waiters = yield* Effect.forEach([1, 2, 3], () => Effect.fork(sql.withTransaction(Effect.void)))
          const other = waiters[i % 3]
          if (i % 2 === 0) holder.addObserver(() => other.unsafeInterruptAsFork(other.id()))
          else yield* Fiber.interruptFork(other)
          yield* Fiber.awaitAll([holder, ...waiters])
        }
        assert.deepStrictEqual(yield* promptly(sql`SELECT 1 AS one`), [{ one: 1 }])
      }))
    }))

  it.scopedLive("R23: a transaction that ends while a nested one still runs is rolled back", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const nested = sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        yield* Deferred.succeed(inside, undefined)
        yield* Deferred.await(goOn)
        yield* insert(sql, table, 2)
      }))
      const daemon = yield* Deferred.make<Fiber.Fiber<void, SqlError.SqlError>>()
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* Deferred.succeed(daemon, yield* Effect.forkDaemon(nested))
        yield* Deferred.await(inside)
      })).pipe(Effect.flip)
      assert.strictEqual(causeTagOf(error), "TransactionDoomed")
      assert.include(error.message, "nested")
      // What it goes on with never reaches the connection's next borrower.
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 3)
        yield* Deferred.succeed(goOn, undefined)
        const error = yield* Effect.flip(Fiber.join(yield* Deferred.await(daemon)))
        assert.strictEqual(causeTagOf(error), "LeaseEnded")
        yield* insert(sql, table, 4)
      }))
      assert.deepStrictEqual(yield* table.ids, [3, 4])
    }))

  it.scopedLive("R23: concurrent statements of one transaction all get their own answers", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const numbers = Array.from({ length: 50 }, (_, n) => n)
      const answers = yield* sql.withTransaction(Effect.forEach(
        numbers,
        (n) => Effect.map(sql<{ n: number }>`SELECT ${n}::integer AS n`, (rows) => rows[0].n),
        { concurrency: "unbounded" }
      ))
      assert.deepStrictEqual(answers, numbers)
    }))
})
