import { assert, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Schedule, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { makeState } from "../../src/internal/elasticPool.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import {
  Caller,
  fail,
  failPermanently,
  failTransiently,
  FakeResource,
  ok,
  settle,
  slow
} from "../support/fakeResource.js"
import { fill, makeClosable, makePool, withLogs } from "../support/testPool.js"

const limits = { maxsize: 3, maxoverflow: 4 } as const

const openedSlowly = { connect: slow("100 millis") }

/** So many idle connections, and from now on each connect takes 100 ms. */
const idlePool = (n: number, options: Partial<ElasticPool.PoolOptions> = limits) =>
  Effect.gen(function*() {
    const fake = new FakeResource()
    const pool = yield* makePool({ ...fake.options, ...options })
    yield* fill(pool, n)
    fake.connect = openedSlowly.connect
    return { fake, pool }
  })

const numbers = (from: number, to: number): Array<number> => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe("R19 evict opens a successor first", () => {
  it.scoped("R19 an idle connection goes when its successor is open, one after the other", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(2)
      yield* pool.evict()
      yield* TestClock.adjust("99 millis")
      assert.deepStrictEqual(fake.closed, [])
      assert.deepInclude(yield* pool.stats, { idle: 2, opening: 1 })
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(fake.open, [2, 3])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.open, [3, 4])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(fake.dials, 4)
      assert.deepInclude((yield* pool.stats).closed, { evicted: 2 })
    }))

  it.scoped("R19 one in use goes on release, and is lent on as long as there is no successor", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1)
      const first = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* first.release
      const second = yield* Caller.ask(pool)
      assert.strictEqual(second.value?.id, 1)
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.open, [1, 2])
      yield* second.release
      assert.deepStrictEqual(fake.open, [2])
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
    }))

  it.scoped("R19 however many are in use, only one newer one stands by, and whichever comes back first goes", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3, { maxsize: 10, maxoverflow: 10 })
      const [, second] = yield* Caller.askTimes(pool, 3)
      yield* pool.evict()
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* pool.stats, { busy: 3, idle: 1, size: 4 })
      yield* second.release
      assert.deepStrictEqual(fake.closed, [second.value!.id])
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* pool.stats, { busy: 2, idle: 2, size: 4 })
    }))

  it.scoped("R19 a fleet is replaced by one connect at a time", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(20, { maxsize: 20, maxoverflow: 30 })
      yield* pool.evict()
      for (let i = 0; i < 20; i++) {
        assert.deepInclude(yield* pool.stats, { opening: 1, idle: 20 })
        yield* TestClock.adjust("100 millis")
      }
      assert.deepStrictEqual(fake.open, numbers(21, 40))
      assert.strictEqual(fake.highest, 21)
    }))

  it.scoped("R19 one that opens for a caller is a successor too", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(2)
      const [first] = yield* Caller.askTimes(pool, 2)
      yield* pool.evict()
      const third = yield* Caller.ask(pool)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(third.value?.id, 3)
      yield* first.release
      assert.deepStrictEqual(fake.closed, [first.value!.id])
    }))

  it.scoped("R19 who waits for one that is opening gets that one, or a newer one that is open sooner", () =>
    Effect.gen(function*() {
      for (const [old, expected] of [[50, 1], [500, 2]]) {
        const fake = new FakeResource({ connect: (id) => slow(id === 1 ? old : 100) })
        const pool = yield* makePool({ ...fake.options, ...limits })
        const caller = yield* Caller.ask(pool)
        yield* pool.evict()
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(caller.value?.id, expected)
        yield* caller.release
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(fake.open, [2])
      }
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

  it.scoped("R19 one that has gone by itself needs no successor", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3)
      const callers = yield* Caller.askTimes(pool, 3)
      yield* pool.evict()
      for (const caller of callers) {
        yield* pool.invalidate(caller.value!)
        yield* caller.release
      }
      yield* TestClock.adjust("1 minute")
      // The one whose connect was under way.
      assert.deepStrictEqual(fake.open, [4])
    }))

  it.scoped("R9 R19 it does not lengthen a life, and a new connection lives as long as ever", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, { minsize: 0, expires: "1 minute" })
      fake.connect = fail
      yield* pool.evict()
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* pool.stats).closed, { expired: 1, evicted: 0 })
      fake.connect = ok
      yield* fill(pool, 1)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* pool.stats).idle, 1)
    }))

  it.scoped("R9 R19 one whose renewal is due as well has one successor", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, { expires: "1000 seconds" })
      for (const seconds of [975, 975 - 1]) {
        yield* TestClock.adjust(seconds * 1000 - 50)
        yield* pool.evict()
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(fake.opened, [1, 2, 3])
      assert.deepStrictEqual(fake.open, [3])
    }))

  it.scoped("R19 after a shrink no more are opened than may be", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(4, { maxsize: 4, maxoverflow: 5 })
      yield* pool.evict()
      yield* TestClock.adjust("100 millis")
      yield* pool.resize({ maxsize: 2, maxoverflow: 2 })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      assert.isTrue(fake.open.every((id) => id > 4))
    }))
})

describe("R19 an eviction in the midst of another", () => {
  it.scoped("R19 however often, callers are served, the pool does not grow, and in the end all are new", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3, { maxsize: 5, maxoverflow: 10 })
      for (let round = 0; round < 50; round++) {
        yield* pool.evict()
        const caller = yield* Caller.ask(pool)
        assert.isFalse(caller.isWaiting)
        yield* TestClock.adjust(round % 7 * 10)
        yield* caller.release
      }
      assert.strictEqual(fake.highest, 4)
      const { dials } = fake
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(fake.open, 3)
      assert.isTrue(fake.open.every((id) => id > dials - 1))
    }))

  it.scoped("R19 a successor that was opening is replaced itself", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1)
      yield* pool.evict()
      yield* TestClock.adjust("50 millis")
      yield* pool.evict()
      yield* TestClock.adjust("50 millis")
      assert.deepStrictEqual(fake.open, [2])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.open, [3])
    }))

  it.scoped("R19 one that stands by is not old enough for its old one to wait for another", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1)
      const holder = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* TestClock.adjust("100 millis")
      fake.connect = failTransiently
      yield* pool.evict()
      yield* holder.release
      assert.deepStrictEqual(fake.open, [2])
    }))
})

describe("R19 a newer one that stands by, and leaves by itself", () => {
  it.scoped("R19 the last good connection is kept while connects fail", () =>
    Effect.gen(function*() {
      for (const isAsked of [false, true]) {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 4 })
        const held = yield* Caller.ask(pool)
        yield* pool.evict()
        yield* settle
        const newer = yield* Caller.ask(pool)
        assert.strictEqual(newer.value?.id, 2)
        fake.connect = failTransiently
        yield* pool.invalidate(newer.value!)
        yield* newer.release
        const waits = yield* Caller.ask(pool)
        yield* TestClock.adjust("1 second")
        if (isAsked) yield* pool.evict()
        yield* held.release
        assert.strictEqual(waits.value?.id, 1)
        yield* waits.release
        assert.deepStrictEqual(fake.open, [1])
        fake.connect = ok
        yield* TestClock.adjust("10 seconds")
        assert.lengthOf(fake.open, 1)
        assert.notInclude(fake.open, 1)
      }
    }))

  it.scoped("R19 none goes while connects fail, though another one stands by, and it goes on by itself", () =>
    Effect.gen(function*() {
      for (const isAskedAgain of [false, true]) {
        const { fake, pool } = yield* idlePool(1)
        const held = yield* Caller.ask(pool)
        yield* pool.evict()
        yield* TestClock.adjust("100 millis")
        fake.connect = failTransiently
        const newer = yield* Caller.ask(pool)
        const waits = yield* Caller.ask(pool)
        yield* TestClock.adjust("10 seconds")
        assert.isTrue(waits.isWaiting)
        if (isAskedAgain) yield* pool.evict()
        yield* held.release
        assert.strictEqual(waits.value?.id, 1)
        yield* waits.release
        yield* newer.release
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(fake.open, [1, 2])
        fake.connect = ok
        yield* TestClock.adjust("10 seconds")
        assert.notInclude(fake.open, 1)
        assert.isNotEmpty(fake.open)
      }
    }))

  it.scoped("R10 R19 the next one is not opened before the old one comes back, and then that goes", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, { ...limits, minsize: 1, idleTimeout: "1 second" })
      const held = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.opened, [1, 2])
      assert.deepStrictEqual(fake.open, [1])
      yield* held.release
      assert.deepStrictEqual(fake.open, [1])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.open, [3])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.open, [3])
    }))

  it.scoped("R19 one that is always in use is replaced all the same", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, { ...limits, maxwait: "1 hour", maxsize: 1, idleTimeout: "1 second" })
      let held = yield* Caller.ask(pool)
      yield* pool.evict()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.open, [1])
      for (let i = 0; i < 5; i++) {
        const next = yield* Caller.ask(pool)
        yield* held.release
        held = next
        yield* TestClock.adjust("200 millis")
      }
      assert.notInclude(fake.open, 1)
      assert.deepInclude(yield* pool.stats, { waiting: 0 })
    }))
})

describe("R19 where no permit is free", () => {
  it.scoped("R19 one that is idle goes first, one after the other", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3, { maxsize: 3, maxoverflow: 3 })
      yield* pool.evict()
      yield* settle
      for (let i = 1; i <= 3; i++) {
        assert.lengthOf(fake.closed, i)
        assert.deepInclude(yield* pool.stats, { opening: 1, idle: 2 })
        yield* TestClock.adjust("100 millis")
      }
      assert.deepStrictEqual(fake.open, [4, 5, 6])
    }))

  it.scoped("R19 a pool with a single permit goes without for as long as it takes to connect", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, { maxsize: 1, maxoverflow: 1 })
      yield* pool.evict()
      const caller = yield* Caller.ask(pool)
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(caller.value?.id, 2)
      assert.deepStrictEqual(fake.open, [2])
    }))

  it.scoped("R19 of those that are always in use each goes when it comes back, one at a time, and nobody fails", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3, { maxsize: 3, maxoverflow: 3, acquireTimeout: "1 minute" })
      const waiting = yield* Caller.askTimes(pool, 4)
      const held: Array<Caller<Fake, FakeFailure>> = []
      yield* pool.evict()
      let least = Infinity
      for (let round = 0; round < 60; round++) {
        for (const caller of waiting.filter(({ isWaiting }) => !isWaiting)) {
          waiting.splice(waiting.indexOf(caller), 1)
          held.push(caller)
        }
        yield* held.shift()!.release
        waiting.push(yield* Caller.ask(pool))
        const { busy, opening } = yield* pool.stats
        least = Math.min(least, busy)
        assert.isAtMost(opening, 1)
        yield* TestClock.adjust("20 millis")
      }
      assert.isAtLeast(least, 1)
      assert.deepStrictEqual(fake.open, [4, 5, 6])
      assert.deepInclude(yield* pool.stats, { timeouts: 0 })
      assert.strictEqual(fake.highest, 3)
    }))

  it.scoped("R19 one that is held for long is not in the way of the others", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3, { maxsize: 3, maxoverflow: 3 })
      const callers = yield* Caller.askTimes(pool, 3)
      yield* pool.evict()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(fake.closed, [])
      yield* callers[1].release
      yield* callers[2].release
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* pool.stats, { busy: 1, idle: 2 })
      assert.deepStrictEqual(fake.open, [callers[0].value!.id, 4, 5])
    }))

  it.scoped("R19 one connection is lost at most if connects fail", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3, { maxsize: 3, maxoverflow: 3 })
      fake.connect = failPermanently
      const callers = yield* Caller.askTimes(pool, 3)
      yield* pool.evict()
      for (const caller of callers) yield* caller.release
      for (let i = 0; i < 20; i++) {
        yield* TestClock.adjust("1 second")
        const [caller] = yield* Caller.askTimes(pool, 1)
        assert.isFalse(caller.isWaiting)
        yield* caller.release
      }
      assert.lengthOf(fake.open, 2)
      fake.connect = ok
      yield* TestClock.adjust("1 second")
      assert.lengthOf(fake.open, 3)
      assert.isTrue(fake.open.every((id) => id > 3))
    }))
})

describe("R19 while connects fail evict stops", () => {
  for (const [kind, step] of Object.entries({ fail, failTransiently, failPermanently })) {
    it.scoped(`R18 R19 the old ones go on serving, a warning says so once, and it goes on by itself (${kind})`, () =>
      withLogs((logs) =>
        Effect.gen(function*() {
          const { fake, pool } = yield* idlePool(3)
          fake.connect = step
          yield* pool.evict()
          for (let i = 0; i < 50; i++) {
            const callers = yield* Caller.askTimes(pool, 3)
            assert.isTrue(callers.every(({ value }) => value !== undefined))
            yield* TestClock.adjust("100 millis")
            for (const caller of callers) yield* caller.release
          }
          assert.deepStrictEqual(fake.closed, [])
          const warnings = logs.filter((line) => line.includes("evict"))
          assert.lengthOf(warnings, 1)
          assert.match(
            warnings[0],
            /^WARN evict has stopped: connects fail \(.+\)\. 3 connections of before it go on serving until connects succeed$/
          )
          fake.connect = ok
          yield* TestClock.adjust("1 seconds")
          assert.lengthOf(fake.open, 3)
          assert.isTrue(fake.open.every((id) => id > 3))
          assert.isBelow(fake.dials, 200)
        })
      ))
  }

  it.scoped("R19 one whose connect began before says nothing about those that begin now", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1)
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      fake.connect = failTransiently
      yield* pool.evict()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(waiter.value?.id, 2)
      yield* holder.release
      assert.deepStrictEqual(fake.open, [1, 2])
    }))

  it.scoped("R19 it warns again if it is asked for again", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { fake, pool } = yield* idlePool(1)
        fake.connect = failTransiently
        yield* pool.evict()
        yield* TestClock.adjust("5 seconds")
        yield* pool.evict()
        yield* TestClock.adjust("5 seconds")
        const warnings = logs.filter((line) => line.includes("evict has stopped"))
        assert.lengthOf(warnings, 2)
        assert.include(warnings[1], "1 connection of before it goes on serving")
      })
    ))

  it.scoped("R19 where connectRetry has come to its end it goes on when a caller's connect succeeds", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, {
        ...limits,
        connectRetry: Schedule.intersect(Schedule.recurs(2), Schedule.spaced("1 second"))
      })
      fake.connect = failTransiently
      yield* pool.evict()
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(fake.dials, 4)
      assert.deepStrictEqual(fake.open, [1])
      fake.connect = ok
      const callers = yield* Caller.askTimes(pool, 2)
      for (const caller of callers) yield* caller.release
      assert.notInclude(fake.open, 1)
    }))
})

describe("R19 evict where others decide", () => {
  it.scoped("opens nothing while the pool is drained, suspended or closing", () =>
    Effect.gen(function*() {
      for (const how of ["drain", "suspend", "close"] as const) {
        for (const isFirst of [true, false]) {
          const fake = new FakeResource()
          const { close, pool } = yield* makeClosable({ ...fake.options, ...limits, closeTimeout: "1 hour" })
          yield* fill(pool, 2)
          fake.connect = openedSlowly.connect
          const holder = yield* Caller.ask(pool)
          if (isFirst) yield* pool.evict()
          yield* Effect.fork(how === "close" ? close : pool[how])
          yield* settle
          const { dials } = fake
          if (!isFirst) yield* pool.evict()
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(fake.dials, dials)
          yield* holder.release
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(fake.open, [])
        }
      }
    }))

  it.scoped("has nothing left to do after a suspend", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(2)
      yield* pool.evict()
      yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("1 second")
      yield* pool.resume
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.open, [])
    }))
})

describe("R19 evict with those who share", () => {
  it.scoped("R19 one that is never idle takes nobody new when its successor is open, and goes when it has run dry", () =>
    Effect.gen(function*() {
      for (const maxoverflow of [2, 4]) {
        const fake = new FakeResource()
        const state = yield* makeState(
          { ...fake.options, maxsize: 2, maxoverflow, acquireTimeout: "1 minute", closeTimeout: 0 },
          { share: 3, canShare: () => true }
        )
        const held: Array<{ readonly id: number; readonly end: () => void }> = []
        let failed = 0
        const ask = () =>
          state.request(true, (exit) => {
            if (Exit.isSuccess(exit)) {
              const { value: slot } = exit
              held.push({ id: slot.value.id, end: () => state.release(slot) })
            } else failed++
          })
        for (let i = 0; i < 6; i++) ask()
        yield* settle
        assert.lengthOf(held, 6)
        fake.connect = openedSlowly.connect
        const before = new Set(held.map(({ id }) => id))
        state.evictor.evict(0)
        for (let round = 0; round < 100; round++) {
          ask()
          held.shift()?.end()
          yield* settle
          yield* TestClock.adjust("10 millis")
          assert.isAbove(held.length, 0)
        }
        assert.isFalse(held.some(({ id }) => before.has(id)))
        assert.strictEqual(failed, 0)
        assert.isAtMost(fake.highest, maxoverflow)
        for (const { end } of held.splice(0)) end()
      }
    }))

  it.scoped("R19 one whose use never ends is not in the way of the next one, where that has a successor", () =>
    Effect.gen(function*() {
      for (const maxoverflow of [2, 6]) {
        const fake = new FakeResource()
        const state = yield* makeState({ ...fake.options, maxsize: 2, maxoverflow, closeTimeout: 0 }, {
          share: 3,
          canShare: () => true
        })
        const held: Array<{ readonly id: number; readonly end: () => void }> = []
        const ask = () =>
          state.request(true, (exit) => {
            assert.ok(Exit.isSuccess(exit))
            const { value: slot } = exit
            held.push({ id: slot.value.id, end: () => state.release(slot) })
          })
        for (let i = 0; i < 6; i++) ask()
        yield* settle
        assert.lengthOf(held, 6)
        // The first one to go is the one that was given back last: from now on nobody gives it back.
        const { end, id: stuck } = held.pop()!
        yield* TestClock.adjust("1 millis")
        end()
        const others = held.filter(({ id }) => id !== stuck)
        const forever = held.filter(({ id }) => id === stuck)
        held.length = 0
        state.evictor.evict(0)
        for (let round = 0; round < 100; round++) {
          ask()
          yield* settle
          for (const one of held.splice(0)) others.push(one)
          others.shift()?.end()
          yield* TestClock.adjust("20 millis")
        }
        // Without a permit for a successor the next one goes on serving.
        assert.deepStrictEqual(fake.open.filter((id) => id <= 2), maxoverflow === 2 ? [1, 2] : [stuck])
        assert.isAtMost(fake.highest, 4)
        // Those that wait are served by what is given back.
        for (const one of others.concat(forever)) held.push(one)
        for (let last = held.pop(); last !== undefined; last = held.pop()) {
          last.end()
          yield* settle
        }
        yield* TestClock.adjust("1 second")
        assert.isTrue(fake.open.every((id) => id > 2))
      }
    }))

  it.scoped("R19 so does one beside as many idle ones as are kept", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const state = yield* makeState({ ...fake.options, maxsize: 1, maxoverflow: 3, maxwait: 0, closeTimeout: 0 }, {
        share: 2,
        canShare: () => true
      })
      const ask = (shares: boolean) => {
        const given: Array<() => void> = []
        state.request(shares, (exit) => {
          if (Exit.isSuccess(exit)) given.push(() => state.release(exit.value))
        })
        return Effect.as(settle, () => given.forEach((end) => end()))
      }
      let end = yield* ask(true)
      const alone = yield* ask(false)
      alone()
      yield* settle
      state.evictor.evict(0)
      for (let i = 0; i < 20; i++) {
        const next = yield* ask(true)
        end()
        end = next
        yield* TestClock.adjust("1 second")
      }
      assert.notInclude(fake.open, 1)
      end()
    }))
})

describe("R19 evict over a span of time", () => {
  it.scoped("R19 the turn of each comes at a moment of its own, and none goes before its successor is open", () =>
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
      assert.sameMembers(fake.closed, numbers(1, 10))
      assert.deepInclude((yield* pool.stats).closed, { evicted: 10 })
      assert.deepInclude(yield* pool.stats, { idle: 10, size: 10 })
    }))

  it.scoped("R19 while connects fail none goes", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3)
      fake.connect = failTransiently
      yield* pool.evict({ over: "10 seconds" })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.open, [1, 2, 3])
      fake.connect = ok
      yield* TestClock.adjust("1 second")
      assert.lengthOf(fake.open, 3)
      assert.isTrue(fake.open.every((id) => id > 3))
    }))

  it.scoped("R19 however often, each connection has one turn, and those that are closed have none", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const state = yield* makeState({ ...fake.options, maxsize: 5, minsize: 0, warm: 5 })
      yield* settle
      assert.lengthOf(fake.open, 5)
      for (let i = 0; i < 100; i++) state.evictor.evict(1000 * 60 * 60)
      assert.strictEqual(state.evictor["later"].size, 5)
      state.request(false, (exit) => {
        assert.ok(Exit.isSuccess(exit))
        state.invalidate(exit.value.value)
        state.release(exit.value)
      })
      yield* settle
      assert.strictEqual(state.evictor["later"].size, 4)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(state.evictor["later"].size, 0)
      assert.isTrue(fake.open.every((id) => id > 5))
    }))

  it.scoped("R9 R19 a connection that expires before its turn expires", () =>
    Effect.gen(function*() {
      const { pool } = yield* idlePool(1, { minsize: 0, expires: "1 minute" })
      yield* pool.evict({ over: "1 day" })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* pool.stats).closed, { expired: 1, evicted: 0 })
    }))
})

describe("R19 evict now", () => {
  const now = { now: true } as const

  it.scoped("R19 closes idle connections now, and those in use when they are given back", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(2)
      fake.connect = failTransiently
      const holder = yield* Caller.ask(pool)
      yield* pool.evict(now)
      yield* settle
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { busy: 1, size: 1 })
      yield* holder.release
      assert.deepStrictEqual(fake.closed, [1, 2])
      assert.deepInclude((yield* pool.stats).closed, { evicted: 2, expired: 0 })
      assert.strictEqual(fake.dials, 2)
    }))

  it.scoped("R19 those that are opening go when they are open, and who waits gets a new one meanwhile", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => slow(id === 1 ? "500 millis" : "100 millis") })
      const pool = yield* makePool({ ...fake.options, ...limits })
      const caller = yield* Caller.ask(pool)
      yield* pool.evict(now)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(caller.value?.id, 2)
      yield* TestClock.adjust("400 millis")
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { busy: 1, size: 1 })
    }))

  it.scoped("R19 ends a soft one that has stopped", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3)
      fake.connect = failTransiently
      yield* pool.evict()
      yield* TestClock.adjust("10 seconds")
      yield* pool.evict(now)
      yield* settle
      assert.deepStrictEqual(fake.open, [])
      fake.connect = ok
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.opened, [1, 2, 3])
    }))

  it.scoped("R19 I1 waiters are served in the midst of it, in order, and the limits hold", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("10 millis"), close: slow("10 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 3, maxoverflow: 3, acquireTimeout: "1 minute" })
      for (const how of [now, undefined]) {
        const callers = yield* Caller.askTimes(pool, 9)
        const served: Array<number> = []
        for (let round = 0; round < 10; round++) {
          yield* TestClock.adjust("30 millis")
          yield* pool.evict(how)
          for (const [n, caller] of callers.entries()) {
            if (caller.isWaiting || served.includes(n)) continue
            served.push(n)
            yield* caller.release
          }
        }
        assert.deepStrictEqual(served, callers.map((_, n) => n))
        assert.isAtMost(fake.highest, 3)
      }
    }))
})

describe("options of evict", () => {
  for (
    const [options, message] of [
      [{ over: -1 }, /^over: -1 is not allowed/],
      [{ now: "yes" as never }, /^now: "yes" is not allowed, it must be true or false/],
      [{ now: true, over: 1000 }, /^now: true is not allowed, it must be left out where over is given/]
    ] as const
  ) {
    it.scoped(`${JSON.stringify(options)} is a defect that names them`, () =>
      Effect.gen(function*() {
        const { fake, pool } = yield* idlePool(1)
        const exit = yield* Effect.exit(pool.evict(options))
        assert.ok(Exit.isFailure(exit) && exit.cause._tag === "Die")
        assert.ok(Cause.isIllegalArgumentException(exit.cause.defect))
        assert.match(exit.cause.defect.message, message)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(fake.closed, [])
      }))
  }
})
