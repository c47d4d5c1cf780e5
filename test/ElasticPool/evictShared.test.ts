import { assert, it } from "@effect/vitest"
import { Clock, Effect, Exit, TestClock } from "effect"
import { describe } from "vitest"
import { makeState } from "../../src/internal/elasticPool.js"
import { areAll } from "../support/areAll.js"
import { Caller, failTransiently, FakeResource, ok, settle } from "../support/fakeResource.js"
import { idlePool, numbers, openedSlowly } from "../support/idlePool.js"
import { fill, makePool } from "../support/testPool.js"

describe("R19: evict with those who share", () => {
  it.scoped("R19: one that is never idle takes nobody new when its successor is open, and goes when it has run dry", () =>
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
              held.push({ id: slot.value.id, end: () => slot.end() })
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

  it.scoped("R19: one whose use never ends is not in the way of the next one, where that has a successor", () =>
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
            held.push({ id: slot.value.id, end: () => slot.end() })
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
        assert.isTrue(areAll(fake.open, (id) => id > 2))
      }
    }))

  it.scoped("R19: so does one beside as many idle ones as are kept", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const state = yield* makeState({ ...fake.options, maxsize: 1, maxoverflow: 3, maxwait: 0, closeTimeout: 0 }, {
        share: 2,
        canShare: () => true
      })
      const ask = (shares: boolean) => {
        const given: Array<() => void> = []
        state.request(shares, (exit) => {
          if (Exit.isSuccess(exit)) given.push(() => exit.value.end())
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

describe("R19: evict over a span of time", () => {
  it.scoped("R19: the turn of each comes at a moment of its own, and none goes before its successor is open", () =>
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

  it.scoped("R19: while connects fail none goes", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* idlePool(3)
      fake.connect = failTransiently
      yield* pool.evict({ over: "10 seconds" })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(fake.open, [1, 2, 3])
      fake.connect = ok
      yield* TestClock.adjust("1 second")
      assert.lengthOf(fake.open, 3)
      assert.isTrue(areAll(fake.open, (id) => id > 3))
    }))

  it.scoped("R19: however often, each connection has one turn, and those that are closed have none", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const state = yield* makeState({ ...fake.options, maxsize: 5, minsize: 0, warm: 5, expires: "5 hours" })
      yield* settle
      assert.lengthOf(fake.open, 5)
      for (let i = 0; i < 100; i++) state.evictor.evict(1000 * 60 * 60)
      assert.strictEqual(state.evictor["later"].size, 5)
      state.request(false, (exit) => {
        assert.ok(Exit.isSuccess(exit))
        state.invalidate(exit.value.value)
        exit.value.end()
      })
      yield* settle
      assert.strictEqual(state.evictor["later"].size, 4)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(state.evictor["later"].size, 0)
      assert.isTrue(areAll(fake.open, (id) => id > 5))
    }))

  it.scoped("R9, R19: a connection that expires before its turn expires", () =>
    Effect.gen(function*() {
      const { pool } = yield* idlePool(1, { minsize: 0, expires: "1 minute" })
      yield* pool.evict({ over: "10000 days" })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* pool.stats).closed, { expired: 1, evicted: 0 })
    }))
})
