import { assert, it } from "@effect/vitest"
import { Effect, Exit, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { Caller, fail, FakeResource } from "../support/fakeResource.js"
import { FiberCount, fill, makePool, WatchedClock } from "../support/testPool.js"

describe("R1: lazy", () => {
  it.scoped("R1: building the pool opens nothing, and a day later it has opened nothing", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, minsize: 5 })
      yield* TestClock.adjust("1 day")
      assert.strictEqual(fake.dials, 0)
      assert.strictEqual((yield* pool.stats).size, 0)
    }))

  it.scoped("R1: building the pool succeeds while nothing can be opened", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: fail })
      const pool = yield* makePool(fake.options)
      const caller = yield* Caller.ask(pool)
      assert.deepInclude(caller.failure, { _tag: "FakeFailure" })
    }))
})

describe("R2: take", () => {
  it.scoped("R2: idle connections are taken last-in first-out", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 3 })
      const [one, two, three] = yield* Caller.askTimes(pool, 3)
      yield* two.release
      yield* three.release
      yield* one.release
      const again = yield* Caller.askTimes(pool, 3)
      assert.deepStrictEqual(again.map(({ value }) => value?.id), [1, 3, 2])
      assert.strictEqual(fake.dials, 3)
    }))

  it.scoped("R2: a lone caller always gets the same connection", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.options)
      for (let i = 0; i < 5; i++) {
        assert.strictEqual(yield* pool.use(({ id }) => Effect.succeed(id)), 1)
        yield* TestClock.adjust("10 seconds")
      }
    }))

  it.scoped("R2: an expired connection met on the way is retired, never handed out", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const clock = yield* WatchedClock.make
      const pool = yield* makePool({ ...fake.options, maxsize: 3, expires: "10 minutes" }, clock)
      yield* fill(pool, 2)
      clock.ahead += 300_000
      const late = yield* Caller.askTimes(pool, 3)
      for (const caller of late) yield* caller.release
      // 1 and 2 are older than ten minutes and 3 isn't. No sweeper was woken.
      yield* (yield* Caller.ask(pool)).release
      clock.ahead += 300_000
      const [first, second] = yield* Caller.askTimes(pool, 2)
      assert.strictEqual(first.value?.id, 3)
      assert.strictEqual(second.value?.id, 4)
      assert.sameMembers(fake.closed, [1, 2])
      assert.strictEqual((yield* pool.stats).closed.expired, 2)
    }))

  it.scoped("R2: taking an idle connection is synchronous, with use and with get", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.withCheck)
      yield* fill(pool, 1)
      assert.strictEqual(Effect.runSync(pool.use(({ id }) => Effect.succeed(id))), 1)
      assert.strictEqual(Effect.runSync(Effect.scoped(Effect.map(pool.get, ({ id }) => id))), 1)
      assert.deepInclude(Effect.runSync(pool.stats), { idle: 1, busy: 0, acquired: 3 })
      // A pool without an idle connection can't serve synchronously.
      const cold = yield* makePool(fake.withCheck)
      assert.isTrue(Exit.isFailure(Effect.runSyncExit(cold.use(() => Effect.void))))
    }))

  it.scoped("R2: taking an idle connection starts no fiber and no timer", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const fibers = new FiberCount()
      const clock = yield* WatchedClock.make
      yield* Effect.gen(function*() {
        const pool = yield* makePool(fake.options, clock)
        yield* fill(pool, 1)
        yield* pool.use(() => Effect.void)
        const { started } = fibers
        const { sleeps } = clock
        for (let i = 0; i < 100; i++) yield* pool.use(() => Effect.void)
        assert.strictEqual(fibers.started, started)
        assert.strictEqual(clock.sleeps, sleeps)
        assert.isAbove(started, 0)
        assert.isAbove(sleeps, 0)
      }).pipe(Effect.supervised(fibers))
    }))

  it.scoped("R2: a connection that must be checked is not taken synchronously", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.withCheck, validateAfterIdle: "1 second" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("1001 millis")
      assert.isTrue(Exit.isFailure(Effect.runSyncExit(pool.use(() => Effect.void))))
    }))

  it.scoped("isElasticPool tells a pool from something else", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(new FakeResource().options)
      assert.isTrue(ElasticPool.isElasticPool(pool))
      assert.isFalse(ElasticPool.isElasticPool({ get: pool.get }))
    }))
})
