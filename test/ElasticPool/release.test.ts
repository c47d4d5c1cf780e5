import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { describe } from "vitest"
import { Caller, fail, FakeResource, settle, slow } from "../support/fakeResource.js"
import { makePool } from "../support/testPool.js"

describe("R7: release", () => {
  it.scoped("R7: (a) a broken connection, one that was invalidated, is retired on release and not before", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.options)
      const caller = yield* Caller.ask(pool)
      yield* pool.invalidate(caller.value!)
      assert.deepInclude(yield* pool.stats, { busy: 1 })
      assert.deepStrictEqual(fake.closed, [])
      yield* caller.release
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { size: 0, idle: 0 })
      assert.strictEqual((yield* pool.stats).closed.invalidated, 1)
    }))

  it.scoped("R7: (a) an idle connection that is invalidated is retired at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.options)
      const caller = yield* Caller.ask(pool)
      yield* caller.release
      yield* pool.invalidate(caller.value!)
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("R7: (a) a connection that is invalidated during its check or reset is never handed out", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const pool = yield* makePool(fake.withReset)
      const caller = yield* Caller.ask(pool)
      yield* caller.release
      yield* pool.invalidate(caller.value!)
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { idle: 0, size: 0 })
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
    }))

  it.scoped("invalidate ignores what the pool doesn't know, and what is closed already", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.options)
      const caller = yield* Caller.ask(pool)
      yield* caller.release
      yield* pool.invalidate({ id: 1 })
      assert.strictEqual((yield* pool.stats).idle, 1)
      yield* pool.invalidate(caller.value!)
      yield* settle
      yield* pool.invalidate(caller.value!)
      assert.strictEqual((yield* pool.stats).closed.invalidated, 1)
    }))

  it.scoped("R7: (a) an expired connection is retired on release", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, expires: "10 minutes" })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("10 minutes")
      yield* caller.release
      assert.deepStrictEqual(fake.closed, [1])
      assert.strictEqual((yield* pool.stats).closed.expired, 1)
    }))

  it.scoped("R7: (a) comes before (b) and (c): an expired connection is neither reset nor handed over", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({
        ...fake.withReset,
        maxsize: 1,
        maxoverflow: 1,
        expires: "10 minutes",
        acquireTimeout: "1 hour"
      })
      const caller = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("10 minutes")
      yield* caller.release
      assert.deepStrictEqual(fake.wasReset, [])
      assert.strictEqual(waiter.value?.id, 2)
    }))

  it.scoped("R7: (b) a connection that needs a reset is checking, and nobody's, until it is reset", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const pool = yield* makePool({ ...fake.withReset, maxsize: 1, maxoverflow: 1 })
      const caller = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* caller.release
      assert.deepInclude(yield* pool.stats, { checking: 1, busy: 0, idle: 0, waiting: 1 })
      assert.isTrue(waiter.isWaiting)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(waiter.value?.id, 1)
    }))

  it.scoped("R7: (b) a reset runs in the connection's own fiber: release does not wait for it", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const pool = yield* makePool(fake.withReset)
      // Under a TestClock that stands still it would hang.
      yield* pool.use(() => Effect.void)
      assert.strictEqual((yield* pool.stats).checking, 1)
    }))

  it.scoped("R7: (b) after each lease there is exactly one reset", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.withReset)
      for (let i = 0; i < 3; i++) yield* (yield* Caller.ask(pool)).release
      assert.deepStrictEqual(fake.wasReset, [1, 1, 1])
    }))

  it.scoped("R7: (b) a connection that needs no reset is ready at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.withReset, needsReset: ({ id }) => id === 2 })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* callers[0].letGo
      assert.deepInclude(yield* pool.stats, { idle: 1, checking: 0 })
      yield* callers[1].release
      assert.deepStrictEqual(fake.wasReset, [2])
    }))

  it.scoped("R7: (b) a connection whose reset fails is retired, and its permit serves the next waiter", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: fail })
      const pool = yield* makePool({ ...fake.withReset, maxsize: 1, maxoverflow: 1 })
      const caller = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* caller.release
      assert.strictEqual(waiter.value?.id, 2)
      assert.deepStrictEqual(fake.closed, [1])
      assert.strictEqual((yield* pool.stats).closed.dirty, 1)
    }))

  it.scoped("R7: (b) a reset that dies retires the connection", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: Effect.die("boom") })
      const pool = yield* makePool(fake.withReset)
      yield* (yield* Caller.ask(pool)).release
      assert.deepInclude(yield* pool.stats, { size: 0, checking: 0 })
    }))

  it.scoped("R7: (b) then (c): who expires during its reset is retired", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const pool = yield* makePool({ ...fake.withReset, expires: "1 second", minsize: 0 })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("950 millis")
      yield* caller.release
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { idle: 0, size: 0 })
    }))

  it.scoped("R7: (c) a released connection is handed over to the oldest waiter", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      const caller = yield* Caller.ask(pool)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* caller.release
      assert.strictEqual(first.value?.id, 1)
      assert.isTrue(second.isWaiting)
    }))

  it.scoped("R7: (c) comes before (e): an overflow connection is handed over while somebody waits", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 2, maxwait: 0, acquireTimeout: 1000 })
      const [, second] = yield* Caller.askTimes(pool, 2)
      const waiter = yield* Caller.ask(pool)
      yield* second.release
      assert.strictEqual(waiter.value?.id, 2)
    }))

  it.scoped("R7: (d) fewer than maxsize are idle: it is kept", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxwait: 0 })
      const callers = yield* Caller.askTimes(pool, 3)
      yield* callers[2].release
      yield* callers[1].release
      assert.deepInclude(yield* pool.stats, { idle: 2, busy: 1 })
      assert.deepStrictEqual(fake.closed, [])
    }))

  it.scoped("R7: (e) the third of three busy connections is closed at once with maxsize 2", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxwait: 0 })
      const [first, second, third] = yield* Caller.askTimes(pool, 3)
      yield* third.release
      yield* first.release
      assert.deepStrictEqual(fake.closed, [])
      yield* second.release
      assert.deepStrictEqual(fake.closed, [2])
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      assert.strictEqual((yield* pool.stats).closed.surplus, 1)
    }))

  it.scoped("maxUses: a connection is retired after this many leases", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.withReset, maxUses: 2 })
      for (let i = 0; i < 5; i++) yield* (yield* Caller.ask(pool)).release
      assert.deepStrictEqual(fake.opened, [1, 2, 3])
      assert.deepStrictEqual(fake.closed, [1, 2])
      assert.strictEqual((yield* pool.stats).closed.used, 2)
      assert.deepStrictEqual(fake.wasReset, [1, 2, 3])
    }))
})

describe("R8: after a retire", () => {
  it.scoped("R8: the freed permit serves the next due waiter, in order", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 2, acquireTimeout: "1 minute" })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("200 millis")
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("10 seconds")
      yield* pool.invalidate(callers[0].value!)
      yield* callers[0].release
      assert.strictEqual(first.value?.id, 3)
      assert.isTrue(second.isWaiting)
      assert.strictEqual(fake.highest, 2)
    }))

  it.scoped("R8: the permit is free only after the connection is closed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: slow("300 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, maxUses: 1 })
      const caller = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* caller.release
      yield* TestClock.adjust("299 millis")
      assert.deepInclude(yield* pool.stats, { closing: 1, size: 1, opening: 0, waiting: 1 })
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(waiter.value?.id, 2)
      assert.strictEqual(fake.highest, 1)
    }))

  it.scoped("R8: a waiter that is not due yet gets a connect below maxsize, when a retire brought the pool there", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 5, maxwait: "10 seconds", maxUses: 1 })
      const caller = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* caller.release
      assert.strictEqual(waiter.value?.id, 2)
    }))
})

describe("R17: alive before use", () => {
  it.scoped("R17: a connection idle for validateAfterIdle, 1 second by default, is lent without a check", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.withCheck)
      yield* (yield* Caller.ask(pool)).release
      yield* TestClock.adjust("1 second")
      yield* (yield* Caller.ask(pool)).release
      assert.deepStrictEqual(fake.checked, [])
      yield* TestClock.adjust("1001 millis")
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 1)
      assert.deepStrictEqual(fake.checked, [1])
    }))

  it.scoped("R17: a dead one is retired, and the caller gets another", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: (id) => id === 2 ? fail : Effect.void })
      const pool = yield* makePool({ ...fake.withCheck, maxwait: "200 millis" })
      for (const caller of yield* Caller.askTimes(pool, 2)) yield* caller.release
      yield* TestClock.adjust("1 minute")
      const caller = yield* Caller.ask(pool)
      assert.strictEqual(caller.value?.id, 1)
      assert.deepStrictEqual(fake.closed, [2])
    }))

  it.scoped("R17: a connection that needs no check is preferred to one that does", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.withCheck)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* TestClock.adjust("1 minute")
      yield* second.release
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
      assert.deepStrictEqual(fake.checked, [])
    }))
})
