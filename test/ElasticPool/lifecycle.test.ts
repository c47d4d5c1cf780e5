import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { describe } from "vitest"
import { Caller, fail, failTransiently, FakeResource, hang, ok, settle, slow } from "../support/fakeResource.js"
import { FiberCount, fill, makeClosable, makePool } from "../support/testPool.js"

const limits = { maxsize: 2, maxoverflow: 2, acquireTimeout: "10 seconds" } as const

/** What the fiber has ended with, if it has. */
const resultOf = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): A | undefined => {
  const exit = fiber.unsafePoll()
  return exit !== null && Exit.isSuccess(exit) ? exit.value : undefined
}

const hasEnded = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

describe("R36: drain", () => {
  it.scoped("newcomers fail with PoolClosed, the queue is served in order, also by new connects, and it ends when all are closed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: slow("10 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits, maxUses: 1 })
      const holders = yield* Caller.askTimes(pool, 2)
      const waiters = yield* Caller.askTimes(pool, 3)
      const drain = yield* Effect.fork(pool.drain)
      yield* settle
      const late = yield* Caller.ask(pool)
      assert.deepInclude(late.failure, { _tag: "PoolClosed" })
      assert.include(String(late.failure), "drained")
      assert.strictEqual((yield* pool.stats).state, "draining")
      for (const caller of [...holders, ...waiters]) {
        assert.isFalse(hasEnded(drain))
        assert.isDefined(caller.value)
        yield* caller.release
        yield* TestClock.adjust("10 millis")
      }
      assert.isTrue(hasEnded(drain))
      assert.strictEqual(fake.dials, 5)
      assert.deepInclude(yield* pool.stats, { size: 0, waiting: 0, opened: 5 })
    }))

  it.scoped("idle connections close at once, and those that nobody waits for when they come back", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      yield* fill(pool, 2)
      const holder = yield* Caller.ask(pool)
      const drain = yield* Effect.fork(pool.drain)
      yield* settle
      assert.deepStrictEqual(fake.closed, [1])
      yield* holder.release
      assert.deepStrictEqual(fake.closed, [1, 2])
      assert.isTrue(hasEnded(drain))
      assert.strictEqual((yield* pool.stats).closed.closed, 2)
    }))

  it.scoped("a pool that has nothing is drained at once, and for good; also where it was warming up", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("10 millis") })
      const pool = yield* makePool({ ...fake.options, warm: 2 })
      const drain = yield* Effect.fork(pool.drain)
      yield* TestClock.adjust("10 millis")
      assert.isTrue(hasEnded(drain))
      yield* pool.drain
      yield* pool.resume
      assert.isFalse(yield* pool.suspend)
      assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "PoolClosed" })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* pool.stats).size, 0)
    }))

  it.scoped("in an outage those who wait are waited for until they are served or refused", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, ...limits })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      const drain = yield* Effect.fork(pool.drain)
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(hasEnded(drain))
      yield* second.interrupt
      yield* TestClock.adjust("1 second")
      assert.deepInclude(first.failure, { _tag: "PoolExhausted" })
      assert.isTrue(hasEnded(drain))
    }))

  it.scoped("it ends with the last of its waiters, whether that fails or is interrupted", () =>
    Effect.gen(function*() {
      for (const how of ["fails", "is interrupted"]) {
        const fake = new FakeResource({ connect: Effect.zipRight(slow("500 millis"), how === "fails" ? fail : ok) })
        const pool = yield* makePool({ ...fake.options, ...limits })
        const caller = yield* Caller.ask(pool)
        const drain = yield* Effect.fork(pool.drain)
        yield* settle
        if (how !== "fails") yield* caller.interrupt
        yield* TestClock.adjust("500 millis")
        yield* settle
        assert.isTrue(hasEnded(drain), how)
      }
    }))

  it.scoped("nothing is renewed any more", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits, expires: "10 seconds" })
      yield* fill(pool, 2)
      const holder = yield* Caller.ask(pool)
      yield* Effect.fork(pool.drain)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(fake.dials, 2)
      yield* holder.release
    }))

  it.scoped("an interrupt ends only the wait, and the close of the pool ends both", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable({ ...fake.options, ...limits, closeTimeout: "5 seconds" })
      const [holder] = yield* Caller.askTimes(pool, 2)
      const first = yield* Effect.fork(pool.drain)
      const second = yield* Effect.fork(pool.drain)
      yield* settle
      yield* Fiber.interrupt(first)
      assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "PoolClosed" })
      yield* holder.release
      const closing = yield* Effect.fork(close)
      yield* settle
      assert.isFalse(hasEnded(second))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(hasEnded(second) && hasEnded(closing))
      assert.strictEqual(fake.live, 0)
      yield* pool.drain
    }))

  it.effect("I5: a drained pool has no fiber", () =>
    Effect.gen(function*() {
      const fibers = new FiberCount()
      const fake = new FakeResource()
      yield* Effect.scoped(
        Effect.gen(function*() {
          const pool = yield* makePool({ ...fake.options, ...limits })
          yield* fill(pool, 2)
          yield* pool.drain
          yield* settle
          assert.strictEqual(fibers.alive.size, 0)
        }).pipe(Effect.supervised(fibers))
      )
    }))
})

describe("R36: suspend and resume", () => {
  it.scoped("callers wait, what is idle is closed now, and what is in use when it comes back: then suspend ends with true", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: slow("10 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits })
      yield* fill(pool, 2)
      const holder = yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(fake.closed, [1])
      const waiter = yield* Caller.ask(pool)
      yield* holder.release
      assert.isFalse(hasEnded(suspend))
      yield* TestClock.adjust("10 millis")
      assert.isTrue(resultOf(suspend))
      assert.deepInclude(yield* pool.stats, { state: "suspended", size: 0, waiting: 1 })
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(waiter.isWaiting)
      yield* pool.resume
      yield* settle
      assert.strictEqual(waiter.value?.id, 3)
      assert.deepInclude(yield* pool.stats, { state: "open", size: 1 })
    }))

  it.scoped("those who waited before are not served from what comes back", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      const waiter = yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* settle
      yield* first.release
      yield* second.release
      assert.isTrue(waiter.isWaiting)
      assert.isTrue(resultOf(suspend))
      yield* pool.resume
      yield* settle
      assert.strictEqual(waiter.value?.id, 3)
    }))

  it.scoped("what is opening is closed when it is open, and serves nobody", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits })
      const caller = yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("100 millis")
      assert.isTrue(resultOf(suspend))
      assert.isTrue(caller.isWaiting)
      assert.deepStrictEqual(fake.closed, [1])
      yield* pool.resume
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(caller.value?.id, 2)
    }))

  it.scoped("R4: acquireTimeout stands still: for who waited before, and for who came meanwhile", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, ...limits, outageTimeout: 0, connectTimeout: "1 minute" })
      const early = yield* Caller.ask(pool)
      yield* TestClock.adjust("6 seconds")
      yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("10 seconds")
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("19 seconds")
      yield* pool.resume
      yield* TestClock.adjust("3999 millis")
      assert.isTrue(early.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(early.failure, { _tag: "PoolExhausted", waited: 10_000 })
      yield* TestClock.adjust("5999 millis")
      assert.isTrue(late.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(late.failure, { _tag: "PoolExhausted", waited: 10_000 })
    }))

  it.scoped("R4: so does maxwait", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 2, maxwait: 200, acquireTimeout: 1000 })
      yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("150 millis")
      yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(fake.dials, 1)
      yield* pool.resume
      yield* TestClock.adjust("49 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(waiter.value?.id, 2)
    }))

  it.scoped("after suspendTimeout it resumes by itself, and suspend ends with false: somebody held a connection", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const holder = yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* settle
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("29999 millis")
      assert.isTrue(waiter.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(waiter.value?.id, 2)
      assert.isFalse(resultOf(suspend))
      // It was promised to be gone.
      yield* holder.release
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("suspendTimeout is an option", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, suspendTimeout: "5 seconds" })
      assert.isTrue(yield* pool.suspend)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("5 seconds")
      assert.isDefined(waiter.value)
    }))

  it.scoped("twice is as good as once: the second waits as well, and its time is that of the first", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const holder = yield* Caller.ask(pool)
      const first = yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("20 seconds")
      const second = yield* Effect.fork(pool.suspend)
      yield* settle
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* pool.stats).state, "suspended")
      assert.isFalse(hasEnded(second))
      yield* TestClock.adjust("10 seconds")
      assert.isFalse(resultOf(second))
      yield* pool.resume
      yield* pool.resume
      yield* holder.release
      assert.isTrue(yield* pool.suspend)
      assert.isTrue(yield* pool.suspend)
      yield* pool.resume
      assert.isDefined((yield* Caller.ask(pool)).value)
    }))

  it.scoped("resume before all are back ends suspend with false", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* settle
      yield* pool.resume
      yield* settle
      assert.isFalse(resultOf(suspend))
    }))

  it.scoped("R12: a waiter can be interrupted meanwhile, and maxWaiting holds", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, maxWaiting: 1 })
      yield* pool.suspend
      const [first, second, third] = yield* Caller.askTimes(pool, 3)
      assert.isTrue(first.isWaiting && second.isWaiting)
      assert.deepInclude(third.failure, { _tag: "PoolQueueFull" })
      yield* first.interrupt
      yield* pool.resume
      yield* settle
      assert.isDefined(second.value)
    }))

  it.scoped("no timer of an outage dials meanwhile", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, ...limits })
      const caller = yield* Caller.ask(pool)
      assert.isTrue(yield* pool.suspend)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(fake.dials, 1)
      fake.connect = ok
      yield* pool.resume
      yield* TestClock.adjust("1 second")
      assert.isDefined(caller.value)
    }))

  it.scoped("drained meanwhile it serves its queue first, and closed it fails it", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const one = yield* makePool({ ...fake.options, ...limits })
      yield* one.suspend
      const waiter = yield* Caller.ask(one)
      const drain = yield* Effect.fork(one.drain)
      yield* settle
      assert.isDefined(waiter.value)
      yield* waiter.release
      assert.isTrue(hasEnded(drain))

      const { close, pool } = yield* makeClosable({ ...fake.options, ...limits })
      const holder = yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* settle
      const other = yield* Caller.ask(pool)
      const closing = yield* Effect.fork(close)
      yield* settle
      assert.isFalse(resultOf(suspend))
      assert.deepInclude(other.failure, { _tag: "PoolClosed" })
      yield* holder.release
      assert.isTrue(hasEnded(closing))
    }))
})
