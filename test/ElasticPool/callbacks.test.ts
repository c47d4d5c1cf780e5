import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { FakeResource } from "../support/fakeResource.js"
import { makePool, WatchedClock } from "../support/testPool.js"

describe("R37: what users give the pool may throw", () => {
  it.scoped("isTransient: its caller gets the defect, and the pool goes on", () =>
    Effect.gen(function*() {
      let fails = true
      const pool = yield* ElasticPool.make({
        acquire: Effect.suspend(() => fails ? Effect.fail("no") : Effect.succeed("a connection")),
        isTransient: () => {
          throw new Error("a bug in isTransient")
        }
      })
      const cause = yield* Effect.flip(Effect.sandbox(pool.use(Effect.succeed)))
      assert.include(Cause.pretty(cause), "a bug in isTransient")
      fails = false
      assert.strictEqual(yield* pool.use(Effect.succeed), "a connection")
    }))

  it.scoped("needsReset: the connection is closed, and its permit is back (I8)", () =>
    Effect.gen(function*() {
      const pool = yield* ElasticPool.make({
        acquire: Effect.sync(() => ({})),
        reset: () => Effect.void,
        needsReset: () => {
          throw new Error("a bug in needsReset")
        },
        maxsize: 1,
        maxoverflow: 1
      })
      const first = yield* pool.use(Effect.succeed)
      const second = yield* pool.use(Effect.succeed)
      assert.notStrictEqual(first, second)
    }))

  it.scoped("check and reset: the connection is closed", () =>
    Effect.gen(function*() {
      const bug = () => {
        throw new Error("a bug")
      }
      const pool = yield* ElasticPool.make({
        acquire: Effect.sync(() => ({})),
        check: bug,
        reset: bug,
        maxsize: 1,
        maxoverflow: 1
      })
      const first = yield* pool.use(Effect.succeed)
      assert.notStrictEqual(yield* pool.use(Effect.succeed), first)
      assert.isAtLeast((yield* pool.stats).closed.dirty, 1)
    }))

  it.scoped("an object that is invalidated after it was closed may come again", () =>
    Effect.gen(function*() {
      const only = {}
      const pool = yield* ElasticPool.make({ acquire: Effect.succeed(only), maxUses: 1 })
      yield* pool.use(() => Effect.void)
      yield* TestClock.adjust(1)
      yield* pool.invalidate(only)
      assert.strictEqual(yield* pool.use(Effect.succeed), only)
    }))
})

describe("where the pool is made", () => {
  it.scoped("R13, R14: in an uninterruptible region its deadlines pass and it can be closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pool = yield* Effect.uninterruptible(Scope.extend(
        ElasticPool.make({ acquire: Effect.never, connectTimeout: 700, acquireTimeout: 2000, outageTimeout: 0 }),
        scope
      ))
      const caller = yield* Effect.fork(Effect.exit(pool.use(() => Effect.void)))
      yield* TestClock.adjust(800)
      assert.strictEqual((yield* pool.stats).closed.failed, 1)
      yield* TestClock.adjust(3000)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(caller)))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(closing)
      assert.strictEqual((yield* pool.stats).size, 0)
    }))

  it.scoped("R4: a system clock that is set back by an hour does not delay anybody for an hour", () =>
    Effect.gen(function*() {
      const clock = yield* WatchedClock.make
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 2, maxwait: 100 }, clock)
      yield* Effect.fork(pool.use(() => Effect.never))
      yield* TestClock.adjust(10)
      const second = yield* Effect.fork(pool.use(() => Effect.succeed("served")))
      yield* TestClock.adjust(50)
      clock.ahead = -3_600_000
      // What had passed since the pool last looked at the clock is lost, but no more.
      yield* TestClock.adjust(200)
      assert.strictEqual(yield* Fiber.join(second), "served")
    }))

  for (const [offset, connect] of [[20, 100], [240, 249], [100, 600]] as const) {
    it.scoped(`R9: opened ${offset} ms apart, with connects of ${connect} ms, a quiet pool settles on one`, () =>
      Effect.gen(function*() {
        let opened = 0
        const pool = yield* ElasticPool.make({
          acquire: Effect.delay(Effect.sync(() => ++opened), opened < 2 ? 0 : connect),
          maxsize: 2,
          expires: 10_000,
          expiresJitter: 0
        })
        const [first, second] = [yield* Scope.make(), yield* Scope.make()]
        yield* Scope.extend(pool.get, first)
        yield* TestClock.adjust(offset)
        yield* Scope.extend(pool.get, second)
        yield* Scope.close(second, Exit.void)
        yield* Scope.close(first, Exit.void)
        yield* TestClock.adjust(9700 - offset)
        for (let i = 0; i < 80; i++) {
          yield* TestClock.adjust(20)
          const { size } = yield* pool.stats
          assert.isAtLeast(size, 1, "it was never without one")
        }
        assert.strictEqual((yield* pool.stats).size, 1)
      }))
  }
})
