import { assert, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, TestClock } from "effect"
import { describe } from "vitest"
import { Caller, fail, FakeResource, hang, ok, settle, slow } from "../support/fakeResource.js"
import { fill, makePool } from "../support/testPool.js"

const limits = { maxsize: 3, maxoverflow: 3, validateAfterIdle: "1 second" } as const

/** Three idle connections, of which the first is found dead when it is next used. */
const withDeadOne = (check: FakeResource["check"]) =>
  Effect.gen(function*() {
    const fake = new FakeResource()
    const pool = yield* makePool({ ...fake.withCheck, ...limits })
    yield* fill(pool, 3)
    yield* TestClock.adjust("2 seconds")
    fake.check = check
    return { fake, pool }
  })

describe("R19 what ended one connection may have ended others", () => {
  it.scoped("R19 a check that fails makes the others suspect: one is checked before its use though it was used just now", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* withDeadOne((id) => id === 1 ? fail : ok)
      const [third, second] = yield* Caller.askTimes(pool, 2)
      assert.deepStrictEqual(fake.checked, [3, 2])
      yield* third.release
      // Used a moment ago, so that it needs no check.
      const again = yield* Caller.ask(pool)
      assert.deepStrictEqual(fake.checked, [3, 2])
      const first = yield* Caller.ask(pool)
      assert.deepStrictEqual(fake.checked, [3, 2, 1])
      assert.strictEqual(first.value?.id, 4)
      // Those in use are checked on their way back, and once is enough.
      yield* again.release
      yield* second.release
      assert.deepStrictEqual(fake.checked, [3, 2, 1, 3, 2])
      yield* Caller.askTimes(pool, 2)
      assert.deepStrictEqual(fake.checked, [3, 2, 1, 3, 2])
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("R19 so does one that runs into cleanupTimeout", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* withDeadOne((id) => id === 3 ? hang : ok)
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(fake.checked, [3, 2])
      assert.strictEqual(caller.value?.id, 2)
    }))

  it.scoped("R19 a reset that runs into cleanupTimeout does, and one that fails doesn't", () =>
    Effect.gen(function*() {
      for (const [reset, expected] of [[hang, [1]], [fail, []]] as const) {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.withReset, ...limits, check: fake.withCheck.check })
        const [first, second] = yield* Caller.askTimes(pool, 2)
        yield* first.release
        fake.reset = reset
        yield* second.release
        yield* TestClock.adjust("500 millis")
        assert.strictEqual((yield* Caller.ask(pool)).value?.id, 1)
        assert.deepStrictEqual(fake.checked, [...expected])
      }
    }))

  it.scoped("R19 what opened after that is above suspicion, and so is what was opening", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* withDeadOne((id) => id === 3 ? fail : ok)
      fake.connect = slow("100 millis")
      const [first] = yield* Caller.askTimes(pool, 1)
      assert.strictEqual(first.value?.id, 2)
      const [second, third] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(second.value?.id, 1)
      assert.strictEqual(third.value?.id, 4)
      yield* third.release
      yield* Caller.ask(pool)
      assert.deepStrictEqual(fake.checked, [3, 2, 1])
    }))

  it.scoped("R19 where there is no check nobody is suspected", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: (id) => id === 1 ? hang : ok })
      const pool = yield* makePool({ ...fake.withReset, ...limits })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* TestClock.adjust("500 millis")
      yield* second.release
      assert.deepInclude(yield* pool.stats, { idle: 1, checking: 0 })
    }))
})

describe("R19 evict", () => {
  it.scoped("R19 closes idle connections now, and those in use when they are given back", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      yield* fill(pool, 2)
      const holder = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* settle
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { busy: 1, size: 1 })
      yield* holder.release
      assert.deepStrictEqual(fake.closed, [1, 2])
      assert.deepInclude((yield* pool.stats).closed, { evicted: 2, expired: 0 })
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 3)
    }))

  it.scoped("R19 those that are opening go when they are open, and who waits gets a new one meanwhile", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => slow(id === 1 ? "500 millis" : "100 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits })
      const caller = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(caller.value?.id, 2)
      yield* TestClock.adjust("400 millis")
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { busy: 1, size: 1 })
    }))

  it.scoped("R19 one that is being checked or reset goes after that", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const pool = yield* makePool({ ...fake.withReset, ...limits })
      yield* fill(pool, 1)
      const caller = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.closed, [1])
      assert.strictEqual(caller.value?.id, 2)
    }))

  it.scoped("R19 I1 waiters are served in the midst of it, in order, and the limits hold", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("10 millis"), close: slow("10 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits, acquireTimeout: "1 minute" })
      const callers = yield* Caller.askTimes(pool, 9)
      const served: Array<number> = []
      for (let round = 0; round < 10; round++) {
        yield* TestClock.adjust("30 millis")
        yield* pool.evict()
        for (const [n, caller] of callers.entries()) {
          if (caller.isWaiting || served.includes(n)) continue
          served.push(n)
          yield* caller.release
        }
      }
      assert.deepStrictEqual(served, callers.map((_, n) => n))
      assert.isAtMost(fake.highest, 3)
    }))

  it.scoped("R19 over a span of time each goes at a moment of its own", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const closedAt: Array<number> = []
      fake.close = Effect.map(Clock.currentTimeMillis, (now) => closedAt.push(now))
      const pool = yield* makePool({ ...fake.options, maxsize: 10, minsize: 0 })
      yield* fill(pool, 10)
      const busy = yield* Caller.ask(pool)
      yield* pool.evict({ over: "10 seconds" })
      yield* settle
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("5 seconds")
      assert.isAbove(closedAt.length, 0)
      assert.isBelow(closedAt.length, 9)
      yield* TestClock.adjust("5 seconds")
      assert.isAbove(new Set(closedAt).size, 5)
      assert.strictEqual(closedAt.length, 9)
      yield* busy.release
      assert.sameMembers(fake.closed, Array.from({ length: 10 }, (_, n) => n + 1))
      assert.deepInclude((yield* pool.stats).closed, { evicted: 10 })
    }))

  it.scoped("R9 R19 over a span of time the last one is renewed before it goes", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool(fake.options)
      yield* fill(pool, 1)
      yield* pool.evict({ over: "10 seconds" })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(fake.opened, [1, 2])
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      assert.strictEqual((yield* pool.stats).closed.renewed, 1)
    }))

  it.scoped("R19 it does not lengthen a life, and a new connection lives as long as ever", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, minsize: 0, expires: "1 minute" })
      yield* fill(pool, 1)
      yield* pool.evict({ over: "1 day" })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* pool.stats).closed, { expired: 1, evicted: 0 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* pool.stats).idle, 1)
    }))

  it.scoped("a span that is not allowed is a defect that names it", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(new FakeResource().options)
      const exit = yield* Effect.exit(pool.evict({ over: -1 }))
      assert.ok(Exit.isFailure(exit) && exit.cause._tag === "Die")
      assert.ok(Cause.isIllegalArgumentException(exit.cause.defect))
      assert.match(exit.cause.defect.message, /^over: -1 is not allowed/)
    }))
})
