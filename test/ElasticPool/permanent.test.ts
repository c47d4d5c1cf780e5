import { assert, it } from "@effect/vitest"
import { Clock, Effect, Schedule, TestClock } from "effect"
import { describe } from "vitest"
import {
  Caller,
  fail,
  failPermanently,
  failTransiently,
  FakeResource,
  hang,
  ok,
  settle,
  slow
} from "../support/fakeResource.js"
import { makePool } from "../support/testPool.js"

const refusedAfter = (millis: number) => Effect.zipRight(slow(millis), failPermanently)

describe("R18: a failure that would only come again", () => {
  it.scoped("R18: fails all who wait at once, where no connection is open", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: refusedAfter(10) })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 2, connectConcurrency: 1 })
      const callers = yield* Caller.askTimes(pool, 5)
      yield* TestClock.adjust("10 millis")
      for (const { failure } of callers) {
        assert.deepInclude(failure, { _tag: "FakeFailure", id: 1, kind: "permanent" })
      }
      assert.strictEqual(fake.dials, 1)
    }))

  it.scoped("R18: is remembered for half a second: newcomers fail with it and cause no dial", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failPermanently })
      const pool = yield* makePool(fake.options)
      for (let i = 0; i < 5; i++) {
        assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "FakeFailure", id: 1 })
        yield* TestClock.adjust("99 millis")
      }
      fake.connect = ok
      yield* TestClock.adjust("5 millis")
      assert.strictEqual((yield* Caller.ask(pool)).value?.id, 2)
    }))

  it.scoped("R18: causes no more than two logins a second, whatever the demand and connectRetry, from the beginning", () =>
    Effect.gen(function*() {
      const at: Array<number> = []
      const fake = new FakeResource({
        connect: Effect.zipRight(
          Effect.map(Clock.currentTimeMillis, (now) => at.push(now)),
          refusedAfter(1)
        )
      })
      const pool = yield* makePool({ ...fake.options, connectRetry: Schedule.stop })
      for (let i = 0; i < 1000; i++) {
        yield* Caller.askTimes(pool, 2)
        yield* TestClock.adjust("10 millis")
      }
      assert.isAtLeast(at.length, 15)
      // Those of the first callers were under way together.
      at.forEach((time, n) => assert.isAtLeast(time, 500 * (n - 1), `${at}`))
    }))

  it.scoped("R18: logins that were under way together count, each for half a second", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: refusedAfter(10) })
      const pool = yield* makePool({ ...fake.options, connectConcurrency: 4 })
      yield* Caller.askTimes(pool, 10)
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(fake.dials, 4)
      yield* TestClock.adjust("1999 millis")
      assert.deepInclude((yield* Caller.ask(pool)).failure, { kind: "permanent" })
      yield* TestClock.adjust("1 millis")
      yield* Caller.ask(pool)
      assert.strictEqual(fake.dials, 5)
    }))

  it.scoped("R18: fails nobody where good connections are open: callers go on as at the hard limit", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : failPermanently })
      const pool = yield* makePool(fake.options)
      const holder = yield* Caller.ask(pool)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(first.isWaiting && second.isWaiting)
      // The callers' own were under way at the same time.
      assert.isAtMost(fake.dials, 1 + 2 * 5 + 1)
      yield* holder.release
      assert.strictEqual(first.value?.id, 1)
      yield* first.release
      assert.strictEqual(second.value?.id, 1)
    }))

  it.scoped("R18: fails who waits when the last good connection goes", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : failPermanently })
      const pool = yield* makePool({ ...fake.options, maxUses: 1 })
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      assert.isTrue(waiter.isWaiting)
      yield* holder.release
      assert.deepInclude(waiter.failure, { kind: "permanent" })
    }))

  it.scoped("R18: when it is mended the pool grows again, within a second", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : failPermanently })
      const pool = yield* makePool({ ...fake.options, connectConcurrency: 1 })
      yield* Caller.askTimes(pool, 5)
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* pool.stats, { busy: 1, waiting: 4 })
      fake.connect = ok
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* pool.stats, { busy: 5, waiting: 0 })
    }))

  it.scoped("R18: is over with a failure of another kind: then time may heal it", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? failPermanently : failTransiently })
      const pool = yield* makePool(fake.options)
      yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      const caller = yield* Caller.ask(pool)
      const other = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.isTrue(caller.isWaiting && other.isWaiting)
      fake.connect = ok
      yield* TestClock.adjust("1 second")
      assert.isDefined(caller.value)
      assert.isDefined(other.value)
    }))

  it.scoped("R18: a dial that hangs is not in the way of one that is refused", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? hang : failPermanently })
      const pool = yield* makePool(fake.options)
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(caller.failure, { id: 2, kind: "permanent" })
    }))

  it.scoped("R18: ends a warm-up: without callers nobody dials", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failPermanently })
      yield* makePool({ ...fake.options, warm: 2 })
      yield* settle
      const { dials } = fake
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(fake.dials, dials)
    }))

  it.scoped("R6: a failure that is neither permanent nor transient fails only the caller that caused the connect", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.zipRight(slow(10), fail) : slow(20) })
      const pool = yield* makePool(fake.options)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("10 millis")
      assert.deepInclude(first.failure, { kind: "other" })
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(second.value?.id, 2)
    }))
})
