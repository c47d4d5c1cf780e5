import { assert, it } from "@effect/vitest"
import type { Clock } from "effect"
import { Cause, Duration, Effect, Exit, Scope, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, fail, FakeResource, hang, ok, slow, stuck } from "../support/fakeResource.js"
import { Simulation } from "../support/simulation.js"
import { ids, makePool } from "../support/testPool.js"

interface FakeConnect {
  readonly lent: Array<number>
  readonly closed: Array<number>
}

/**
 * Both permits are taken by connects that hang. The second one succeeds when it is to be given up for its permit, which a
 * newcomer has the pool look at after so many tasks, where each fiber yields after so many steps.
 */
const giveUpAt = (tasks: number, steps: number): FakeConnect => {
  const sim = new Simulation(1)
  const fake: FakeConnect = { lent: [], closed: [] }
  const succeed: Array<() => void> = []
  const acquire = Effect.acquireRelease(
    Effect.interruptible(Effect.async<number>((resume) => {
      const id = succeed.length
      succeed.push(() => resume(Effect.succeed(id)))
    })),
    (id) => Effect.sync(() => fake.closed.push(id))
  )
  const options = {
    acquire,
    maxsize: 1,
    maxwait: 0,
    maxoverflow: 2,
    acquireTimeout: "1 minute",
    connectTimeout: "20 seconds"
  } as const
  const scope = Effect.runSync(Scope.make())
  const pool = Effect.runSync(sim.fork(Scope.extend(ElasticPool.make(options), scope)).unsafePoll()!)
  const ask = () => sim.fork(pool.use((id) => Effect.zipRight(Effect.sync(() => fake.lent.push(id)), Effect.never)))
  ask()
  sim.advance(2399)
  sim.now = 2400
  for (const fiber of sim.alive) sim.yielding.set(fiber, steps)
  succeed[1]()
  for (let i = 0; i < tasks; i++) sim.step()
  ask()
  sim.settle()
  return fake
}

describe("R6: a connect belongs to the pool", () => {
  it.scoped("R6: interrupting a caller returns at once and aborts no connect", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("900 millis") })
      const pool = yield* makePool(fake.options)
      const caller = yield* Caller.ask(pool)
      // It would hang here if the caller waited for the connect.
      yield* caller.interrupt
      assert.deepInclude(yield* pool.stats, { opening: 1, waiting: 0 })
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(fake.opened, [1])
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 1)
    }))

  it.scoped("R6: interrupting a caller returns at once even if the connect can't be interrupted", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: stuck })
      const pool = yield* makePool(fake.options)
      yield* (yield* Caller.ask(pool)).interrupt
      assert.deepInclude(yield* pool.stats, { opening: 1, waiting: 0 })
    }))

  it.scoped("R6: connects in flight are as many as due waiters", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("900 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxwait: "200 millis" })
      yield* Caller.askTimes(pool, 4)
      assert.strictEqual((yield* pool.stats).opening, 2)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual((yield* pool.stats).opening, 4)
    }))

  for (const maxwait of [undefined, "auto", 0] as const) {
    it.scoped(`R6: connects in flight are as many as callers need, where maxwait is ${maxwait}`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: slow("100 millis") })
        const pool = yield* makePool({ ...fake.options, maxwait })
        yield* Caller.ask(pool)
        yield* TestClock.adjust("100 millis")
        yield* Caller.askTimes(pool, 30)
        assert.deepInclude(yield* pool.stats, { busy: 1, opening: 19, waiting: 30 })
      }))
  }

  it.scoped("R6: until one has succeeded they are four at most: so often a wrong password is refused at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool(fake.options)
      yield* Caller.askTimes(pool, 30)
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 30 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { busy: 4, opening: 16, waiting: 26 })
    }))

  it.scoped("R6: not more connects are in flight than connectConcurrency", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, connectConcurrency: 4 })
      const callers = yield* Caller.askTimes(pool, 10)
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 10 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 6, busy: 4 })
      yield* TestClock.adjust("200 millis")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
      assert.strictEqual(fake.dials, 10)
    }))

  it.scoped("R6: not more connects are in flight than there are free permits", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 3, maxwait: 0, acquireTimeout: 1000 })
      yield* Caller.askTimes(pool, 5)
      assert.deepInclude(yield* pool.stats, { opening: 3, size: 3, waiting: 5 })
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* pool.stats, { busy: 3, size: 3, waiting: 2 })
      assert.strictEqual(fake.highest, 3)
    }))

  it.scoped("R6: a connect has the deadline connectTimeout", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, connectTimeout: "3 seconds" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("2999 millis")
      assert.deepInclude(yield* pool.stats, { opening: 1, size: 1 })
      fake.connect = ok
      yield* TestClock.adjust("1 millis")
      assert.deepInclude((yield* pool.stats).closed, { failed: 1 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { busy: 1, waiting: 0 })
    }))

  it.scoped("R6: a connect has a deadline also if it is below 0.8 seconds", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, connectTimeout: "300 millis" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("300 millis")
      assert.deepInclude((yield* pool.stats).closed, { failed: 1 })
    }))

  it.scoped("R14: where the system's clock is set, a connect still has connectTimeout", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      let set = 0
      let reads = 0
      const ioClock: Clock.Clock = Object.create(clock, {
        unsafeCurrentTimeMillis: { value: () => clock.unsafeCurrentTimeMillis() + set },
        unsafeCurrentTimeNanos: { value: () => (reads++, clock.unsafeCurrentTimeNanos()) }
      })
      const fake = new FakeResource({ connect: hang })
      const limits = { maxsize: 1, maxoverflow: 1, connectTimeout: "3 seconds" } as const
      const pool = yield* makePool({ ...fake.options, ...limits, ioClock })
      yield* Caller.ask(pool)
      set = 3_600_000
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude((yield* pool.stats).closed, { failed: 0 })
      set = -3_600_000
      reads = 0
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude((yield* pool.stats).closed, { failed: 1 })
      // It is not looked at again and again until it has ended.
      assert.isBelow(reads, 20)
    }))

  it.scoped("R6, R14: a clock that stands at a part of a millisecond keeps its deadlines, and is not read in circles", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      let reads = 0
      const ioClock: Clock.Clock = Object.create(clock, {
        unsafeCurrentTimeNanos: { value: () => (reads++, clock.unsafeCurrentTimeNanos()) }
      })
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, connectTimeout: "3 seconds", ioClock })
      // 1203.1 less 403.1 is 799.9999999999999.
      yield* TestClock.adjust(Duration.millis(403.1))
      yield* Caller.ask(pool)
      yield* TestClock.adjust("800 millis")
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("2201 millis")
      assert.isAtLeast((yield* pool.stats).closed.failed, 1)
      assert.isBelow(reads, 100)
    }))

  it("R6, I4: a connect that is given up in the moment after it succeeded is lent to nobody", () => {
    const all: Array<FakeConnect> = []
    for (let tasks = 0; tasks < 8; tasks++) for (let steps = 0; steps < 8; steps++) all.push(giveUpAt(tasks, steps))
    for (const { closed, lent } of all) assert.deepStrictEqual(lent.filter((id) => closed.includes(id)), [])
    // Some were given up, and some not.
    assert.sameMembers([...new Set(all.map(({ lent }) => lent.length))], [0, 1])
  })

  it.scoped("R6, I6: a connect older than 0.8 seconds is no cover for a waiter, but keeps its permit", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 2 })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("799 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(caller.value?.id, 2)
      assert.deepInclude(yield* pool.stats, { size: 2, opening: 1, busy: 1 })
    }))

  it.scoped("R6: a connect older than 0.8 seconds doesn't count against connectConcurrency", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 2 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 10, connectConcurrency: 2 })
      const callers = yield* Caller.askTimes(pool, 5)
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("800 millis")
      assert.deepStrictEqual(ids(callers), [3, 4, 5, 6, 7])
      assert.strictEqual((yield* pool.stats).opening, 2)
    }))

  it.scoped("R6: connects that hang never take more than maxoverflow permits", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 3 })
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(fake.live, 3)
      assert.strictEqual((yield* pool.stats).size, 3)
    }))

  it.scoped("R6: a failed connect fails the waiter that caused it, and no other", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({
        connect: (id) => id === 1 ? Effect.zipRight(slow("100 millis"), fail) : slow("200 millis")
      })
      const pool = yield* makePool({ ...fake.options, maxsize: 3 })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(first.failure, { _tag: "FakeFailure", id: 1 })
      assert.isTrue(second.isWaiting)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(second.value?.id, 2)
    }))

  it.scoped("R6: the second waiter's connect fails: the second waiter fails, the oldest goes on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({
        connect: (id) => id === 2 ? Effect.zipRight(slow("100 millis"), fail) : slow("200 millis")
      })
      const pool = yield* makePool({ ...fake.options, maxsize: 3 })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("100 millis")
      assert.isTrue(first.isWaiting)
      assert.deepInclude(second.failure, { _tag: "FakeFailure", id: 2 })
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(first.value?.id, 1)
    }))

  it.scoped("R6: a failed connect fails nobody if the waiter that caused it is gone", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({
        connect: (id) => id === 1 ? Effect.zipRight(slow("100 millis"), fail) : ok
      })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      const first = yield* Caller.ask(pool)
      const second = yield* Caller.ask(pool)
      yield* first.interrupt
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(second.value?.id, 2)
    }))

  it.scoped("R6: a failed connect's permit is free, and the demand is looked at again", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 2 ? Effect.zipRight(slow("500 millis"), fail) : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 2, acquireTimeout: "1 minute" })
      const holder = yield* Caller.ask(pool)
      const first = yield* Caller.ask(pool)
      yield* TestClock.adjust("200 millis")
      const second = yield* Caller.ask(pool)
      yield* holder.release
      assert.strictEqual(first.value?.id, 1)
      // The connect that `first` caused is cover for `second` now. It fails, and `second` is not to blame.
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(second.value?.id, 3)
      assert.deepInclude(yield* pool.stats, { size: 2, busy: 2, waiting: 0 })
    }))

  it.scoped("R6: after a failure the pool is empty and the next caller's connect is tried at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? fail : ok })
      const pool = yield* makePool(fake.options)
      assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "FakeFailure", id: 1 })
      assert.strictEqual((yield* pool.stats).size, 0)
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
    }))

  it.scoped("R6: a defect of acquire is the defect of the caller, and the pool lives on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.die("boom") : ok })
      const pool = yield* makePool(fake.options)
      const { exit } = yield* Caller.ask(pool)
      assert.deepStrictEqual(exit, Exit.die("boom"))
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
    }))

  it.scoped("R6: an acquire that interrupts itself doesn't look like an interrupt of the caller", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: Effect.interrupt })
      const pool = yield* makePool(fake.options)
      const { exit } = yield* Caller.ask(pool)
      assert.ok(exit !== undefined && Exit.isFailure(exit))
      assert.isFalse(Cause.isInterrupted(exit.cause))
    }))
})
