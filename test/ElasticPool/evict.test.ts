import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
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
import { idlePool, limits, numbers } from "../support/idlePool.js"
import { fill, makePool } from "../support/testPool.js"

describe("R19: evict opens a successor first", () => {
  it.scoped("R19: an idle connection goes when its successor is open, one after the other", () =>
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

  it.scoped("R19: one in use goes on release, and is lent on as long as there is no successor", () =>
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

  it.scoped("R19: however many are in use, only one newer one stands by, and whichever comes back first goes", () =>
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

  it.scoped("R19: a fleet is replaced by one connect at a time", () =>
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

  it.scoped("R19: one that opens for a caller is a successor too", () =>
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

  it.scoped("R19: who waits for one that is opening gets that one, or a newer one that is open sooner", () =>
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

  it.scoped("R19: one that is being checked or reset goes after that", () =>
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

  it.scoped("R19: one that has gone by itself needs no successor", () =>
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

  it.scoped("R9, R19: it does not lengthen a life, and a new connection lives as long as ever", () =>
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

  it.scoped("R9, R19: one whose renewal is due as well has one successor", () =>
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

  it.scoped("R19: after a shrink no more are opened than may be", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(4, { maxsize: 4, maxoverflow: 5 })
      yield* pool.evict()
      yield* TestClock.adjust("100 millis")
      yield* pool.resize({ maxsize: 2, maxoverflow: 2 })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      assert.isTrue(areAll(fake.open, (id) => id > 4))
    }))
})

describe("R19: an eviction in the midst of another", () => {
  it.scoped("R19: however often, callers are served, the pool does not grow, and in the end all are new", () =>
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
      assert.isTrue(areAll(fake.open, (id) => id > dials - 1))
    }))

  it.scoped("R19: a successor that was opening is replaced itself", () =>
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

  it.scoped("R19: one that stands by is not old enough for its old one to wait for another", () =>
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

describe("R19: a newer one that stands by, and leaves by itself", () => {
  it.scoped("R19: the last good connection is kept while connects fail", () =>
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

  it.scoped("R19: none goes while connects fail, though another one stands by, and it goes on by itself", () =>
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

  it.scoped("R10, R19: the next one is not opened before the old one comes back, and then that goes", () =>
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

  it.scoped("R19: one that is always in use is replaced all the same", () =>
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

describe("R19: where no permit is free", () => {
  it.scoped("R19: one that is idle goes first, one after the other", () =>
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

  it.scoped("R19: a pool with a single permit goes without for as long as it takes to connect", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(1, { maxsize: 1, maxoverflow: 1 })
      yield* pool.evict()
      const caller = yield* Caller.ask(pool)
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(caller.value?.id, 2)
      assert.deepStrictEqual(fake.open, [2])
    }))

  it.scoped("R19: of those that are always in use each goes when it comes back, one at a time, and nobody fails", () =>
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

  it.scoped("R19: one that is held for long is not in the way of the others", () =>
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

  it.scoped("R19: one connection is lost at most if connects fail", () =>
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
      assert.isTrue(areAll(fake.open, (id) => id > 3))
    }))
})
