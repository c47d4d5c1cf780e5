import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberId, Option, Stream } from "effect"
import { Socket } from "node:net"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { causeTagOf, eventually, insert, makePool, makeTable, pidOf, promptly, serverUrl } from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

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

describe("R22: interrupted between the answer and hearing it", () => {
  it.scopedLive("R22: BEGIN on a kept connection is undone: what follows is in no transaction", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { interruptAt, pool, sql } = yield* makeAnswering
      yield* pool.withConnection(Effect.gen(function*() {
        yield* interruptAt("BEGIN", sql.withTransaction(Effect.void))
        yield* insert(sql, table, 1)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R22: SAVEPOINT is undone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { interruptAt, sql } = yield* makeAnswering
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* interruptAt("SAVEPOINT", sql.withTransaction(Effect.void))
        yield* insert(sql, table, 1)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R22: RELEASE and plain statements doom the transaction, with the typed error", () =>
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

  it.scopedLive("R22: an event tells how COMMIT has ended", () =>
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

describe("R22: statements cut off inside a transaction", () => {
  it.scopedLive("R22: it dooms the transaction: what follows fails with one typed error, nothing is stored", () =>
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

  it.scopedLive("R22: it dooms it also where the statement ends before the cancel arrives", () =>
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

  it.scopedLive("R22: it dooms its innermost transaction alone", () =>
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
    it.scopedLive(`R22: a nested transaction that is ${how} in its RELEASE dooms the one around it`, () =>
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

  it.scopedLive("R22: queryTimeout dooms it as well", () =>
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

  it.scopedLive("R22: a statement that was interrupted in its turn, before it was sent, dooms nothing", () =>
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
