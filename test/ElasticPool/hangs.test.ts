import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, hang, ok, slow, stuck } from "../support/fakeResource.js"
import { fill, ids, makePool, withLogs } from "../support/testPool.js"

describe("I6: what hangs holds up nobody else", () => {
  it.scoped("I6: one connect hangs, others succeed: nobody starves", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id % 3 === 1 ? hang : slow("20 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 4, maxoverflow: 8, acquireTimeout: "5 seconds" })
      const calls = yield* Effect.fork(Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.exit(pool.use(() => Effect.sleep("50 millis"))),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("5 seconds")
      const exits = yield* Fiber.join(calls)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 50)
      assert.isAtMost(fake.highest, 8)
    }))

  it.scoped("I6: all connects hang at first: who waits is served as soon as one succeeds", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 4 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 10, connectConcurrency: 4 })
      const callers = yield* Caller.askTimes(pool, 6)
      yield* TestClock.adjust("1 second")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
    }))

  it.scoped("R18: connects that have hung for 1.6 seconds give their permits to the next ones, but for the oldest", () =>
    Effect.gen(function*() {
      let isAway = true
      const fake = new FakeResource({ connect: () => isAway ? hang : ok })
      const limits = { maxsize: 4, maxoverflow: 4, connectTimeout: "1 minute" } as const
      const pool = yield* makePool({ ...fake.options, ...limits })
      const callers = yield* Caller.askTimes(pool, 4)
      yield* TestClock.adjust("1599 millis")
      assert.deepInclude(yield* pool.stats, { opening: 4, waiting: 4 })
      assert.strictEqual(fake.dials, 4)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(fake.dials, 7)
      yield* TestClock.adjust("9 seconds")
      const { opening, size } = yield* pool.stats
      assert.deepStrictEqual({ opening, size }, { opening: 4, size: 4 })
      isAway = false
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
    }))

  for (const maxoverflow of [3, 5]) {
    it.scoped(`R3: below maxsize is who has only connects that hang beside him, of ${maxoverflow} at most`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: (id) => id <= 2 ? hang : ok })
        const pool = yield* makePool({ ...fake.options, maxsize: 3, maxoverflow, connectTimeout: "1 minute" })
        const callers = yield* Caller.askTimes(pool, 3)
        assert.deepStrictEqual(ids(callers), [3, undefined, undefined])
        yield* Effect.forEach(callers.slice(1), (caller) => caller.interrupt)
        yield* TestClock.adjust("1600 millis")
        const late = yield* Caller.ask(pool)
        yield* TestClock.adjust(0)
        assert.strictEqual(late.value?.id, 4)
      }))
  }

  it.scoped("R18: a server that lets each one in after three seconds is no server that is away", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("3 seconds") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 2, connectTimeout: "5 seconds" })
      const callers = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(callers.some(({ value }) => value !== undefined))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
    }))

  it.scoped("I6: an acquire that can't be interrupted is left behind cleanupTimeout after connectTimeout", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: (id) => id === 1 ? stuck : ok })
        const pool = yield* makePool({
          ...fake.options,
          maxsize: 1,
          maxoverflow: 1,
          connectTimeout: "2 seconds",
          cleanupTimeout: "500 millis"
        })
        const caller = yield* Caller.ask(pool)
        yield* TestClock.adjust("2499 millis")
        assert.isTrue(caller.isWaiting)
        assert.notMatch(logs.join(), /left behind/)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(caller.value?.id, 2)
        assert.deepInclude(yield* pool.stats, { size: 1, busy: 1, closing: 0 })
        assert.deepStrictEqual(
          logs.filter((line) => line.includes("left behind")),
          ["WARN A connection (failed) could not be closed within cleanupTimeout (500 ms) and was left behind"]
        )
      })
    ))

  it.scoped("I6: what an acquire that is left behind has opened is closed first, and what it opens later at once", () =>
    Effect.gen(function*() {
      const open = new Set<string>()
      const part = (name: string) =>
        Effect.acquireRelease(Effect.sync(() => open.add(name)), () => Effect.sync(() => open.delete(name)))
      let connects = 0
      const acquire = Effect.suspend(() => {
        const id = ++connects
        return id > 1
          ? part(`${id}`)
          : Effect.uninterruptible(Effect.zipRight(part("socket"), Effect.zipRight(slow("1 minute"), part("rest"))))
      })
      const pool = yield* makePool({ acquire, maxsize: 1, maxoverflow: 1, connectTimeout: "2 seconds" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("2499 millis")
      assert.deepStrictEqual([...open], ["socket"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([...open], ["2"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([...open], ["2"])
      assert.deepInclude(yield* pool.stats, { size: 1, busy: 1, opened: 1 })
    }))

  it.scoped("I6: a check that hangs holds up nobody: the connection is given up after cleanupTimeout", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: hang })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 1, maxoverflow: 1, cleanupTimeout: "500 millis" })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("499 millis")
      assert.isTrue(caller.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(caller.value?.id, 2)
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("I6: a check that can't be interrupted holds up nobody", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: stuck })
      const pool = yield* makePool({ ...fake.withCheck, maxsize: 1, maxoverflow: 1 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("5 seconds")
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(caller.value?.id, 2)
    }))

  for (const [what, script] of [["hangs", hang], ["can't be interrupted", stuck]] as const) {
    it.scoped(`I6: a reset that ${what} holds up nobody: not its borrower, and the next only for cleanupTimeout`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ reset: script })
        const pool = yield* makePool({ ...fake.withReset, maxsize: 1, maxoverflow: 1 })
        yield* pool.use(() => Effect.void)
        yield* Caller.ask(pool)
        assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1 })
        yield* TestClock.adjust("499 millis")
        assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1 })
        yield* TestClock.adjust("1 millis")
        assert.deepInclude(yield* pool.stats, { checking: 0, busy: 1, waiting: 0 })
        assert.strictEqual((yield* pool.stats).closed.dirty, 1)
      }))
  }

  it.scoped("I6: a finaliser that hangs is left behind after cleanupTimeout: its permit comes back, with a warning", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ close: (id) => id === 1 ? hang : ok })
        const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, maxUses: 1 })
        yield* pool.use(() => Effect.void)
        const caller = yield* Caller.ask(pool)
        yield* TestClock.adjust("499 millis")
        assert.isTrue(caller.isWaiting)
        assert.deepInclude(yield* pool.stats, { closing: 1, size: 1 })
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(caller.value?.id, 2)
        assert.strictEqual(logs.length, 1)
        assert.match(logs[0], /^WARN .*left behind/)
      })
    ))

  it.scoped("I6: a finaliser that fails or dies costs no permit", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const acquire = Effect.acquireRelease(fake.acquire, () => Effect.die("boom"))
      const pool = yield* makePool({ acquire, maxsize: 1, maxoverflow: 1, maxUses: 1 })
      for (let i = 0; i < 3; i++) yield* pool.use(() => Effect.void)
      assert.deepStrictEqual(fake.opened, [1, 2, 3])
    }))

  it.scoped("I6: while a connection is stuck in its finaliser, deadlines of callers hold", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: stuck })
      const pool = yield* makePool({
        ...fake.options,
        maxsize: 1,
        maxoverflow: 1,
        maxUses: 1,
        acquireTimeout: "1 second",
        cleanupTimeout: "1 minute"
      })
      yield* pool.use(() => Effect.void)
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(caller.failure, { _tag: "PoolExhausted", waited: 1000 })
    }))
})
