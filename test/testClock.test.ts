/**
 * How a program that uses a pool is tested without real time and without a server: the pool is made over a fake
 * connector inside a test of @effect/vitest, so its clock is the `TestClock`, and the test decides when `maxwait` and
 * `expires` have passed.
 */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"

/** The user's own connection type, and her service over a pool of them. */
interface Connection {
  readonly query: (text: string) => Effect.Effect<string>
}

class Database extends Context.Tag("test/Database")<Database, ElasticPool.ElasticPool<Connection>>() {}

class Log extends Context.Tag("test/Log")<Log, Array<string>>() {}

/** A connector that opens nothing, and whose queries take 300 ms. */
const connect = Effect.flatMap(Log, (log) =>
  Effect.acquireRelease(
    Effect.sync((): Connection => {
      log.push("opened")
      return { query: (text) => Effect.as(Effect.sleep("300 millis"), `answer to ${text}`) }
    }),
    () => Effect.sync(() => log.push("closed"))
  ))

const DatabaseTest = Layer.scoped(
  Database,
  ElasticPool.make({
    acquire: connect,
    maxsize: 1,
    maxwait: "200 millis",
    whenFull: "fail",
    maxoverflow: 2,
    expires: "10 minutes",
    minsize: 0
  })
)

/** The program under test. */
const ask = (text: string) => Effect.flatMap(Database, (pool) => pool.use((connection) => connection.query(text)))

const runTest = <A, E>(test: Effect.Effect<A, E, Database | Log>) =>
  Effect.suspend(() => test.pipe(Effect.provide(DatabaseTest), Effect.provideService(Log, [])))

describe("R14: a program with a pool under TestClock", () => {
  it.effect("the second caller waits maxwait, then gets a connection of its own", () =>
    runTest(Effect.gen(function*() {
      const first = yield* Effect.fork(ask("one"))
      const second = yield* Effect.fork(ask("two"))
      yield* TestClock.adjust("199 millis")
      assert.deepStrictEqual(yield* Log, ["opened"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Log, ["opened", "opened"])
      yield* TestClock.adjust("300 millis")
      assert.strictEqual(yield* Fiber.join(first), "answer to one")
      assert.strictEqual(yield* Fiber.join(second), "answer to two")
    })))

  it.effect("the third is refused: the pool has two connections at most", () =>
    runTest(Effect.gen(function*() {
      const calls = yield* Effect.fork(
        Effect.all([ask("one"), ask("two"), Effect.flip(ask("three"))], { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      const [, , error] = yield* Fiber.join(calls)
      assert.strictEqual(error._tag, "PoolExhausted")
    })))

  it.effect("after ten quiet minutes the connection is closed", () =>
    runTest(Effect.gen(function*() {
      const call = yield* Effect.fork(ask("one"))
      yield* TestClock.adjust("300 millis")
      yield* Fiber.join(call)
      const pool = yield* Database
      assert.strictEqual((yield* pool.stats).idle, 1)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* pool.stats).size, 0)
      assert.deepStrictEqual(yield* Log, ["opened", "closed"])
    })))

  it.effect("the pool is closed with its layer", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const call = yield* Effect.fork(
        ask("one").pipe(Effect.provide(DatabaseTest), Effect.provideService(Log, log))
      )
      yield* TestClock.adjust("300 millis")
      yield* Fiber.join(call)
      assert.deepStrictEqual(log, ["opened", "closed"])
    }))
})
