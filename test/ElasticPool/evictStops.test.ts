import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, Schedule, TestClock } from "effect"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
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
import { idlePool, limits, openedSlowly } from "../support/idlePool.js"
import { fill, makeClosable, makePool, withLogs } from "../support/testPool.js"

describe("R19: while connects fail evict stops", () => {
  for (const [kind, step] of Object.entries({ fail, failTransiently, failPermanently })) {
    it.scoped(`R18, R19: the old ones go on serving, a warning says so once, and it goes on by itself (${kind})`, () =>
      withLogs((logs) =>
        Effect.gen(function*() {
          const { fake, pool } = yield* idlePool(3)
          fake.connect = step
          yield* pool.evict()
          for (let i = 0; i < 50; i++) {
            const callers = yield* Caller.askTimes(pool, 3)
            assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
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
          assert.isTrue(areAll(fake.open, (id) => id > 3))
          assert.isBelow(fake.dials, 200)
        })
      ))
  }

  it.scoped("R19: one whose connect began before says nothing about those that begin now", () =>
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

  it.scoped("R19: it warns again if it is asked for again", () =>
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

  it.scoped("R19: where connectRetry has come to its end it goes on when a caller's connect succeeds", () =>
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

describe("R19: evict where others decide", () => {
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

describe("R19: evict now", () => {
  const now = { now: true } as const

  it.scoped("R19: closes idle connections now, and those in use when they are given back", () =>
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

  it.scoped("R19: those that are opening go when they are open, and who waits gets a new one meanwhile", () =>
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

  it.scoped("R19: ends a soft one that has stopped", () =>
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

  it.scoped("R19, I1: waiters are served in the midst of it, in order, and the limits hold", () =>
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

describe("R36: options of evict", () => {
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
