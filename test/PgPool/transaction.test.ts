import { SqlClient, SqlError } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, FiberId, Layer, Logger, Option, Stream } from "effect"
import { Socket } from "node:net"
import type { TestPool } from "../support/pgPool.js"
import {
  causeTagOf,
  codeOf,
  eventually,
  insert,
  makePool,
  makeSlowCommit,
  makeTable,
  makeWarmPool,
  pidOf,
  promptly,
  serverUrl
} from "../support/pgPool.js"
import * as Proxy from "../support/proxy.js"
import { withLogs } from "../support/testPool.js"

describe("R22 commit and rollback", () => {
  it.scopedLive("R22 commits what the body did and gives what it gave", () =>
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

  it.scopedLive("R22 a failing body is rolled back before its failure comes out", () =>
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

  it.scopedLive("R22 a defect of the body is rolled back and comes out as it is", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const exit = yield* Effect.exit(sql.withTransaction(Effect.zipRight(insert(sql, table, 1), Effect.die("bug"))))
      assert.deepStrictEqual(exit, Exit.die("bug"))
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22 an interrupted body returns at once, the connection's own fiber rolls back", () =>
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

  it.scopedLive("R22 a COMMIT that the server answers with ROLLBACK is a failure", () =>
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

  it.scopedLive("R22 what a deferred constraint says at COMMIT is a typed failure with its SQLSTATE", () =>
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

  it.scopedLive("R22 a failing BEGIN is a typed failure, and the body never runs", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      yield* sql`SELECT 1`
      proxy.onRequest = (chunk) => {
        if (chunk.includes("BEGIN")) proxy.reset()
      }
      let ran = false
      const error = yield* Effect.flip(sql.withTransaction(Effect.sync(() => ran = true)))
      assert.instanceOf(error, SqlError.SqlError)
      assert.isFalse(ran)
      proxy.onRequest = () => {}
      assert.strictEqual(yield* sql.withTransaction(Effect.succeed(1)), 1)
    }))

  it.scopedLive("R22 the body's own failure is kept where ROLLBACK fails", () =>
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

  it.scopedLive("R22 nothing is rolled back, and nothing logged, where the connection was lost", () =>
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

  it.scopedLive("R22 a session killed in the body: its statements fail typed, and nothing was stored", () =>
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

  it.scopedLive("R22 a COMMIT that could not be sent has a known outcome", () =>
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

  it.scopedLive("R22 ROLLBACK is awaited for at most cleanupTimeout", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, cleanupTimeout: 200 })
      const error = yield* sql.withTransaction(Effect.zipRight(
        Effect.sync(() => proxy.blackhole()),
        Effect.fail("mine" as const)
      )).pipe(Effect.flip, promptly)
      assert.strictEqual(error, "mine")
      yield* eventually(pool.stats, ({ size }) => size === 0)
    }))
})

describe("R22 lost answers", () => {
  it.scopedLive("R22 a COMMIT whose answer is lost may be stored", () =>
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

  it.scopedLive("R22 a COMMIT that never arrives fails in the same way, and is not tried again", () =>
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

  it.scopedLive("R22 a session killed during COMMIT", () =>
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

  it.scopedLive("R22 a statement whose answer is lost fails with OutcomeUnknown and is not sent again", () =>
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

  it.scopedLive("R22 COMMIT is not cancelled: an interrupted caller returns at once, and the COMMIT ends", () =>
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

  it.scopedLive("R22 an event tells how the COMMIT of an interrupted caller has ended", () =>
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
        const test = yield* makePool({ cleanupTimeout: "10 seconds" })
        yield* test.server.terminate(yield* commitAndLeave(test, 2))
        const isUnknown = (line: string) => line.startsWith("WARN It is not known what became of a transaction")
        yield* eventually(Effect.sync(() => logs), (logs) => logs.some(isUnknown))
      })
    ))
})

describe("R22 waiting", () => {
  it.scopedLive("R22 waiting for a transaction's connection can be interrupted", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      yield* sql.reserve
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.void))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(fiber))))
      assert.strictEqual((yield* pool.stats).waiting, 0)
    }))

  it.scopedLive("R22 a caller's own timeout is kept while BEGIN has no answer", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url })
      yield* sql`SELECT 1`
      proxy.blackhole()
      const result = yield* promptly(Effect.timeoutOption(sql.withTransaction(Effect.void), "100 millis"))
      assert.isTrue(Option.isNone(result))
    }))
})

describe("R23 nested transactions", () => {
  it.scopedLive("R23 a failing one is undone alone", () =>
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

  it.scopedLive("R23 the failure of the outer one undoes what the inner ones did", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(sql.withTransaction(insert(sql, table, 1)), Effect.fail("no"))
      ))
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R23 an interrupted one is undone alone, where the outer one goes on", () =>
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

  it.scopedLive("R23 one that is interrupted at the very end is undone before the COMMIT of the outer one", () =>
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

  it.scopedLive("R23 a statement cut off in a nested one is undone with it, where the outer one goes on", () =>
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

  it.scopedLive("R23 savepoints are released", () =>
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

  it.scopedLive("R23 concurrent ones run one after the other, and each is undone alone", () =>
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

  it.scopedLive("R23 a sibling's statement waits, so that it is not undone with a nested one", () =>
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

  it.scopedLive("R23 a waiting sibling, statement or transaction, can be interrupted", () =>
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

  it.scopedLive("R23 a sibling waits at most acquireTimeout, and is told what it waited for", () =>
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

  it.scopedLive("R23 it waits no longer where it can't be interrupted", () =>
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

  it.scopedLive("R23 statements wait for statements as long as it takes", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeWarmPool({ acquireTimeout: 50 })
      yield* sql.withTransaction(
        Effect.all([sql`SELECT pg_sleep(0.4)`, sql`SELECT 1`, sql`SELECT 2`], { concurrency: "unbounded" })
      )
    }))

  it.scopedLive("R23 interrupted at any moment, also when its turn has just come, nobody keeps the turn", () =>
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

  it.scopedLive("R23 a transaction that ends while a nested one still runs is rolled back", () =>
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

  it.scopedLive("R23 concurrent statements of one transaction all get their own answers", () =>
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

/** A pool, and what interrupts a fiber when the server has answered `command` but the fiber has not heard it. */
const makeAnswering = Effect.gen(function*() {
  let listener = (_: Buffer) => {}
  const test = yield* makePool({
    maxsize: 1,
    stream: () => {
      const socket = new Socket()
      // Before what wakes the fiber, which is put into the same queue later.
      socket.on("data", (chunk) => queueMicrotask(() => listener(chunk)))
      return socket
    }
  })
  const interruptAt = <A, E, R>(command: string, effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(effect)
      listener = (chunk) => {
        if (chunk.includes(`${command}\0`)) fiber.unsafeInterruptAsFork(FiberId.none)
      }
      const exit = yield* Fiber.await(fiber)
      listener = () => {}
      assert.isTrue(Exit.isInterrupted(exit))
    })
  return { ...test, interruptAt }
})

describe("R22 interrupted between the answer and hearing it", () => {
  it.scopedLive("R22 BEGIN on a kept connection is undone: what follows is in no transaction", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { interruptAt, pool, sql } = yield* makeAnswering
      yield* pool.withConnection(Effect.gen(function*() {
        yield* interruptAt("BEGIN", sql.withTransaction(Effect.void))
        yield* insert(sql, table, 1)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R22 SAVEPOINT is undone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { interruptAt, sql } = yield* makeAnswering
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* interruptAt("SAVEPOINT", sql.withTransaction(Effect.void))
        yield* insert(sql, table, 1)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R22 RELEASE and plain statements doom the transaction, with the typed error", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { interruptAt, sql } = yield* makeAnswering
      const inner = { RELEASE: sql.withTransaction(insert(sql, table, 1)), "INSERT 0 1": insert(sql, table, 1) }
      for (const [command, effect] of Object.entries(inner)) {
        const error = yield* sql.withTransaction(Effect.gen(function*() {
          yield* interruptAt(command, effect)
          assert.strictEqual(causeTagOf(yield* Effect.flip(insert(sql, table, 2))), "TransactionDoomed")
        })).pipe(Effect.flip)
        assert.strictEqual(causeTagOf(error), "TransactionDoomed")
      }
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22 an event tells how COMMIT has ended", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { interruptAt, sql } = yield* makeAnswering
        yield* interruptAt("COMMIT", sql.withTransaction(insert(sql, table, 1)))
        assert.deepStrictEqual(yield* table.ids, [1])
        yield* eventually(Effect.sync(() => logs), (logs) => logs.some((line) => line.includes("was committed")))
      })
    ))
})

describe("R22 statements cut off inside a transaction", () => {
  it.scopedLive("R22 it dooms the transaction: what follows fails with one typed error, nothing is stored", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool({ maxsize: 1 })
      const pid = yield* pidOf(sql)
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, "200 millis")))
        const next = {
          statement: insert(sql, table, 2),
          values: sql`SELECT 1`.values,
          stream: Stream.runDrain(sql`SELECT 1`.stream),
          nested: sql.withTransaction(Effect.void)
        }
        for (const effect of Object.values<Effect.Effect<unknown, SqlError.SqlError>>(next)) {
          const error = yield* Effect.flip(effect)
          assert.instanceOf(error, SqlError.SqlError)
          assert.strictEqual(causeTagOf(error), "TransactionDoomed")
        }
      })).pipe(Effect.flip)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "TransactionDoomed")
      assert.deepStrictEqual(yield* table.ids, [])
      assert.strictEqual(yield* pidOf(sql), pid)
    }))

  it.scopedLive("R22 it dooms it also where the statement ends before the cancel arrives", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool({ maxsize: 1, cleanupTimeout: "10 seconds" })
      const commits: Array<number> = []
      const cut: Array<number> = []
      for (let id = 0; id < 60; id++) {
        const exit = yield* Effect.exit(sql.withTransaction(Effect.gen(function*() {
          const answer = yield* Effect.timeoutOption(insert(sql, table, id), id % 3)
          if (Option.isNone(answer)) cut.push(id)
          yield* sql`SELECT 1`
        })))
        if (Exit.isSuccess(exit)) commits.push(id)
      }
      assert.deepStrictEqual(yield* table.ids, commits)
      // Who was interrupted before it was sent dooms nothing; its transaction stores no row of that statement.
      for (const id of cut) assert.notInclude(yield* table.ids, id)
    }))

  it.scopedLive("R22 it dooms its innermost transaction alone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        const error = yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 2)
          yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, "200 millis")
        })).pipe(Effect.flip)
        assert.strictEqual(causeTagOf(error), "TransactionDoomed")
        yield* insert(sql, table, 3)
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 3])
    }))

  for (const [how, leave] of Object.entries({ interrupted: undefined, "out of time": 200 })) {
    it.scopedLive(`R22 a nested transaction that is ${how} in its RELEASE dooms the one around it`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const proxy = yield* Proxy.start(serverUrl)
        const { sql } = yield* makePool({ url: proxy.url, cleanupTimeout: "10 seconds", queryTimeout: leave })
        yield* sql`SELECT 1`
        const released = yield* Deferred.make<void>()
        const error = yield* sql.withTransaction(Effect.gen(function*() {
          proxy.onRequest = (chunk) => {
            if (!chunk.includes("RELEASE")) return
            proxy.onRequest = () => {}
            proxy.delay = 600
            Deferred.unsafeDone(released, Exit.void)
          }
          const nested = yield* Effect.fork(sql.withTransaction(insert(sql, table, 1)))
          yield* Deferred.await(released)
          if (leave === undefined) yield* promptly(Fiber.interrupt(nested))
          assert.isTrue(Exit.isFailure(yield* Fiber.await(nested)))
          proxy.delay = 0
        })).pipe(Effect.flip)
        assert.strictEqual(causeTagOf(error), "TransactionDoomed")
        assert.deepStrictEqual(yield* table.ids, [])
      }))
  }

  it.scopedLive("R22 queryTimeout dooms it as well", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool({ queryTimeout: 200 })
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        assert.strictEqual(causeTagOf(yield* Effect.flip(sql`SELECT pg_sleep(60)`)), "OutcomeUnknown")
      })).pipe(Effect.flip)
      assert.strictEqual(causeTagOf(error), "TransactionDoomed")
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22 a statement that was interrupted in its turn, before it was sent, dooms nothing", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      yield* sql.withTransaction(Effect.gen(function*() {
        const slow = yield* Effect.fork(sql`SELECT pg_sleep(0.3)`)
        yield* Effect.yieldNow()
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(insert(sql, table, 1), "50 millis")))
        yield* Fiber.join(slow)
        yield* insert(sql, table, 2)
      }))
      assert.deepStrictEqual(yield* table.ids, [2])
    }))
})

describe("whose transaction it is", () => {
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
