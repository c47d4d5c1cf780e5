import { assert, it } from "@effect/vitest"
import { Cause, Clock, Effect, Schedule, TestClock } from "effect"
import { ElasticPool, PoolError } from "effect-pgpool"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, failPermanently, failTransiently, FakeResource, hang, ok } from "../support/fakeResource.js"
import { ids, makePool, withLogs } from "../support/testPool.js"

describe("R18: outages are waited out, and not hammered", () => {
  const everySecond = Schedule.spaced("1 second")

  it.scoped("R18: a transient failure fails nobody at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 3 ? failTransiently : ok })
      const pool = yield* makePool({ ...fake.options, connectRetry: everySecond })
      const callers = yield* Caller.askTimes(pool, 3)
      assert.isTrue(areAll(callers, ({ isWaiting }) => isWaiting))
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
    }))

  it.scoped("R18: who has waited for maxwait is refused with the others, also where a shrink has made the pool full", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 3 ? failPermanently : ok })
      const options = { maxsize: 1, maxwait: "100 millis", connectRetry: Schedule.recurs(0) } as const
      const pool = yield* makePool({ ...fake.options, ...options, maxoverflow: 3 })
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("100 millis")
      yield* Caller.ask(pool)
      yield* TestClock.adjust("100 millis")
      yield* pool.resize({ maxsize: 1, maxoverflow: 2 })
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.include(late.failure, { _tag: "PoolExhausted", limit: "connectRetry" })
      assert.deepInclude(yield* pool.stats, { waiting: 0, busy: 2 })
    }))

  it.scoped("R18: while connects fail the pool dials one at a time, by connectRetry", () =>
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

  it.scoped("R18: by default the delays grow from 50 ms to 500 ms", () =>
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
      assert.isTrue(areAll(delays.slice(5), (delay) => delay >= 400 && delay <= 500), `${delays}`)
    }))

  it.scoped("R18: an outage is logged when it begins and when it is over, however many connects fail meanwhile", () =>
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

  it.scoped("R18: an outage is logged once also where connectRetry gives up again and again", () =>
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

  it.scoped("R18: waiters have outageTimeout where that is longer, then fail with the last connect error as the cause", () =>
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

  it.scoped("R18: waiters have acquireTimeout where that is longer than outageTimeout", () =>
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

  it.scoped("R18: outageTimeout is 10 seconds by default, where acquireTimeout is less", () =>
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

  it.scoped("R18: if the last connect timed out the error is PoolExhausted with that cause", () =>
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

  it.scoped("R18: when connects succeed again all waiters are served, and the next failures begin a new backoff", () =>
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
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
      fake.connect = failTransiently
      yield* Caller.ask(pool)
      const { dials } = fake
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fake.dials, dials + 1)
    }))

  it.scoped("R4: who gives up while his connect is under way is told so, and not to hold connections for less long", () =>
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

  it.scoped("R18: what a caller hears who gives up has the last connect error and the counts in one message", () =>
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

  it.scoped("R18: no more than 20 dials a second, whatever the demand", () =>
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

  it.scoped("R18: connections that come back serve waiters during an outage, in order", () =>
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

  it.scoped("R18: a dial older than 0.8 seconds no longer blocks the next", () =>
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

  it.scoped("R18: nobody who waits, nobody who dials: an outage without demand causes no dials", () =>
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

  it.scoped("R18: when connectRetry ends, those who wait for a connect fail, with the last failure as the cause", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const connectRetry = Schedule.intersect(everySecond, Schedule.recurs(2))
      const pool = yield* makePool({ ...fake.options, connectRetry })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1999 millis")
      assert.isTrue(areAll(callers, ({ isWaiting }) => isWaiting))
      yield* TestClock.adjust("1 millis")
      for (const { failure } of callers) {
        assert.ok(failure?._tag === "PoolExhausted")
        assert.deepInclude(failure.cause, { _tag: "FakeFailure", id: 3 })
      }
      // The next caller is not made to pay for it.
      fake.connect = ok
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 4)
    }))

  it.scoped("R18: a schedule that ends at once does not make a warm pool dial without rest", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({
        // Ends the test instead of hanging it.
        connect: (id) => id < 1000 ? failTransiently : hang
      })
      yield* makePool({ ...fake.options, warm: 1, connectRetry: Schedule.stop })
      yield* TestClock.adjust("1 second")
      assert.isBelow(fake.dials, 100)
    }))

  it.scopedLive("R18: a schedule without delays leaves the timers their turn, even where connects fail on the spot", () =>
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

  it.scoped("R18: a schedule that dies ends the outage for those who wait, and not the pool", () =>
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

  it.scoped("R18: warm connections are opened when the outage is over", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, warm: 2, connectRetry: everySecond })
      yield* TestClock.adjust("3 seconds")
      fake.connect = ok
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
    }))
})
