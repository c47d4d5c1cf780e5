import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type { Scope } from "effect"
import type { PgPool, PoolError } from "effect-pgpool"
import { PoolHolder } from "effect-pgpool"
import type { TestPool } from "../support/pgPool.js"
import { eventually, isSleeping, makePool, makeWarmPool, pidOf } from "../support/pgPool.js"

const here = /^test\/PgPool\/holders\.test\.ts:\d+:\d+$/

const sleep = "SELECT pg_sleep(60)"

/** Every way to hold a connection, while a statement runs on it for long. */
const running: Record<string, (test: TestPool) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
  "a statement": ({ sql }) => sql.unsafe(sleep),
  "a statement with parameters": ({ sql }) => sql`SELECT pg_sleep(${60})`,
  "a stream": ({ sql }) => Stream.runDrain(sql`SELECT pg_sleep(60)`.stream),
  "a transaction": ({ sql }) => sql.withTransaction(sql.unsafe(sleep)),
  "transaction with options": ({ pool, sql }) => pool.transaction({ isolation: "serializable" })(sql.unsafe(sleep)),
  "a nested transaction": ({ sql }) => sql.withTransaction(sql.withTransaction(sql.unsafe(sleep))),
  "withConnection": ({ pool, sql }) => pool.withConnection(sql.unsafe(sleep)),
  "reserve": ({ sql }) => Effect.flatMap(sql.reserve, (connection) => connection.executeRaw(sleep, [])),
  "use": ({ pool }) => pool.use((connection) => connection.executeRaw(sleep, [])),
  "get": ({ pool }) => Effect.flatMap(pool.get, (connection) => connection.executeRaw(sleep, []))
}

/** The same without a statement. */
const resting: Record<string, (test: TestPool) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
  "a transaction": ({ sql }) => sql.withTransaction(Effect.never),
  "withConnection": ({ pool }) => pool.withConnection(Effect.never),
  "reserve": ({ sql }) => Effect.zipRight(sql.reserve, Effect.never),
  "use": ({ pool }) => pool.use(() => Effect.never),
  "get": ({ pool }) => Effect.zipRight(pool.get, Effect.never)
}

const theHolder = (pool: PgPool.PgPool, isRunning: boolean) =>
  Effect.map(
    // A transaction has a statement of its own before its body begins, and none after that.
    eventually(pool.holders, ([holder]) => holder?.isRunning === isRunning),
    ([holder]) => holder
  )

describe("R40: holders of a pool of sessions", () => {
  for (const [name, way] of Object.entries(running)) {
    it.scopedLive(`${name}: the server's process, the caller's span, and that a statement runs`, () =>
      Effect.gen(function*() {
        const test = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        yield* Effect.forkScoped(Effect.withSpan(way(test), "report"))
        const [{ pid }] = yield* test.until((sessions) => sessions.some(isSleeping))
        const holder = yield* theHolder(test.pool, true)
        assert.deepInclude({ ...holder }, { processId: pid, isRunning: true })
        const frames = holder.takenIn
        assert.strictEqual(frames.at(-1)?.name, "report")
        assert.match(frames.at(-1)?.location ?? "", here)
        assert.include(PoolHolder.describe(holder), `report (${frames.at(-1)?.location})`)
      }))
  }

  for (const [name, way] of Object.entries(resting)) {
    it.scopedLive(`${name}: no statement runs while its borrower does something else`, () =>
      Effect.gen(function*() {
        const test = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        const pid = yield* pidOf(test.sql)
        const borrower = yield* Effect.fork(Effect.scoped(Effect.withSpan(way(test), "report")))
        const holder = yield* theHolder(test.pool, false)
        assert.strictEqual(holder.processId, pid)
        assert.strictEqual(holder.takenIn.at(-1)?.name, "report")
        yield* Fiber.interrupt(borrower)
        assert.deepStrictEqual(yield* test.pool.holders, [])
      }))
  }

  it.scopedLive("isRunning goes with each statement of one borrower", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const seen: Array<boolean | undefined> = []
      const look = Effect.map(pool.holders, ([holder]) => void seen.push(holder.isRunning))
      const lookMeanwhile = Effect.zipRight(Effect.sleep(100), look)
      yield* sql.withTransaction(Effect.gen(function*() {
        for (let i = 0; i < 2; i++) {
          yield* look
          yield* Effect.all([sql`SELECT pg_sleep(1)`, lookMeanwhile], { concurrency: 2 })
        }
        yield* look
      }))
      assert.deepStrictEqual(seen, [false, true, false, true, false])
    }))

  it.scopedLive("a transaction that waits for something else says for what", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const answer = yield* Deferred.make<void>()
      yield* Effect.forkScoped(
        sql.withTransaction(
          Effect.zipRight(sql`SELECT 1`, Effect.withSpan(Deferred.await(answer), "http.client POST"))
        ).pipe(Effect.withSpan("transfer"))
      )
      const isThere = ([holder]: ReadonlyArray<PoolHolder.Holder>) => holder?.nowIn[0]?.name === "http.client POST"
      const [holder] = yield* eventually(pool.holders, isThere)
      assert.match(
        PoolHolder.describe(holder),
        /^taken in transfer \(\S+\); now in http\.client POST \(\S+\) < sql\.transaction < transfer; fiber/
      )
    }))

  it.scopedLive("callers that share a connection are holders of their own", () =>
    Effect.gen(function*() {
      const test = yield* makeWarmPool({ maxsize: 1, maxoverflow: 1, multiplex: 3 })
      for (const name of ["a", "b", "c"]) {
        yield* Effect.forkScoped(Effect.withSpan(test.sql`SELECT pg_sleep(60)`, name))
        yield* eventually(test.pool.holders, (holders) => holders.some(({ takenIn }) => takenIn.at(-1)?.name === name))
      }
      const [{ pid }] = yield* test.until((sessions) => sessions.some(isSleeping))
      const holders = yield* test.pool.holders
      assert.deepStrictEqual(holders.map(({ takenIn }) => takenIn.at(-1)?.name), ["a", "b", "c"])
      assert.deepStrictEqual(holders.map(({ processId }) => processId), [pid, pid, pid])
      assert.strictEqual((yield* test.pool.stats).busy, 1)
    }))

  it.scopedLive("PoolExhausted of a statement says who they are, with the name of the pool", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ name: "shop", maxsize: 1, maxoverflow: 1, acquireTimeout: "1 seconds" })
      const isTaken = yield* Deferred.make<void>()
      yield* Effect.forkScoped(
        sql.withTransaction(Effect.zipRight(Deferred.succeed(isTaken, undefined), Effect.never)).pipe(
          Effect.withSpan("transfer")
        )
      )
      yield* Deferred.await(isTaken)
      const pid = (yield* pool.holders)[0].processId
      const { cause, message } = yield* Effect.flip(sql`SELECT 1`)
      assert.match(message, /\(shop: 1 busy, .*\)\. Held: 1 taken in transfer, up to \d/)
      assert.strictEqual((cause as PoolError.PoolExhausted).holders[0].processId, pid)
    }))
})
