import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { Forecast } from "../../src/internal/pool/forecast.js"
import { Loan } from "../../src/internal/pool/loan.js"
import type { Timers } from "../../src/internal/pool/runtime.js"
import type { Settings } from "../../src/internal/pool/settings.js"
import { Slot } from "../../src/internal/pool/slot.js"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, hang, settle, slow } from "../support/fakeResource.js"
import { makePool } from "../support/testPool.js"

const auto = { maxsize: 2, maxwait: "auto", maxoverflow: 20 } as const

/** A pool whose `maxsize` connections are in use: connects have taken 100 ms, and loans `loan` milliseconds on average. */
const inUse = (loan: number, options: ElasticPool.PoolOptions = {}, fake = new FakeResource({ connect: slow(100) })) =>
  Effect.gen(function*() {
    const { maxsize = 2 } = options
    const pool = yield* makePool({ ...fake.options, ...auto, ...options })
    yield* TestClock.adjust("1 minute")
    const openers = yield* Caller.askTimes(pool, maxsize)
    yield* TestClock.adjust(100)
    yield* TestClock.adjust(loan)
    for (const opener of openers) yield* opener.release
    // So long ago that nobody counts on as many callers again.
    yield* TestClock.adjust("1 minute")
    const holders = yield* Caller.askTimes(pool, maxsize)
    assert.strictEqual(fake.dials, maxsize)
    return { fake, pool, holders }
  })

/** A forecast that has seen one connect of 100 ms, and a connection that several may borrow. */
class Sharers {
  now = 0
  readonly forecast = new Forecast({ maxoverflow: 2 } as Settings, { now: () => this.now } as Timers)
  private readonly slot = new Slot<unknown>(1, undefined, 800, 0, 0)

  constructor() {
    this.forecast.dialled(this.slot)
    this.now = 100
    this.forecast.opened(this.slot, this.now)
  }

  lend(): Loan<unknown> {
    const lender = { begins: () => true, release: (loan: Loan<unknown>) => this.forecast.returned(loan, this.now) }
    const loan = new Loan(lender, this.slot, this.now, undefined, true, undefined)
    this.forecast.lent(loan)
    return loan
  }
}

describe("maxwait \"auto\": when a waiter is due", () => {
  it.scoped("R3: below maxsize a caller is due at once", () =>
    Effect.gen(function*() {
      const { fake, holders, pool } = yield* inUse(5, { maxsize: 4 })
      yield* pool.resize({ maxsize: 6 })
      yield* Caller.askTimes(pool, 2)
      assert.strictEqual(fake.dials, 6)
      assert.isTrue(areAll(holders, ({ value }) => value !== undefined))
    }))

  it.scoped("R4: before anything was opened nobody waits on a guess", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(20) })
      const pool = yield* makePool({ ...fake.options, ...auto })
      yield* Caller.askTimes(pool, 3)
      assert.strictEqual(fake.dials, 3)
      yield* TestClock.adjust(10)
      yield* Caller.ask(pool)
      assert.strictEqual(fake.dials, 4)
    }))

  it.scoped("R4: where connections come back sooner than one opens, a waiter gets one of those", () =>
    Effect.gen(function*() {
      const { fake, holders, pool } = yield* inUse(5)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust(19)
      assert.isTrue(waiter.isWaiting)
      yield* holders[0].release
      assert.strictEqual(waiter.value?.id, holders[0].value?.id)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fake.dials, 2)
    }))

  it.scoped("R4: where they come back later than one opens, a waiter is due at once", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(50)
      const waiter = yield* Caller.ask(pool)
      assert.strictEqual(fake.dials, 3)
      yield* TestClock.adjust(100)
      assert.strictEqual(waiter.value?.id, 3)
    }))

  it.scoped("R4: in a queue that takes longer than a connect all are due for whom nothing will have come back", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(25)
      const waiters = yield* Caller.askTimes(pool, 30)
      assert.strictEqual(fake.dials, 20)
      yield* TestClock.adjust(100)
      assert.strictEqual(waiters.filter(({ isWaiting }) => !isWaiting).length, 18)
      assert.deepInclude(yield* pool.stats, { busy: 20, size: 20, waiting: 12 })
    }))

  it.scoped("R4: where callers come faster than connections come back, they are due before the queue is long", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(5)
      // The two in use serve forty in the time of a connect, but two a millisecond are two hundred.
      yield* Caller.askTimes(pool, 2)
      assert.strictEqual(fake.dials, 2)
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust(1)
        yield* Caller.askTimes(pool, 2)
      }
      assert.isAbove(fake.dials, 2)
    }))

  it.scoped("R4: who has waited for the time of a connect is due, though others are still expected back", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(50, { maxsize: 4 })
      yield* TestClock.adjust(90)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust(99)
      assert.strictEqual(fake.dials, 4)
      yield* TestClock.adjust(1)
      assert.strictEqual(fake.dials, 5)
      yield* TestClock.adjust(100)
      assert.strictEqual(waiter.value?.id, 5)
    }))

  it.scoped("R4: who has had a connection for more than four loans is not expected back: the next caller is due at once", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(5)
      yield* TestClock.adjust(20)
      const early = yield* Caller.ask(pool)
      assert.isTrue(early.isWaiting)
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust(1)
      assert.strictEqual(fake.dials, 3)
      yield* Caller.ask(pool)
      assert.strictEqual(fake.dials, 4)
      yield* TestClock.adjust(99)
      assert.isTrue(early.isWaiting)
      yield* TestClock.adjust(1)
      assert.isFalse(early.isWaiting)
    }))

  it.scoped("R4: who waits is due as soon as nobody is expected back any more, and not only after the time of a connect", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(1)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust(4)
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust(1)
      assert.strictEqual(fake.dials, 3)
      yield* TestClock.adjust(100)
      assert.isFalse(waiter.isWaiting)
    }))

  it.scoped("R4: that fewer come back than should is allowed for", () =>
    Effect.gen(function*() {
      // Four should come back in the time of a connect, and by chance it may be none.
      const { fake, pool } = yield* inUse(50)
      yield* TestClock.adjust(90)
      yield* Caller.ask(pool)
      assert.strictEqual(fake.dials, 3)
    }))

  it.scoped("R6: a connect that hangs doesn't make callers patient, while they may still rely on it", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 3 ? hang : slow(100) })
      const { pool } = yield* inUse(5, {}, fake)
      yield* Caller.ask(pool)
      yield* TestClock.adjust(520)
      assert.strictEqual(fake.dials, 3)
      yield* Caller.askTimes(pool, 17)
      assert.strictEqual(fake.dials, 20)
    }))

  it.scoped("R6: connectConcurrency still bounds the connects in flight where it is set", () =>
    Effect.gen(function*() {
      const { pool } = yield* inUse(5, { connectConcurrency: 3 })
      yield* Caller.askTimes(pool, 30)
      assert.deepInclude(yield* pool.stats, { opening: 3 })
    }))

  it.scoped("R11: a lone caller whose connection is checked causes no connect, however long loans are", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(20), check: slow(10) })
      const pool = yield* makePool({ ...fake.withCheck, ...auto, maxsize: 1 })
      const opener = yield* Caller.ask(pool)
      yield* TestClock.adjust(5000)
      yield* opener.release
      yield* TestClock.adjust("1 minute")
      const caller = yield* Caller.ask(pool)
      assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1 })
      yield* TestClock.adjust(10)
      assert.strictEqual(caller.value?.id, 1)
      assert.strictEqual(fake.dials, 1)
    }))
})

describe("maxwait \"auto\": what it measures", () => {
  it.scoped("R4: one loan of an hour doesn't make the others look long", () =>
    Effect.gen(function*() {
      const { fake, holders, pool } = yield* inUse(5, { maxoverflow: 4, expires: "2 hours" })
      yield* TestClock.adjust("1 hour")
      yield* holders[0].release
      yield* Caller.ask(pool)
      yield* TestClock.adjust(10)
      const waiter = yield* Caller.ask(pool)
      assert.isTrue(waiter.isWaiting)
      assert.strictEqual(fake.dials, 2)
    }))

  it.scoped("R7: two slow connects of five don't make connections linger", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => slow(id <= 2 ? 150 : 20) })
      const pool = yield* makePool({ ...fake.options, ...auto })
      const callers = yield* Caller.askTimes(pool, 5)
      yield* TestClock.adjust(150)
      for (const caller of callers) yield* caller.release
      yield* TestClock.adjust(160)
      assert.strictEqual(fake.closed.length, 3)
    }))

  it.scoped("R4: however slow connects are, nobody waits longer than by the fixed rule's default", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(900) })
      const pool = yield* makePool({ ...fake.options, ...auto, maxsize: 8, warm: 8 })
      yield* TestClock.adjust("1 minute")
      const openers = yield* Caller.askTimes(pool, 8)
      yield* TestClock.adjust(100)
      for (const opener of openers) yield* opener.release
      yield* TestClock.adjust("1 minute")
      yield* Caller.askTimes(pool, 8)
      yield* TestClock.adjust(180)
      yield* Caller.ask(pool)
      yield* TestClock.adjust(199)
      assert.strictEqual(fake.dials, 8)
      yield* TestClock.adjust(1)
      assert.strictEqual(fake.dials, 9)
    }))

  it("R4: of borrowers who share a connection each has the time of its own loan", () => {
    const sharers = new Sharers()
    const loans: Array<Loan<unknown>> = []
    // Four share it, one a quarter of a loan after the other: each has it for 80 ms, and one comes back each 20 ms.
    for (let i = 0; i < 300; i++) {
      if (loans.length === 4) loans.shift()!.end()
      loans.push(sharers.lend())
      sharers.now += 20
    }
    // In the time of a connect five come back, and maybe none, and not twenty, as if each had it for 20 ms.
    assert.strictEqual(sharers.forecast.due(8, 0, sharers.now), 8)
  })

  it("R4: of borrowers who share a connection and end together each has the time of its own loan", () => {
    const sharers = new Sharers()
    // Ten have it for 80 ms, again and again.
    for (let i = 0; i < 300; i++) {
      const loans = Array.from({ length: 10 }, () => sharers.lend())
      sharers.now += 80
      for (const loan of loans) loan.end()
    }
    for (let i = 0; i < 10; i++) sharers.lend()
    // In the time of a connect some twelve come back, and by chance only five: of fifteen who wait ten are due.
    assert.strictEqual(sharers.forecast.due(15, 0, sharers.now), 10)
  })

  it("R4: a borrower who joins others makes none of their loans look younger", () => {
    const sharers = new Sharers()
    for (let i = 0; i < 300; i++) {
      const loan = sharers.lend()
      sharers.now += 10
      loan.end()
    }
    const stuck = Array.from({ length: 4 }, () => sharers.lend())
    sharers.now += 42
    const joined = sharers.lend()
    // Nobody expects the four back, who have had it for more than four loans.
    assert.deepStrictEqual(stuck.map(({ isExpected }) => isExpected), [true, true, true, true])
    sharers.forecast.due(1, 0, sharers.now)
    assert.deepStrictEqual(stuck.map(({ isExpected }) => isExpected), [false, false, false, false])
    assert.isTrue(joined.isExpected)
  })
})

describe("maxwait \"auto\": how long an overflow connection lingers", () => {
  const five = (connect: number) =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(connect) })
      const pool = yield* makePool({ ...fake.options, ...auto })
      const callers = yield* Caller.askTimes(pool, 5)
      // Four, and when the first one is open the fifth.
      yield* TestClock.adjust(connect)
      yield* TestClock.adjust(connect)
      assert.strictEqual(fake.dials, 5)
      for (const caller of callers) yield* caller.release
      return { fake, pool, ids: callers.map(({ value }) => value!.id) }
    })

  it.scoped("R7: what comes back is kept, and closed down to maxsize when it was not used for 8 connects", () =>
    Effect.gen(function*() {
      const { fake, ids, pool } = yield* five(20)
      assert.deepInclude(yield* pool.stats, { idle: 5, size: 5 })
      yield* TestClock.adjust(159)
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust(1)
      assert.sameMembers(fake.closed, ids.slice(0, 3))
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      assert.strictEqual((yield* pool.stats).closed.surplus, 3)
    }))

  for (const connect of [0, 1]) {
    it.scoped(`R7: it lingers for 150 ms where a connect takes ${connect} ms`, () =>
      Effect.gen(function*() {
        const { fake, ids } = yield* five(connect)
        yield* TestClock.adjust(149)
        assert.deepStrictEqual(fake.closed, [])
        yield* TestClock.adjust(1)
        assert.sameMembers(fake.closed, ids.slice(0, 3))
      }))
  }

  it.scoped("R7: those that are used now and then stay, the others go", () =>
    Effect.gen(function*() {
      const { fake, ids, pool } = yield* five(20)
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust(130)
        for (const caller of yield* Caller.askTimes(pool, 4)) yield* caller.release
      }
      assert.deepStrictEqual(fake.closed, [ids[0]])
      assert.deepInclude(yield* pool.stats, { idle: 4, size: 4 })
      assert.strictEqual(fake.dials, 5)
    }))

  it.scoped("R7: without overflow connections nothing is closed before it expires", () =>
    Effect.gen(function*() {
      const { fake, holders, pool } = yield* inUse(5)
      for (const holder of holders) yield* holder.release
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(fake.closed, [])
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
    }))

  it.scoped("R9: a quiet pool settles on minsize, and expired ones are not kept for it", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* five(20)
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      assert.strictEqual(fake.live, 1)
    }))

  it.scoped("R10: idleTimeout holds for them too, where that is shorter", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(20) })
      const pool = yield* makePool({ ...fake.options, ...auto, idleTimeout: 100 })
      const callers = yield* Caller.askTimes(pool, 5)
      yield* TestClock.adjust(20)
      for (const caller of callers) yield* caller.release
      yield* TestClock.adjust(100)
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
    }))

  it.scoped("R7: a shrink closes them at once, and the limits hold", () =>
    Effect.gen(function*() {
      const { pool } = yield* five(20)
      yield* pool.resize({ maxsize: 1, maxoverflow: 3 })
      yield* settle
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      yield* Caller.askTimes(pool, 10)
      yield* TestClock.adjust(40)
      assert.deepInclude(yield* pool.stats, { busy: 3, size: 3, waiting: 7 })
    }))
})

describe("maxwait \"auto\": the hard limit", () => {
  it.scoped("R4: callers fail after 30 seconds, not after a wait that they can't know", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* inUse(5, { maxoverflow: 2 })
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust(29_999)
      assert.isTrue(waiter.isWaiting)
      yield* TestClock.adjust(1)
      assert.deepInclude(waiter.failure, { _tag: "PoolExhausted", waited: 30_000 })
      assert.strictEqual(fake.highest, 2)
    }))

  it.scoped("R4: or after acquireTimeout, where that is set", () =>
    Effect.gen(function*() {
      const { pool } = yield* inUse(5, { maxoverflow: 2, acquireTimeout: "1 second" })
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(waiter.failure, { _tag: "PoolExhausted", waited: 1000 })
    }))
})
