import { assert, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Schedule, Scope, TestClock } from "effect"
import { ElasticPool, PoolError } from "effect-pgpool"
import { describe } from "vitest"
import { Caller, fail, failTransiently, FakeResource, hang, ok, slow, stuck } from "../support/fakeResource.js"
import { Simulation } from "../support/simulation.js"
import { fill, makePool, withLogs } from "../support/testPool.js"

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

const ids = (callers: ReadonlyArray<Caller<{ id: number }, unknown>>) => callers.map(({ value }) => value?.id)

describe("R6 a connect belongs to the pool", () => {
  it.scoped("R6 interrupting a caller returns at once and aborts no connect", () =>
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

  it.scoped("R6 interrupting a caller returns at once even if the connect can't be interrupted", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: stuck })
      const pool = yield* makePool(fake.options)
      yield* (yield* Caller.ask(pool)).interrupt
      assert.deepInclude(yield* pool.stats, { opening: 1, waiting: 0 })
    }))

  it.scoped("R6 connects in flight are as many as due waiters", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("900 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxwait: "200 millis" })
      yield* Caller.askTimes(pool, 4)
      assert.strictEqual((yield* pool.stats).opening, 2)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual((yield* pool.stats).opening, 4)
    }))

  for (const maxwait of [undefined, "auto", 0] as const) {
    it.scoped(`R6 connects in flight are as many as callers need, where maxwait is ${maxwait}`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: slow("100 millis") })
        const pool = yield* makePool({ ...fake.options, maxwait })
        yield* Caller.ask(pool)
        yield* TestClock.adjust("100 millis")
        yield* Caller.askTimes(pool, 30)
        assert.deepInclude(yield* pool.stats, { busy: 1, opening: 19, waiting: 30 })
      }))
  }

  it.scoped("R6 until one has succeeded they are four at most: so often a wrong password is refused at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool(fake.options)
      yield* Caller.askTimes(pool, 30)
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 30 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { busy: 4, opening: 16, waiting: 26 })
    }))

  it.scoped("R6 not more connects are in flight than connectConcurrency", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, connectConcurrency: 4 })
      const callers = yield* Caller.askTimes(pool, 10)
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 10 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 6, busy: 4 })
      yield* TestClock.adjust("200 millis")
      assert.isTrue(callers.every(({ value }) => value !== undefined))
      assert.strictEqual(fake.dials, 10)
    }))

  it.scoped("R6 not more connects are in flight than there are free permits", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 3, maxwait: 0, acquireTimeout: 1000 })
      yield* Caller.askTimes(pool, 5)
      assert.deepInclude(yield* pool.stats, { opening: 3, size: 3, waiting: 5 })
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* pool.stats, { busy: 3, size: 3, waiting: 2 })
      assert.strictEqual(fake.highest, 3)
    }))

  it.scoped("R6 a connect has the deadline connectTimeout", () =>
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

  it.scoped("R6 a connect has a deadline also if it is below 0.8 seconds", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, connectTimeout: "300 millis" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("300 millis")
      assert.deepInclude((yield* pool.stats).closed, { failed: 1 })
    }))

  it.scoped("R14 where the system's clock is set, a connect still has connectTimeout", () =>
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

  it.scoped("R6 R14 a clock that stands at a part of a millisecond keeps its deadlines, and is not read in circles", () =>
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

  it("R6 I4 a connect that is given up in the moment after it succeeded is lent to nobody", () => {
    const all: Array<FakeConnect> = []
    for (let tasks = 0; tasks < 8; tasks++) for (let steps = 0; steps < 8; steps++) all.push(giveUpAt(tasks, steps))
    for (const { closed, lent } of all) assert.deepStrictEqual(lent.filter((id) => closed.includes(id)), [])
    // Some were given up, and some not.
    assert.sameMembers([...new Set(all.map(({ lent }) => lent.length))], [0, 1])
  })

  it.scoped("R6 I6 a connect older than 0.8 seconds is no cover for a waiter, but keeps its permit", () =>
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

  it.scoped("R6 a connect older than 0.8 seconds doesn't count against connectConcurrency", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 2 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 10, connectConcurrency: 2 })
      const callers = yield* Caller.askTimes(pool, 5)
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("800 millis")
      assert.deepStrictEqual(ids(callers), [3, 4, 5, 6, 7])
      assert.strictEqual((yield* pool.stats).opening, 2)
    }))

  it.scoped("R6 connects that hang never take more than maxoverflow permits", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 3 })
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(fake.live, 3)
      assert.strictEqual((yield* pool.stats).size, 3)
    }))

  it.scoped("R6 a failed connect fails the waiter that caused it, and no other", () =>
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

  it.scoped("R6 the second waiter's connect fails: the second waiter fails, the oldest goes on", () =>
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

  it.scoped("R6 a failed connect fails nobody if the waiter that caused it is gone", () =>
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

  it.scoped("R6 a failed connect's permit is free, and the demand is looked at again", () =>
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

  it.scoped("R6 after a failure the pool is empty and the next caller's connect is tried at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? fail : ok })
      const pool = yield* makePool(fake.options)
      assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "FakeFailure", id: 1 })
      assert.strictEqual((yield* pool.stats).size, 0)
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
    }))

  it.scoped("R6 a defect of acquire is the defect of the caller, and the pool lives on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.die("boom") : ok })
      const pool = yield* makePool(fake.options)
      const { exit } = yield* Caller.ask(pool)
      assert.deepStrictEqual(exit, Exit.die("boom"))
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
    }))

  it.scoped("R6 an acquire that interrupts itself doesn't look like an interrupt of the caller", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: Effect.interrupt })
      const pool = yield* makePool(fake.options)
      const { exit } = yield* Caller.ask(pool)
      assert.ok(exit !== undefined && Exit.isFailure(exit))
      assert.isFalse(Cause.isInterrupted(exit.cause))
    }))
})

describe("R18 outages are waited out, and not hammered", () => {
  const everySecond = Schedule.spaced("1 second")

  it.scoped("R18 a transient failure fails nobody at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 3 ? failTransiently : ok })
      const pool = yield* makePool({ ...fake.options, connectRetry: everySecond })
      const callers = yield* Caller.askTimes(pool, 3)
      assert.isTrue(callers.every(({ isWaiting }) => isWaiting))
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(callers.every(({ value }) => value !== undefined))
    }))

  it.scoped("R18 while connects fail the pool dials one at a time, by connectRetry", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, connectRetry: everySecond })
      yield* Caller.askTimes(pool, 6)
      assert.strictEqual(fake.dials, 1)
      for (let second = 1; second <= 5; second++) {
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(fake.dials, second)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(fake.dials, second + 1)
      }
    }))

  it.scoped("R18 by default the delays grow from 50 ms to 500 ms", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const at: Array<number> = []
      fake.connect = Effect.zipRight(
        Effect.map(Clock.currentTimeMillis, (now) => at.push(now)),
        failTransiently
      )
      const pool = yield* makePool({ ...fake.options, outageTimeout: "20 seconds" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("10 seconds")
      const delays = at.slice(1).map((time, i) => time - at[i])
      assert.isAtLeast(delays.length, 18)
      assert.isAtMost(delays.length, 30)
      assert.isTrue(delays[0] >= 40 && delays[0] <= 50, `${delays}`)
      assert.isTrue(delays.slice(5).every((delay) => delay >= 400 && delay <= 500), `${delays}`)
    }))

  it.scoped("R18 an outage is logged when it begins and when it is over, however many connects fail meanwhile", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: failTransiently })
        const pool = yield* makePool({ ...fake.options, connectRetry: Schedule.spaced("100 millis") })
        yield* Caller.ask(pool)
        yield* TestClock.adjust("950 millis")
        assert.strictEqual(fake.dials, 10)
        assert.deepStrictEqual(logs, [
          "WARN Connects fail, and another one is tried whenever one is needed: FakeFailure"
        ])
        fake.connect = ok
        yield* TestClock.adjust("100 millis")
        assert.lengthOf(logs, 1, "it may fail again at once")
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(logs.slice(1), ["INFO Connects succeed again: 10 had failed in 1s"])
      })
    ))

  it.scoped("R18 an outage is logged once also where connectRetry gives up again and again", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: failTransiently })
        const pool = yield* makePool({ ...fake.options, connectRetry: Schedule.stop })
        for (let i = 0; i < 5; i++) {
          yield* Caller.ask(pool)
          yield* TestClock.adjust("1 millis")
        }
        assert.isAtLeast(fake.dials, 5)
        assert.lengthOf(logs, 1)
      })
    ))

  it.scoped("R18 waiters have outageTimeout where that is longer, then fail with the last connect error as the cause", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({
        ...fake.options,
        connectRetry: everySecond,
        acquireTimeout: "2 seconds",
        outageTimeout: "7500 millis"
      })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("7499 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.ok(caller.failure?._tag === "PoolExhausted")
      assert.deepInclude(caller.failure.cause, { _tag: "FakeFailure", id: 8 })
    }))

  it.scoped("R18 waiters have acquireTimeout where that is longer than outageTimeout", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, connectRetry: everySecond, acquireTimeout: "15 seconds" })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("14999 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.ok(caller.failure?._tag === "PoolExhausted")
      assert.deepInclude(caller.failure.cause, { _tag: "FakeFailure" })
    }))

  it.scoped("R18 outageTimeout is 10 seconds by default, where acquireTimeout is less", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, acquireTimeout: "200 millis" })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("9999 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.ok(caller.failure?._tag === "PoolExhausted")
      assert.deepInclude(caller.failure.cause, { _tag: "FakeFailure" })
    }))

  it.scoped("R18 if the last connect timed out the error is PoolExhausted with that cause", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const pool = yield* makePool({
        ...fake.options,
        maxsize: 1,
        maxoverflow: 1,
        connectTimeout: "1 second",
        acquireTimeout: "3 seconds"
      })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("10 seconds")
      const { failure } = caller
      assert.ok(failure?._tag === "PoolExhausted")
      assert.instanceOf(failure.cause, Cause.TimeoutException)
      assert.strictEqual(failure.waited, 10_000)
      assert.include(failure.message, "The last connect failed: the connect took longer than connectTimeout (1000 ms)")
    }))

  it.scoped("R18 when connects succeed again all waiters are served, and the next failures begin a new backoff", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const connectRetry = Schedule.exponential("1 second")
      const pool = yield* makePool({ ...fake.options, maxsize: 10, connectRetry })
      const callers = yield* Caller.askTimes(pool, 5)
      // tries at 0, 1, 3 and 7 seconds
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(fake.dials, 3)
      fake.connect = ok
      yield* TestClock.adjust("1 second")
      assert.isTrue(callers.every(({ value }) => value !== undefined))
      fake.connect = failTransiently
      yield* Caller.ask(pool)
      const { dials } = fake
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fake.dials, dials + 1)
    }))

  it.scoped("R4 who gives up while his connect is under way is told so, and not to hold connections for less long", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: Effect.never })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, acquireTimeout: 5 })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust(5)
      for (const { failure } of [first, second]) {
        assert.include(
          failure?.message,
          "No connection after 5 ms (acquireTimeout: 5 ms): a connect was still under way"
        )
        assert.include(failure?.message, "Raise acquireTimeout (a bare number is milliseconds).")
        assert.include(failure?.message, "1 opening")
        assert.notInclude(failure?.message, "raise maxoverflow")
      }
    }))

  it.scoped("R18 what a caller hears who gives up has the last connect error and the counts in one message", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: Effect.die(new Error("the cable is cut")) })
      const pool = yield* makePool({
        acquire: Effect.sandbox(fake.acquire),
        isTransient: () => true,
        acquireTimeout: "1 second",
        outageTimeout: "1 second"
      })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.ok(caller.failure instanceof PoolError.PoolExhausted)
      assert.match(
        caller.failure.message,
        /^No connection after 1000 ms \(acquireTimeout: 1000 ms\)\. The last connect failed: .* \(0 busy, 0 idle, .* maxoverflow 20\)$/s
      )
    }))

  it.scoped("R18 no more than 20 dials a second, whatever the demand", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, acquireTimeout: "1 minute" })
      // Those that were under way when it began come on top.
      yield* Caller.ask(pool)
      for (let second = 0; second < 10; second++) {
        const { dials } = fake
        for (let i = 0; i < 10; i++) {
          yield* Effect.replicateEffect(Effect.forkScoped(Effect.scoped(pool.get)), 100)
          yield* TestClock.adjust("100 millis")
        }
        assert.isAtMost(fake.dials - dials, 20)
      }
    }))

  it.scoped("R18 connections that come back serve waiters during an outage, in order", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : failTransiently })
      const pool = yield* makePool(fake.options)
      const holder = yield* Caller.ask(pool)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("3 seconds")
      yield* holder.release
      assert.deepStrictEqual(ids([first, second]), [1, undefined])
      yield* first.release
      assert.deepStrictEqual(ids([second]), [1])
    }))

  it.scoped("R18 a dial older than 0.8 seconds no longer blocks the next", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? failTransiently : id === 2 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, connectRetry: everySecond })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("799 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(caller.value?.id, 3)
    }))

  it.scoped("R18 nobody who waits, nobody who dials: an outage without demand causes no dials", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, connectRetry: everySecond })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("2 seconds")
      yield* caller.interrupt
      const { dials } = fake
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(fake.dials, dials)
    }))

  it.scoped("R18 when connectRetry ends, those who wait for a connect fail, with the last failure as the cause", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const connectRetry = Schedule.intersect(everySecond, Schedule.recurs(2))
      const pool = yield* makePool({ ...fake.options, connectRetry })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1999 millis")
      assert.isTrue(callers.every(({ isWaiting }) => isWaiting))
      yield* TestClock.adjust("1 millis")
      for (const { failure } of callers) {
        assert.ok(failure?._tag === "PoolExhausted")
        assert.deepInclude(failure.cause, { _tag: "FakeFailure", id: 3 })
      }
      // The next caller is not made to pay for it.
      fake.connect = ok
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 4)
    }))

  it.scoped("R18 a schedule that ends at once does not make a warm pool dial without rest", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({
        // Ends the test instead of hanging it.
        connect: (id) => id < 1000 ? failTransiently : hang
      })
      yield* makePool({ ...fake.options, warm: 1, connectRetry: Schedule.stop })
      yield* TestClock.adjust("1 second")
      assert.isBelow(fake.dials, 100)
    }))

  it.scopedLive("R18 a schedule without delays leaves the timers their turn, even where connects fail on the spot", () =>
    Effect.gen(function*() {
      const pool = yield* ElasticPool.make({
        acquire: Effect.fail("down"),
        isTransient: () => true,
        connectRetry: Schedule.forever,
        acquireTimeout: 50,
        outageTimeout: 50
      })
      assert.deepInclude(yield* Effect.flip(pool.use(Effect.succeed)), { _tag: "PoolExhausted", cause: "down" })
    }))

  it.scoped("R18 a schedule that dies ends the outage for those who wait, and not the pool", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const connectRetry = Schedule.forever.pipe(Schedule.mapEffect(() => Effect.die("a bug")))
      const pool = yield* makePool({ ...fake.options, connectRetry })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.isDefined(caller.exit)
      fake.connect = ok
      const next = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.isDefined(next.value)
    }))

  it.scoped("R18 warm connections are opened when the outage is over", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, warm: 2, connectRetry: everySecond })
      yield* TestClock.adjust("3 seconds")
      fake.connect = ok
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
    }))
})

describe("I6 what hangs holds up nobody else", () => {
  it.scoped("I6 one connect hangs, others succeed: nobody starves", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id % 3 === 1 ? hang : slow("20 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 4, maxoverflow: 8, acquireTimeout: "5 seconds" })
      const calls = yield* Effect.fork(Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.exit(pool.use(() => Effect.sleep("50 millis"))),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("5 seconds")
      const exits = yield* Fiber.join(calls)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 50)
      assert.isAtMost(fake.highest, 8)
    }))

  it.scoped("I6 all connects hang at first: who waits is served as soon as one succeeds", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 4 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 10, connectConcurrency: 4 })
      const callers = yield* Caller.askTimes(pool, 6)
      yield* TestClock.adjust("1 second")
      assert.isTrue(callers.every(({ value }) => value !== undefined))
    }))

  it.scoped("R18 connects that have hung for 1.6 seconds give their permits to the next ones, but for the oldest", () =>
    Effect.gen(function*() {
      let isAway = true
      const fake = new FakeResource({ connect: () => isAway ? hang : ok })
      const limits = { maxsize: 4, maxoverflow: 4, connectTimeout: "1 minute" } as const
      const pool = yield* makePool({ ...fake.options, ...limits })
      const callers = yield* Caller.askTimes(pool, 4)
      yield* TestClock.adjust("1599 millis")
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 4 })
      assert.strictEqual(fake.dials, 4)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(fake.dials, 7)
      yield* TestClock.adjust("9 seconds")
      const { opening, size } = yield* pool.stats
      assert.deepStrictEqual({ opening, size }, { opening: 4, size: 4 })
      isAway = false
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(callers.every(({ value }) => value !== undefined))
    }))

  for (const maxoverflow of [3, 5]) {
    it.scoped(`R3 below maxsize is who has only connects that hang beside him, of ${maxoverflow} at most`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: (id) => id <= 2 ? hang : ok })
        const pool = yield* makePool({ ...fake.options, maxsize: 3, maxoverflow, connectTimeout: "1 minute" })
        const callers = yield* Caller.askTimes(pool, 3)
        assert.deepStrictEqual(ids(callers), [3, undefined, undefined])
        yield* Effect.forEach(callers.slice(1), (caller) => caller.interrupt)
        yield* TestClock.adjust("1600 millis")
        const late = yield* Caller.ask(pool)
        yield* TestClock.adjust(0)
        assert.strictEqual(late.value?.id, 4)
      }))
  }

  it.scoped("R18 a server that lets each one in after three seconds is no server that is away", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("3 seconds") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 2, connectTimeout: "5 seconds" })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(callers.some(({ value }) => value !== undefined))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(callers.every(({ value }) => value !== undefined))
    }))

  it.scoped("I6 an acquire that can't be interrupted is left behind cleanupTimeout after connectTimeout", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: (id) => id === 1 ? stuck : ok })
        const pool = yield* makePool({
          ...fake.options,
          maxsize: 1,
          maxoverflow: 1,
          connectTimeout: "2 seconds",
          cleanupTimeout: "500 millis"
        })
        const caller = yield* Caller.ask(pool)
        yield* TestClock.adjust("2499 millis")
        assert.isTrue(caller.isWaiting)
        assert.notMatch(logs.join(), /left behind/)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(caller.value?.id, 2)
        assert.deepInclude(yield* pool.stats, { size: 1, busy: 1, closing: 0 })
        assert.deepStrictEqual(
          logs.filter((line) => line.includes("left behind")),
          ["WARN A connection (failed) could not be closed within cleanupTimeout (500 ms) and was left behind"]
        )
      })
    ))

  it.scoped("I6 what an acquire that is left behind has opened is closed first, and what it opens later at once", () =>
    Effect.gen(function*() {
      const open = new Set<string>()
      const part = (name: string) =>
        Effect.acquireRelease(Effect.sync(() => open.add(name)), () => Effect.sync(() => open.delete(name)))
      let connects = 0
      const acquire = Effect.suspend(() => {
        const id = ++connects
        return id > 1
          ? part(`${id}`)
          : Effect.uninterruptible(Effect.zipRight(part("socket"), Effect.zipRight(slow("1 minute"), part("rest"))))
      })
      const pool = yield* makePool({ acquire, maxsize: 1, maxoverflow: 1, connectTimeout: "2 seconds" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("2499 millis")
      assert.deepStrictEqual([...open], ["socket"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([...open], ["2"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([...open], ["2"])
      assert.deepInclude(yield* pool.stats, { size: 1, busy: 1, opened: 1 })
    }))

  it.scoped("I6 a check that hangs holds up nobody: the connection is given up after cleanupTimeout", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: hang })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 1, maxoverflow: 1, cleanupTimeout: "500 millis" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("499 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(caller.value?.id, 2)
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("I6 a check that can't be interrupted holds up nobody", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: stuck })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 1, maxoverflow: 1 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(caller.value?.id, 2)
    }))

  for (const [what, script] of [["hangs", hang], ["can't be interrupted", stuck]] as const) {
    it.scoped(`I6 a reset that ${what} holds up nobody: not its borrower, and the next only for cleanupTimeout`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ reset: script })
        const pool = yield* makePool({ ...fake.withReset, maxsize: 1, maxoverflow: 1 })
        yield* pool.use(() => Effect.void)
        yield* Caller.ask(pool)
        assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1 })
        yield* TestClock.adjust("499 millis")
        assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1 })
        yield* TestClock.adjust("1 millis")
        assert.deepInclude(yield* pool.stats, { checking: 0, busy: 1, waiting: 0 })
        assert.strictEqual((yield* pool.stats).closed.dirty, 1)
      }))
  }

  it.scoped("I6 a finaliser that hangs is left behind after cleanupTimeout: its permit comes back, with a warning", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ close: (id) => id === 1 ? hang : ok })
        const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, maxUses: 1 })
        yield* pool.use(() => Effect.void)
        const caller = yield* Caller.ask(pool)
        yield* TestClock.adjust("499 millis")
        assert.isTrue(caller.isWaiting)
        assert.deepInclude(yield* pool.stats, { closing: 1, size: 1 })
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(caller.value?.id, 2)
        assert.strictEqual(logs.length, 1)
        assert.match(logs[0], /^WARN .*left behind/)
      })
    ))

  it.scoped("I6 a finaliser that fails or dies costs no permit", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const acquire = Effect.acquireRelease(fake.acquire, () => Effect.die("boom"))
      const pool = yield* makePool({ acquire, maxsize: 1, maxoverflow: 1, maxUses: 1 })
      for (let i = 0; i < 3; i++) yield* pool.use(() => Effect.void)
      assert.deepStrictEqual(fake.opened, [1, 2, 3])
    }))

  it.scoped("I6 while a connection is stuck in its finaliser, deadlines of callers hold", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: stuck })
      const pool = yield* makePool({
        ...fake.options,
        maxsize: 1,
        maxoverflow: 1,
        maxUses: 1,
        acquireTimeout: "1 second",
        cleanupTimeout: "1 minute"
      })
      yield* pool.use(() => Effect.void)
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(caller.failure, { _tag: "PoolExhausted", waited: 1000 })
    }))
})
