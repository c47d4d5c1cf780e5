import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, TestClock } from "effect"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, settle, slow } from "../support/fakeResource.js"
import { fill, makePool } from "../support/testPool.js"

const limits = { maxsize: 2, maxoverflow: 3, maxwait: "200 millis", acquireTimeout: "1 minute" } as const

describe("R36: resize", () => {
  it.scoped("growing maxsize serves waiting callers at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const callers = yield* Caller.askTimes(pool, 4)
      yield* pool.resize({ maxsize: 3 })
      yield* settle
      assert.deepStrictEqual(callers.map(({ value }) => value?.id), [1, 2, 3, undefined])
      assert.deepInclude(yield* pool.stats, { maxsize: 3, maxoverflow: 3 })
    }))

  it.scoped("growing maxoverflow serves due callers at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const callers = yield* Caller.askTimes(pool, 5)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* pool.stats).waiting, 2)
      yield* pool.resize({ maxoverflow: 5 })
      yield* settle
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
      assert.strictEqual(fake.highest, 5)
    }))

  it.scoped("a pool that is shrunk while it warms up has as many as it keeps, and comes to rest", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("10 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 5, maxoverflow: 10, warm: 5, connectConcurrency: 1 })
      yield* TestClock.adjust("5 millis")
      yield* pool.resize({ maxsize: 2 })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      assert.isAtMost(fake.dials, 3)
    }))

  it.scoped("shrinking closes surplus idle connections, those that were used longest ago", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits, maxsize: 3 })
      yield* fill(pool, 3)
      yield* pool.resize({ maxsize: 1 })
      yield* settle
      assert.deepStrictEqual(fake.open, [3])
      assert.deepInclude(yield* pool.stats, { maxsize: 1, idle: 1, size: 1 })
      assert.strictEqual((yield* pool.stats).closed.surplus, 2)
    }))

  it.scoped("I1: shrinking lets busy connections finish, and the pool does not grow until it is below the limit", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits, maxsize: 4, maxoverflow: 4 })
      const callers = yield* Caller.askTimes(pool, 4)
      yield* pool.resize({ maxsize: 2, maxoverflow: 2 })
      const waiters = yield* Caller.askTimes(pool, 3)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* pool.stats, { busy: 4, waiting: 3 })
      for (const caller of callers.slice(0, 2)) {
        yield* caller.release
        yield* TestClock.adjust("1 second")
      }
      assert.deepInclude(yield* pool.stats, { size: 2, busy: 2, waiting: 3 })
      assert.deepStrictEqual(fake.closed, [1, 2])
      yield* callers[2].release
      assert.strictEqual(waiters[0].value?.id, 3)
      assert.strictEqual(fake.dials, 4)
    }))

  it.scoped("I8: after shrinking and growing again the pool serves maxoverflow at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits, maxsize: 2, maxoverflow: 6, maxwait: 0 })
      const callers = yield* Caller.askTimes(pool, 6)
      yield* pool.resize({ maxsize: 1, maxoverflow: 1 })
      for (const caller of callers) yield* caller.release
      assert.deepInclude(yield* pool.stats, { size: 1, idle: 1 })
      yield* pool.resize({ maxsize: 4, maxoverflow: 6 })
      const again = yield* Caller.askTimes(pool, 7)
      assert.strictEqual(again.filter(({ value }) => value !== undefined).length, 6)
      assert.strictEqual(fake.highest, 6)
    }))

  it.scoped("moving the soft limit while all permits are out loses none", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits, maxsize: 2, maxoverflow: 4, maxwait: 0 })
      for (const maxsize of [4, 1, 3, 2, 4, 1]) {
        const callers = yield* Caller.askTimes(pool, 4)
        assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
        yield* pool.resize({ maxsize })
        for (const caller of callers) yield* caller.release
        assert.deepInclude(yield* pool.stats, { size: maxsize, idle: maxsize, busy: 0 })
      }
    }))

  it.scoped("nothing changes without limits", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...limits })
      yield* pool.resize({})
      assert.deepInclude(yield* pool.stats, { maxsize: 2, maxoverflow: 3 })
    }))

  for (
    const [bad, message] of [
      [{ maxsize: 0 }, /^maxsize: 0 .*whole number of at least 1/],
      [{ maxsize: 1.5 }, /^maxsize: 1\.5 .*whole number/],
      [{ maxsize: NaN }, /^maxsize: .*whole number/],
      [{ maxsize: "x" }, /^maxsize: "x" .*whole number/],
      [{ maxsize: 4 }, /^maxoverflow: 3 .*at least 4 \(not less than maxsize\)/],
      [{ maxoverflow: 1 }, /^maxoverflow: 1 .*at least 2 \(not less than maxsize\)/],
      [{ maxoverflow: Infinity }, /^maxoverflow: .*whole number/]
    ] as ReadonlyArray<[{}, RegExp]>
  ) {
    it.scoped(`a bad limit, ${JSON.stringify(bad)}, is a defect that changes nothing`, () =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...limits })
        const exit = yield* Effect.exit(pool.resize(bad))
        assert.ok(Exit.isFailure(exit) && exit.cause._tag === "Die")
        assert.isTrue(Cause.isIllegalArgumentException(exit.cause.defect))
        assert.match((exit.cause.defect as Error).message, message)
        assert.deepInclude(yield* pool.stats, { maxsize: 2, maxoverflow: 3 })
      }))
  }

  it.scoped("maxsize can't be made smaller than minsize", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...limits, minsize: 2 })
      const exit = yield* Effect.exit(pool.resize({ maxsize: 1 }))
      assert.ok(Exit.isFailure(exit) && exit.cause._tag === "Die")
      assert.match((exit.cause.defect as Error).message, /^maxsize: 1 .*at least 2/)
    }))
})
