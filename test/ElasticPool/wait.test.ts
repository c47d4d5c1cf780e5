import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { describe } from "vitest"
import { Outbox } from "../../src/internal/pool/outbox.js"
import { Tally } from "../../src/internal/pool/tally.js"
import { Waiter, Waiters } from "../../src/internal/pool/waiters.js"
import { Caller, fail, FakeResource, hang, slow } from "../support/fakeResource.js"
import { fill, ids, makePool, WatchedClock } from "../support/testPool.js"

describe("R3: below maxsize", () => {
  it.scoped("R3: a caller that finds none idle is due at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("150 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 3 })
      yield* Caller.ask(pool)
      assert.strictEqual(fake.dials, 1)
      yield* Caller.askTimes(pool, 2)
      assert.strictEqual(fake.dials, 3)
      assert.deepInclude(yield* pool.stats, { opening: 3, waiting: 3, size: 3 })
    }))

  it.scoped("R3: it is open connections that count: with some idle and some busy, too", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 3 })
      yield* fill(pool, 2)
      const callers = yield* Caller.askTimes(pool, 3)
      assert.deepStrictEqual(ids(callers), [2, 1, 3])
    }))

  it.scoped("R3: a connection under check is expected back: a lone waiter is due only after maxwait", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: slow("400 millis") })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 3, maxwait: "200 millis", acquireTimeout: "1 minute" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1, opening: 0 })
      yield* TestClock.adjust("199 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(fake.dials, 2)
      assert.strictEqual(caller.value?.id, 2)
    }))

  it.scoped("R3: when the check of its connection fails, a waiter below maxsize is due at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: Effect.zipRight(slow("50 millis"), fail) })
      const pool = yield* makePool({ ...fake.withCheck, maxwait: "200 millis", acquireTimeout: "1 minute" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("49 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(caller.value?.id, 2)
      assert.deepStrictEqual(fake.closed, [1])
      assert.strictEqual((yield* pool.stats).closed.dirty, 1)
    }))

  it.scoped("R3: one check is expected by one waiter: the second waiter is due at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: slow("100 millis") })
      const pool = yield* makePool({ ...fake.withCheck, maxwait: "200 millis", acquireTimeout: "1 minute" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const [first, second] = yield* Caller.askTimes(pool, 2)
      assert.strictEqual(fake.dials, 2)
      // Whichever comes first is for the oldest (R5, R11).
      assert.strictEqual(first.value?.id, 2)
      assert.isTrue(second.isWaiting)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(second.value?.id, 1)
    }))
})

describe("R4: at maxsize", () => {
  it.scoped("R4: the caller joins a queue and is due after maxwait", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxwait: "200 millis", acquireTimeout: "1 minute" })
      yield* Caller.askTimes(pool, 2)
      const third = yield* Caller.ask(pool)
      yield* TestClock.adjust("199 millis")
      assert.strictEqual(fake.dials, 2)
      assert.strictEqual((yield* pool.stats).waiting, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(fake.dials, 3)
      assert.strictEqual(third.value?.id, 3)
    }))

  it.scoped("R4: each caller has a maxwait of its own", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: "200 millis", acquireTimeout: "1 minute" })
      yield* Caller.ask(pool)
      yield* Caller.ask(pool)
      yield* TestClock.adjust("150 millis")
      yield* Caller.ask(pool)
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("149 millis")
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(fake.dials, 3)
    }))

  it.scoped("R4: the queue is first in, first out", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      let holder = yield* Caller.ask(pool)
      const waiters = yield* Caller.askTimes(pool, 4)
      for (const waiter of waiters) {
        assert.isTrue(waiter.isWaiting)
        yield* holder.release
        assert.strictEqual(waiter.value?.id, 1)
        holder = waiter
      }
    }))

  it.scoped("R4: with maxwait zero the caller is due at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: 0, maxoverflow: 5 })
      assert.deepStrictEqual(ids(yield* Caller.askTimes(pool, 5)), [1, 2, 3, 4, 5])
    }))

  it.scoped("R4: a due waiter keeps its place in the queue", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.void : slow("500 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: "200 millis", acquireTimeout: "1 minute" })
      const holder = yield* Caller.ask(pool)
      const first = yield* Caller.ask(pool)
      yield* TestClock.adjust("200 millis")
      const second = yield* Caller.ask(pool)
      assert.deepInclude(yield* pool.stats, { opening: 1, waiting: 2 })
      yield* holder.release
      assert.strictEqual(first.value?.id, 1)
      assert.isTrue(second.isWaiting)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(second.value?.id, 2)
    }))

  it.scoped("R4: while the budget is spent a due waiter waits on, and takes what comes back", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({
        ...fake.options,
        maxsize: 1,
        maxwait: "200 millis",
        maxoverflow: 2,
        acquireTimeout: "1 minute"
      })
      const first = yield* Caller.ask(pool)
      yield* Caller.ask(pool)
      yield* TestClock.adjust("200 millis")
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(fake.dials, 2)
      assert.isTrue(waiter.isWaiting)
      yield* first.release
      assert.strictEqual(waiter.value?.id, 1)
      assert.strictEqual(fake.highest, 2)
    }))

  it.scoped("R4: a queue before a full pool wakes nobody until a wait is over", () =>
    Effect.gen(function*() {
      const clock = yield* WatchedClock.make
      const options = { maxsize: 1, maxwait: "200 millis", acquireTimeout: "1 minute" } as const
      const pool = yield* makePool({ ...new FakeResource().options, ...options, maxoverflow: 1 }, clock)
      const holder = yield* Caller.ask(pool)
      const { sleeps } = clock
      for (let i = 0; i < 50; i++) {
        yield* Caller.ask(pool)
        yield* TestClock.adjust("1 second")
      }
      assert.isAtMost(clock.sleeps - sleeps, 1)
      assert.deepInclude(yield* pool.stats, { waiting: 50, busy: 1 })
      yield* holder.release
      assert.deepInclude(yield* pool.stats, { waiting: 49 })
    }))

  for (const [waited, left] of [[150, 50], [250, 0]] as const) {
    it.scoped(`R4, R8: where a permit comes free after ${waited} ms, a waiter is due after ${waited + left}`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: "200 millis", maxoverflow: 2 })
        yield* Caller.ask(pool)
        const other = yield* Caller.ask(pool)
        yield* TestClock.adjust("200 millis")
        const waiter = yield* Caller.ask(pool)
        yield* TestClock.adjust(waited)
        yield* pool.invalidate(other.value!)
        yield* other.release
        if (left > 0) {
          yield* TestClock.adjust(left - 1)
          assert.strictEqual(fake.dials, 2)
          yield* TestClock.adjust(1)
        }
        assert.strictEqual(fake.dials, 3)
        assert.strictEqual(waiter.value?.id, 3)
      }))
  }

  it.scoped("R4: after acquireTimeout in all the caller fails with PoolExhausted, which tells the counts", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({
        ...fake.options,
        maxsize: 1,
        maxoverflow: 1,
        maxwait: "200 millis",
        acquireTimeout: "1 second"
      })
      yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("600 millis")
      const later = yield* Caller.ask(pool)
      yield* TestClock.adjust("399 millis")
      assert.isTrue(waiter.isWaiting)
      yield* TestClock.adjust("1 millis")
      const { failure } = waiter
      assert.ok(failure?._tag === "PoolExhausted")
      assert.strictEqual(failure.waited, 1000)
      assert.strictEqual(failure.cause, undefined)
      assert.deepInclude(failure.stats, { maxsize: 1, maxoverflow: 1, size: 1, busy: 1, idle: 0 })
      assert.deepInclude(failure, { limit: "acquireTimeout", limitMillis: 1000, wasOwed: false })
      assert.match(
        failure.message,
        /^No connection after 1000 ms \(acquireTimeout: 1000 ms\): the only one that maxoverflow/
      )
      assert.match(failure.message, /\(1 busy, 0 idle.*maxsize 1, maxoverflow 1\)\. Held: 1 taken in no span, up to /)
      assert.isTrue(later.isWaiting)
      yield* TestClock.adjust("600 millis")
      assert.deepInclude(later.failure, { _tag: "PoolExhausted", waited: 1000 })
      assert.deepInclude(yield* pool.stats, { timeouts: 2, waiting: 0, acquired: 1 })
    }))

  for (const maxwait of [undefined, "auto", 0, "3 seconds"] as const) {
    it.scoped(`R4: acquireTimeout is 30 seconds by default, also where maxwait is ${maxwait}`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, maxwait })
        yield* Caller.ask(pool)
        const waiter = yield* Caller.ask(pool)
        yield* TestClock.adjust("29999 millis")
        assert.isTrue(waiter.isWaiting)
        yield* TestClock.adjust("1 millis")
        assert.deepInclude(waiter.failure, { _tag: "PoolExhausted", waited: 30_000 })
      }))
  }

  it.scoped("R4: acquireTimeout is strict, also while a connect is under way for the caller", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("900 millis") })
      const pool = yield* makePool({ ...fake.options, maxwait: "100 millis", acquireTimeout: "500 millis" })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("499 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(caller.failure, { _tag: "PoolExhausted", waited: 500 })
    }))

  it.scoped("R4: an acquireTimeout below maxwait is strict", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: "1 second", acquireTimeout: "50 millis" })
      yield* Caller.ask(pool)
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("50 millis")
      assert.deepInclude(caller.failure, { _tag: "PoolExhausted", waited: 50 })
    }))

  it.scoped("R4: a cold pool with default numbers refuses none of 600 callers who hold for 200 ms", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("20 millis") })
      const pool = yield* makePool(fake.options)
      const served = yield* Effect.fork(Effect.forEach(
        Array.from({ length: 600 }),
        () => Effect.exit(pool.use(() => Effect.sleep("200 millis"))),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("30 seconds")
      const exits = yield* served
      assert.strictEqual(exits.filter(({ _tag }) => _tag === "Success").length, 600)
      assert.isAtMost(fake.highest, 20)
    }))
})

describe("R5: whichever comes first", () => {
  it.scoped("R5: the oldest waiter takes a returned connection although one opens for it", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.void : slow("500 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2 })
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("100 millis")
      yield* holder.release
      assert.strictEqual(waiter.value?.id, 1)
    }))

  it.scoped("R5: the oldest waiter takes a connection that was opened for another", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => slow(id === 1 ? "500 millis" : "100 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2 })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(ids(callers), [2, undefined])
      yield* TestClock.adjust("400 millis")
      assert.deepStrictEqual(ids(callers), [2, 1])
    }))

  it.scoped("R5: a connection that opens when nobody waits goes to idle", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("500 millis") })
      const pool = yield* makePool(fake.options)
      yield* (yield* Caller.ask(pool)).interrupt
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* pool.stats, { idle: 1, busy: 0, opening: 0, opened: 1 })
    }))

  it.scoped("R5: a connection that opens when nobody waits is closed if maxsize are idle", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.void : slow("500 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: 0 })
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* holder.release
      yield* waiter.release
      assert.deepInclude(yield* pool.stats, { idle: 1, opening: 1 })
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* pool.stats, { idle: 1, opening: 0, size: 1 })
      assert.deepStrictEqual(fake.closed, [2])
      assert.strictEqual((yield* pool.stats).closed.surplus, 1)
    }))

  it.scoped("R5: demand is tested again before each connect starts", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("500 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 5, connectConcurrency: 1 })
      const [, second, third] = yield* Caller.askTimes(pool, 3)
      yield* second.interrupt
      yield* third.interrupt
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(fake.dials, 1)
    }))
})

describe("R11: nobody barges", () => {
  it.scoped("R11: a newcomer does not pass a waiter whose connection is being checked", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: slow("100 millis") })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 1, maxoverflow: 1 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const first = yield* Caller.ask(pool)
      yield* TestClock.adjust("50 millis")
      const newcomer = yield* Caller.ask(pool)
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(first.value?.id, 1)
      assert.isTrue(newcomer.isWaiting)
    }))

  it.scoped("R11: a newcomer does not take a returned connection before those who wait", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      // In one step, so that the newcomer asks before the waiter has been resumed.
      yield* holder.letGo
      const newcomer = yield* Caller.ask(pool)
      assert.strictEqual(waiter.value?.id, 1)
      assert.isTrue(newcomer.isWaiting)
    }))

  it.scoped("R11: a caller whose candidate is being checked may be served by any other connection", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: slow("300 millis") })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 2, maxoverflow: 2 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const [first, second] = yield* Caller.askTimes(pool, 2)
      assert.strictEqual(first.value?.id, 2)
      assert.isTrue(second.isWaiting)
      yield* first.release
      assert.strictEqual(second.value?.id, 2)
      yield* TestClock.adjust("300 millis")
      assert.deepInclude(yield* pool.stats, { idle: 1, busy: 1, checking: 0 })
    }))

  it.scoped("R11, R4: goes on for it: at maxsize it is due after maxwait, and fails after acquireTimeout", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: hang, connect: (id) => id === 1 ? Effect.void : hang })
      const pool = yield* makePool({
        ...fake.withCheck,
        maxsize: 1,
        maxwait: "200 millis",
        acquireTimeout: "400 millis",
        cleanupTimeout: "10 seconds"
      })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("199 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("200 millis")
      assert.deepInclude(caller.failure, { _tag: "PoolExhausted", waited: 400 })
    }))

  it.scoped("R11: who is interrupted while its connection is checked leaves a connection behind that is idle", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: slow("100 millis") })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 1 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      yield* (yield* Caller.ask(pool)).interrupt
      assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 0 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { checking: 0, idle: 1 })
    }))
})

it("R12: who has left the queue keeps nobody else in memory", () => {
  const queue = new Waiters<object, never>(1, new Outbox(), new Tally(undefined))
  const [first, second, third] = [1, 2, 3].map((since) => new Waiter<object, never>(since, false, () => {}))
  for (const waiter of [first, second, third]) queue.push(waiter)
  queue.remove(second)
  assert.deepStrictEqual([second.earlier, second.later], [undefined, undefined])
  queue.remove(first)
  assert.isUndefined(first.later)
  assert.deepStrictEqual([queue.first, third.earlier], [third, undefined])
})
