import { assert, it } from "@effect/vitest"
import { Effect, Random, Schedule, TestClock } from "effect"
import { describe } from "vitest"
import { Caller, fail, FakeResource, ok, slow } from "../support/fakeResource.js"
import { fill, makeClosable, makePool, WatchedClock } from "../support/testPool.js"

describe("R9: expires", () => {
  it.scoped("R9: the life of a connection begins when it was opened, not with its connect or its last use", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("900 millis") })
      const pool = yield* makePool({ ...fake.options, expires: "10 minutes", minsize: 0 })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("900 millis")
      yield* caller.release
      yield* TestClock.adjust("5 minutes")
      yield* (yield* Caller.ask(pool)).release
      yield* TestClock.adjust("299999 millis")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("R9: at most expiresJitter of it is taken off by chance", () =>
    Effect.gen(function*() {
      const lives = (chance: number, expiresJitter: number, expected: number) =>
        Effect.gen(function*() {
          const fake = new FakeResource()
          const pool = yield* makePool({ ...fake.options, expires: "1000 seconds", expiresJitter, minsize: 0 }).pipe(
            Effect.withRandom(Random.fixed([chance]))
          )
          yield* fill(pool, 1)
          yield* TestClock.adjust(expected - 1)
          assert.deepStrictEqual(fake.closed, [])
          yield* TestClock.adjust(1)
          assert.deepStrictEqual(fake.closed, [1])
        })
      yield* lives(0, 0.025, 1_000_000)
      yield* lives(1, 0.025, 975_000)
      yield* lives(0.5, 0.1, 950_000)
      yield* lives(1, 0, 1_000_000)
    }))

  it.scoped("R9: expiresJitter is 0.025 by default", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({
        ...fake.options,
        expires: "1000 seconds",
        expiresJitter: undefined,
        minsize: 0
      }).pipe(Effect.withRandom(Random.fixed([1])))
      yield* fill(pool, 1)
      yield* TestClock.adjust("974 seconds")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("R9: a busy connection is retired on release, however long that takes", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, expires: "10 minutes" })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(fake.closed, [])
      assert.strictEqual((yield* pool.stats).busy, 1)
      yield* caller.release
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("R9: idle connections are retired when their time has come, not before", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, expires: "10 minutes", minsize: 0 })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* second.release
      yield* TestClock.adjust("4 minutes")
      const callers = yield* Caller.askTimes(pool, 3)
      for (const caller of callers) yield* caller.release
      yield* TestClock.adjust("359999 millis")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 millis")
      assert.sameMembers(fake.closed, [1, 2])
      yield* TestClock.adjust("239999 millis")
      assert.sameMembers(fake.closed, [1, 2])
      yield* TestClock.adjust("1 millis")
      assert.sameMembers(fake.closed, [1, 2, 3])
      assert.strictEqual((yield* pool.stats).closed.expired, 3)
    }))

  it.scoped("R9: the sweeper wakes once per due connection, and rests while nothing can expire", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const clock = yield* WatchedClock.make
      const pool = yield* makePool({ ...fake.options, expires: "10 minutes", minsize: 0 }, clock)
      assert.strictEqual(clock.asleep, 0)
      const callers = yield* Caller.askTimes(pool, 4)
      for (const caller of callers) {
        yield* caller.release
        yield* TestClock.adjust("1 minute")
      }
      const { sleeps } = clock
      assert.strictEqual(clock.asleep, 1)
      yield* TestClock.adjust("1 day")
      assert.deepInclude(yield* pool.stats, { size: 0 })
      assert.strictEqual(clock.asleep, 0)
      // Twice per connection at most: when it could be renewed, and when it expires.
      assert.isAtMost(clock.sleeps - sleeps, 8)
    }))

  it.scoped("R9: a successor is opened at 97.5 % of the life of the last connection, then the old one is closed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : slow("3 seconds") })
      const pool = yield* makePool({ ...fake.options, expires: "1000 seconds" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("974999 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* pool.stats, { opening: 1, idle: 1 })
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(yield* pool.stats, { opening: 0, idle: 1, size: 1 })
      assert.strictEqual((yield* pool.stats).closed.renewed, 1)
      assert.strictEqual(fake.highest, 2)
    }))

  it.scoped("R9: a quiet pool settles on exactly its latest connection, warm", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 5, expires: "10 minutes" })
      yield* fill(pool, 5)
      for (let minute = 1; minute <= 120; minute++) {
        yield* TestClock.adjust("1 minute")
        assert.isAtLeast((yield* pool.stats).idle, 1)
        if (minute >= 10) assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      }
      // One successor for each 97.5 % of ten minutes.
      assert.strictEqual(fake.opened.length, 5 + 12)
      assert.strictEqual(fake.open[0], fake.opened.at(-1))
    }))

  it.scoped("R9: connections that were opened together: the successor is there before the last of them expires", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 3 ? ok : slow("3 seconds") })
      const pool = yield* makePool({ ...fake.options, maxsize: 5, expires: "1000 seconds" })
      yield* fill(pool, 3)
      yield* TestClock.adjust("970 seconds")
      for (let second = 970; second < 1010; second++) {
        yield* TestClock.adjust("1 seconds")
        assert.isAtLeast((yield* pool.stats).idle, 1, `after ${second + 1} seconds`)
      }
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
    }))

  it.scoped("R9: the minsize most recently used connections stay and are renewed, the others are retired", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 5, minsize: 2, expires: "10 minutes" })
      yield* fill(pool, 5)
      yield* TestClock.adjust("10 minutes")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
      assert.deepInclude((yield* pool.stats).closed, { renewed: 2, expired: 3 })
      yield* TestClock.adjust("1 day")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
    }))

  it.scoped("R9: busy connections count among the minsize: nothing is renewed beside them", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 5, expires: "10 minutes" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 minutes")
      const [first] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(fake.dials, 2)
      assert.deepInclude(yield* pool.stats, { idle: 0, busy: 1 })
      assert.strictEqual((yield* pool.stats).closed.expired, 1)
    }))

  it.scoped("R9: a busy connection that is near the end of its own life does not count: a successor is opened", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 5, expires: "10 minutes" })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* second.release
      yield* TestClock.adjust("10 minutes")
      yield* first.release
      assert.deepStrictEqual(fake.open, [3])
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
    }))

  it.scoped("R9: no permit free: the old one is closed first", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, expires: "1000 seconds" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("975 seconds")
      assert.deepInclude(yield* pool.stats, { closing: 1, idle: 0, opening: 0 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { closing: 0, idle: 1 })
      assert.deepStrictEqual(fake.opened, [1, 2])
      assert.strictEqual(fake.highest, 1)
    }))

  for (const [kind, step] of [["permanently", fail], ["transiently", Effect.fail("transient" as const)]] as const) {
    it.scoped(`R9: a renewal that fails ${kind} is tried again by connectRetry`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: (id) => id === 1 || id >= 4 ? ok : step })
        const pool = yield* makePool({
          ...fake.options,
          expires: "1000 seconds",
          connectRetry: Schedule.spaced("1 second")
        })
        yield* fill(pool, 1)
        yield* TestClock.adjust("975 seconds")
        assert.strictEqual(fake.dials, 2)
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(fake.dials, 3)
        assert.deepStrictEqual(fake.closed, [])
        yield* TestClock.adjust("1 seconds")
        assert.deepStrictEqual(fake.open, [4])
        assert.deepStrictEqual(fake.closed, [1])
      }))
  }

  it.scoped("R9: a renewal that fails until the old one expires goes on, and the pool is warm again in the end", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : fail })
      const pool = yield* makePool({
        ...fake.options,
        expires: "1000 seconds",
        connectRetry: Schedule.spaced("1 second")
      })
      yield* fill(pool, 1)
      yield* TestClock.adjust("1010 seconds")
      assert.deepInclude(yield* pool.stats, { idle: 0 })
      assert.strictEqual((yield* pool.stats).closed.expired, 1)
      fake.connect = ok
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
    }))

  it.scoped("R9: a renewal that fails does not fail or hold up a caller", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 2 ? Effect.zipRight(slow("100 millis"), fail) : ok })
      const pool = yield* makePool({ ...fake.options, expires: "1000 seconds" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("975 seconds")
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(callers.map(({ value }) => value?.id), [1, 3])
    }))

  it.scoped("R9: the old one is taken while its successor opens: both serve, and later only one is left", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : slow("1 seconds") })
      const pool = yield* makePool({ ...fake.options, expires: "1000 seconds" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("975 seconds")
      const caller = yield* Caller.ask(pool)
      assert.strictEqual(caller.value?.id, 1)
      yield* TestClock.adjust("2 seconds")
      yield* caller.release
      yield* TestClock.adjust("23 seconds")
      assert.deepStrictEqual(fake.open, [2])
    }))

  it.scoped("R9: nothing is renewed while the pool is closing", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable({
        ...fake.options,
        minsize: 2,
        expires: "1000 seconds",
        closeTimeout: "1 hour"
      })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* second.release
      yield* Effect.fork(close)
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(fake.dials, 2)
      yield* first.release
    }))

  it.scoped("R9: with minsize 0 a quiet pool drains to none, and opens nothing", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, minsize: 0, expires: "10 minutes" })
      yield* fill(pool, 3)
      yield* TestClock.adjust("1 day")
      assert.deepInclude(yield* pool.stats, { size: 0 })
      assert.strictEqual(fake.dials, 3)
    }))

  it.scoped("R9: minsize opens nothing by itself: it is only what shrinking leaves", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, minsize: 5, expires: "10 minutes" })
      yield* fill(pool, 2)
      yield* TestClock.adjust("1 day")
      assert.deepInclude(yield* pool.stats, { idle: 2, size: 2 })
    }))

  it.scoped("R9: an expiry of months does not ring early or without rest", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const clock = yield* WatchedClock.make
      const pool = yield* makePool({ ...fake.options, expires: "100 days", minsize: 0 }, clock)
      yield* fill(pool, 1)
      yield* TestClock.adjust("99 days")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(fake.closed, [1])
      assert.isAtMost(clock.sleeps, 10)
    }))
})

describe("R10: idleTimeout", () => {
  it.scoped("R10: what was not used for that long is retired, down to minsize", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, idleTimeout: "30 seconds", minsize: 2 })
      yield* fill(pool, 5)
      yield* TestClock.adjust("29999 millis")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(fake.open, [4, 5])
      assert.strictEqual((yield* pool.stats).closed.idle, 3)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(fake.open, [4, 5])
    }))

  it.scoped("R10: each use begins the time anew", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, idleTimeout: "30 seconds", minsize: 0 })
      yield* fill(pool, 2)
      yield* TestClock.adjust("20 seconds")
      yield* (yield* Caller.ask(pool)).release
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(fake.closed, [1])
      yield* TestClock.adjust("19999 millis")
      assert.deepStrictEqual(fake.closed, [1])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(fake.closed, [1, 2])
    }))

  it.scoped("R10: a busy connection is not retired for not being given back, nor on release", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, idleTimeout: "30 seconds", minsize: 0 })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("5 minutes")
      yield* caller.release
      assert.deepInclude(yield* pool.stats, { idle: 1 })
      yield* TestClock.adjust("30 seconds")
      assert.deepInclude(yield* pool.stats, { idle: 0, size: 0 })
    }))

  it.scoped("R10: is off by default", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, expires: "10 days" })
      yield* fill(pool, 3)
      yield* TestClock.adjust("9 days")
      assert.deepInclude(yield* pool.stats, { idle: 3 })
    }))
})
