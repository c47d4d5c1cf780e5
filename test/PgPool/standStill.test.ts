import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import { eventually, isSleeping, makePool, pause, serverUrl } from "../support/pgPool.js"
import { standStill } from "../support/standStill.js"

const five = { maxsize: 5, maxoverflow: 5 } as const

/** What was begun before has been sent by then, and its answer comes while nobody looks. */
const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

const all = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.all(Array.from({ length: 5 }, () => effect), { concurrency: 5 })

describe("R14: a process that stands still for longer than a deadline destroys no session that is well", () => {
  it.scopedLive("R17: while sessions are pinged", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ ...five, validateAfterIdle: 1 })
      yield* all(sql`SELECT pg_sleep(0.05)`)
      for (let round = 0; round < 3; round++) {
        yield* pause(20)
        const fiber = yield* Effect.fork(all(sql`SELECT pg_sleep(0.05)`))
        yield* turn
        yield* standStill(700)
        yield* Fiber.join(fiber)
      }
      assert.deepInclude((yield* pool.stats).closed, { dirty: 0, invalidated: 0 })
      assert.strictEqual((yield* pool.stats).opened, 5)
    }))

  it.scopedLive("R15: while they roll back", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(five)
      const gate = yield* Effect.makeLatch()
      const bodies = yield* Effect.fork(all(
        Effect.exit(
          sql.withTransaction(sql`SELECT 1`.pipe(Effect.zipRight(gate.await), Effect.zipRight(Effect.fail("no"))))
        )
      ))
      yield* eventually(pool.stats, ({ busy }) => busy === 5)
      yield* pause(100)
      yield* gate.open
      yield* turn
      yield* standStill(1200)
      yield* Fiber.join(bodies)
      yield* eventually(pool.stats, ({ idle }) => idle === 5)
      assert.strictEqual((yield* pool.stats).opened, 5)
    }))

  it.scopedLive("R16: while they are cancelled", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool(five)
      yield* all(sql`SELECT pg_sleep(0.05)`)
      for (const turns of [0, 1, 2]) {
        const sleepers = yield* Effect.fork(all(sql`SELECT pg_sleep(60)`))
        yield* until((sessions) => sessions.filter(isSleeping).length === 5)
        yield* Fiber.interrupt(sleepers)
        for (let i = 0; i < turns; i++) yield* turn
        yield* standStill(1200)
        yield* eventually(pool.stats, ({ idle }) => idle === 5)
      }
      assert.strictEqual((yield* pool.stats).opened, 5)
    }))

  it.scopedLive("R6: while they are opened", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ ...five, url: proxy.url, connectTimeout: 1000 })
      for (const turns of [1, 3, 6]) {
        const fiber = yield* Effect.fork(all(sql`SELECT pg_sleep(0.05)`))
        for (let i = 0; i < turns; i++) yield* turn
        yield* standStill(1500)
        yield* Fiber.join(fiber)
        yield* pool.evict({ now: true })
        yield* eventually(pool.stats, ({ size }) => size === 0)
      }
      assert.strictEqual((yield* pool.stats).closed.failed, 0)
    }))

  it.scopedLive("R24: while statements run that have a queryTimeout", () =>
    Effect.gen(function*() {
      for (const multiplex of [false, true]) {
        const { pool, sql } = yield* makePool({ ...five, queryTimeout: 300, multiplex })
        yield* sql`SELECT 1`
        const fiber = yield* Effect.fork(all(Effect.exit(sql`SELECT pg_sleep(0.05)`)))
        yield* turn
        yield* standStill(900)
        assert.isTrue(areAll(yield* Fiber.join(fiber), Exit.isSuccess))
        assert.deepInclude((yield* pool.stats).closed, { dirty: 0, invalidated: 0 })
      }
    }))
})
