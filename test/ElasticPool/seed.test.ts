/**
 * The worked example of django_pgpool, sentence by sentence, with its four numbers and its exception. Where the seed says
 * that "requesting new connection closes expired ones", here a sweeper does it when the time has come (R9).
 */
import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, slow } from "../support/fakeResource.js"
import { fill, makePool } from "../support/testPool.js"

const numbers = {
  maxsize: 2,
  maxwait: "200 millis",
  maxoverflow: 20,
  expires: "10 minutes",
  whenFull: "fail"
} as const

describe("the seed's example: maxsize 2, maxwait 0.2 s, maxoverflow 20, expires 10 minutes", () => {
  it.scoped("R1: seed: at the beginning the pool is empty", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      assert.deepInclude(yield* pool.stats, { size: 0, maxsize: 2, maxoverflow: 20 })
      assert.strictEqual(fake.dials, 0)
    }))

  it.scoped("R7: seed: requested connections are returned to the pool, which is the size of 2", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      const first = yield* Caller.askTimes(pool, 2)
      for (const caller of first) yield* caller.release
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      const again = yield* Caller.askTimes(pool, 2)
      assert.deepStrictEqual(again.map(({ value }) => value?.id), [2, 1])
      assert.strictEqual(fake.dials, 2)
    }))

  it.scoped("R4: seed: when 2 are in use and another is requested, the pool waits 0.2 s, then creates a new one", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      yield* Caller.askTimes(pool, 2)
      const third = yield* Caller.ask(pool)
      yield* TestClock.adjust("199 millis")
      assert.isTrue(third.isWaiting)
      assert.strictEqual(fake.dials, 2)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(third.value?.id, 3)
    }))

  it.scoped("R5: seed: what becomes available during the 0.2 s is taken instead", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      const [first] = yield* Caller.askTimes(pool, 2)
      const third = yield* Caller.ask(pool)
      yield* TestClock.adjust("199 millis")
      yield* first.release
      assert.strictEqual(third.value?.id, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fake.dials, 2)
    }))

  it.scoped("R4: seed: connections are created until there are 20, then an exception is risen", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      const callers = yield* Caller.askTimes(pool, 21)
      yield* TestClock.adjust("199 millis")
      assert.deepInclude(yield* pool.stats, { busy: 2, waiting: 19 })
      yield* TestClock.adjust("1 millis")
      assert.isTrue(areAll(callers.slice(0, 20), ({ value }) => value !== undefined))
      assert.deepInclude(callers[20].failure, { _tag: "PoolExhausted", waited: 200 })
      assert.deepInclude(yield* pool.stats, { busy: 20, size: 20, waiting: 0 })
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("200 millis")
      assert.deepInclude(late.failure, { _tag: "PoolExhausted", waited: 200 })
      assert.strictEqual(fake.highest, 20)
    }))

  it.scoped("R6: seed: a connect that takes longer than 0.2 s fails nobody", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("300 millis") })
      const pool = yield* makePool({ ...fake.options, ...numbers })
      const callers = yield* Caller.askTimes(pool, 20)
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
    }))

  it.scoped("R4: seed: maxwait may be 0, then connections are created at once until maxoverflow is reached", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers, maxwait: 0 })
      const callers = yield* Caller.askTimes(pool, 21)
      assert.isTrue(areAll(callers.slice(0, 20), ({ value }) => value !== undefined))
      assert.deepInclude(callers[20].failure, { _tag: "PoolExhausted" })
    }))

  it.scoped("R7: seed: the first 2 released connections are returned, the third is closed immediately", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      const callers = yield* Caller.askTimes(pool, 3)
      yield* TestClock.adjust("200 millis")
      yield* callers[0].release
      yield* callers[1].release
      assert.deepStrictEqual(fake.closed, [])
      yield* callers[2].release
      assert.deepStrictEqual(fake.closed, [3])
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
    }))

  it.scoped("R9: seed: each connection may live only 10 minutes", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      yield* fill(pool, 2)
      yield* TestClock.adjust("10 minutes")
      assert.sameMembers(fake.closed, [1, 2])
    }))

  it.scoped("R9: seed: requesting new connections, none older than 10 minutes is ever given", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      const firstSeen = new Map<number, number>()
      for (let minute = 0; minute < 60; minute++) {
        for (const caller of yield* Caller.askTimes(pool, 2)) {
          const id = caller.value!.id
          firstSeen.set(id, firstSeen.get(id) ?? minute)
          assert.isBelow(minute - firstSeen.get(id)!, 10)
          yield* caller.release
        }
        yield* TestClock.adjust("1 minute")
      }
    }))

  it.scoped("R9: seed: requesting only one at a time, after 10 minutes the pool remains with only one connection", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...numbers })
      yield* fill(pool, 2)
      for (let minute = 0; minute < 10; minute++) {
        yield* pool.use(() => Effect.void)
        yield* TestClock.adjust("1 minute")
      }
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      assert.strictEqual(fake.live, 1)
    }))
})
