import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { instrument } from "../support/instrumentation.js"
import { eventually, makePool, makeTable } from "../support/pgPool.js"

/** Of the next statement that is such a text, the driver throws. */
const throwing = (text: RegExp, error: Error, times: number) => {
  let left = times
  return instrument((query) =>
    function(first, ...rest) {
      if (!text.test(first?.text ?? first) || left-- <= 0) return query.call(this, first, ...rest)
      throw error
    }
  )
}

const writeFailed = Object.assign(new Error("write EPIPE"), { syscall: "write", code: "EPIPE" })

describe("R23: a statement whose driver throws on the spot", () => {
  it.scopedLive("R12: it asks for another connection, and an interrupt ends that wait", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const table = yield* makeTable()
      const held = yield* Scope.make()
      yield* Scope.extend(sql.reserve, held)
      yield* throwing(/INSERT/, writeFailed, 1)
      const insert = yield* Effect.fork(sql.unsafe(`INSERT INTO ${table.name} VALUES ($1)`, [1]))
      yield* Effect.sleep(20)
      const sleep = yield* Effect.fork(sql`SELECT pg_sleep(0.3)`)
      yield* Effect.sleep(20)
      // The insert is next. It fails on the spot, and goes to the end of the queue.
      yield* Scope.close(held, Exit.void)
      while ((yield* pool.stats).waiting !== 1) yield* Effect.sleep(1)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(insert)))
      assert.strictEqual((yield* pool.stats).waiting, 0)
      yield* Fiber.join(sleep)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R24: it leaves no deadline behind", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, queryTimeout: "1 hour" })
      const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length
      yield* sql`SELECT 1`
      const before = timers()
      yield* throwing(/bad/, new Error("an instrumentation fails"), 100)
      for (let i = 0; i < 100; i++) assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`SELECT 'bad'`)))
      // A deadline is called off in a fiber of its own.
      yield* eventually(Effect.sync(timers), (count) => count < before + 50)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))
})
