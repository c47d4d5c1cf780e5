import { assert, it } from "@effect/vitest"
import { Effect, Exit, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, fail, failTransiently, FakeResource, hang, ok, slow } from "../support/fakeResource.js"
import { fill, ids, makePool } from "../support/testPool.js"

const failing = { maxwait: "200 millis", whenFull: "fail" } as const

describe("R4: 30 callers of one second, maxsize 2 and maxoverflow 20", () => {
  const play = (options: ElasticPool.PoolOptions) =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("20 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 20, ...options })
      const callers = yield* Effect.fork(Effect.forEach(
        Array.from({ length: 30 }),
        () => Effect.either(pool.use(() => Effect.sleep("1 second"))),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("20 seconds")
      const results = yield* callers
      assert.strictEqual(fake.highest, 20)
      return {
        served: results.filter(({ _tag }) => _tag === "Right").length,
        failures: results.flatMap((result) => result._tag === "Left" ? [result.left] : [])
      }
    })

  for (const maxwait of [undefined, "200 millis", "auto", 0] as const) {
    for (const whenFull of [undefined, "wait"] as const) {
      it.scoped(`R4: all are served with maxwait ${maxwait} and whenFull ${whenFull}`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* play({ maxwait, whenFull }), { served: 30, failures: [] })
        }))
    }
  }

  for (const [maxwait, waited] of [["200 millis", 200], [undefined, 200], ["auto", 200], [0, 0]] as const) {
    it.scoped(`R4: with maxwait ${maxwait} and whenFull "fail" 20 are served, and 10 fail after ${waited} ms`, () =>
      Effect.gen(function*() {
        const { failures, served } = yield* play({ maxwait, whenFull: "fail" })
        assert.strictEqual(served, 20)
        assert.strictEqual(failures.length, 10)
        for (const failure of failures) {
          assert.deepInclude(failure, { _tag: "PoolExhausted", limit: "maxwait", limitMillis: waited, waited })
          assert.isTrue(
            failure.message.startsWith(
              `No connection after ${waited} ms (maxwait: ${waited} ms, with whenFull "fail"): all 20 that maxoverflow`
            ),
            failure.message
          )
        }
      }))
  }
})

describe("R4: whenFull \"fail\"", () => {
  it.scoped("R4: a caller that has waited maxwait, and finds all in use, fails at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...failing, maxsize: 1, maxoverflow: 2 })
      const [first] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual((yield* pool.stats).busy, 2)
      const [third, fourth] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("199 millis")
      assert.isTrue(third.isWaiting && fourth.isWaiting)
      yield* first.release
      assert.strictEqual(third.value?.id, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(fourth.failure, {
        _tag: "PoolExhausted",
        waited: 200,
        limit: "maxwait",
        limitMillis: 200,
        wasOwed: false
      })
      assert.deepInclude(yield* pool.stats, { timeouts: 1, waiting: 0, busy: 2 })
    }))

  it.scoped("R4: with maxwait zero it fails without a wait", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({
        ...new FakeResource().options,
        maxsize: 1,
        maxwait: 0,
        maxoverflow: 2,
        whenFull: "fail"
      })
      yield* Caller.askTimes(pool, 2)
      const third = yield* Caller.ask(pool)
      assert.deepInclude(third.failure, { _tag: "PoolExhausted", waited: 0, limit: "maxwait" })
    }))

  it.scoped("R4: with maxwait \"auto\" it fails after 200 ms, however short connects are", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(5) })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxwait: "auto", maxoverflow: 2, whenFull: "fail" })
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust(5)
      assert.strictEqual((yield* pool.stats).busy, 2)
      const third = yield* Caller.ask(pool)
      yield* TestClock.adjust(199)
      assert.isTrue(third.isWaiting)
      yield* TestClock.adjust(1)
      assert.deepInclude(third.failure, { _tag: "PoolExhausted", waited: 200, limit: "maxwait" })
    }))

  it.scoped("R4: who is owed a connect that is under way waits for that, the others fail", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : slow("800 millis") })
      const pool = yield* makePool({ ...fake.options, ...failing, maxsize: 1, maxoverflow: 2 })
      yield* Caller.ask(pool)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("200 millis")
      assert.isTrue(first.isWaiting)
      assert.deepInclude(second.failure, { _tag: "PoolExhausted", waited: 200, limit: "maxwait" })
      yield* TestClock.adjust("800 millis")
      assert.strictEqual(first.value?.id, 2)
    }))

  it.scoped("R4: so does who is owed a free permit, although the connect is not begun", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("800 millis") })
      const limits = { maxsize: 1, maxoverflow: 2, connectConcurrency: 1 }
      const pool = yield* makePool({ ...fake.options, ...failing, ...limits })
      const [first, second, third] = yield* Caller.askTimes(pool, 3)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(fake.dials, 1)
      assert.isTrue(first.isWaiting && second.isWaiting)
      assert.deepInclude(third.failure, { _tag: "PoolExhausted", waited: 200 })
      yield* TestClock.adjust("1400 millis")
      assert.deepStrictEqual(ids([first, second]), [1, 2])
    }))

  it.scoped("R4: so does who is owed a connection that is checked, and then the place of one that is closed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ check: Effect.zipRight(slow("300 millis"), fail), close: slow("300 millis") })
      const pool = yield* makePool({ ...fake.withCheck, ...failing, maxsize: 1, maxoverflow: 1 })
      yield* fill(pool, 1)
      yield* TestClock.adjust("1 minute")
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("299 millis")
      assert.deepInclude(yield* pool.stats, { checking: 1, waiting: 1 })
      assert.deepInclude(second.failure, { waited: 200, limit: "maxwait", wasOwed: false })
      yield* TestClock.adjust("300 millis")
      assert.deepInclude(yield* pool.stats, { closing: 1, waiting: 1 })
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(first.value?.id, 2)
    }))

  it.scoped("R4: who is owed one has connectTimeout more, and no longer", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("700 millis") })
      const limits = { maxsize: 2, connectConcurrency: 1, connectTimeout: "1 second" } as const
      const pool = yield* makePool({ ...fake.options, ...failing, ...limits })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1199 millis")
      assert.strictEqual(first.value?.id, 1)
      assert.isTrue(second.isWaiting)
      yield* TestClock.adjust("1 millis")
      const { failure } = second
      assert.deepInclude(failure, {
        _tag: "PoolExhausted",
        waited: 1200,
        limit: "connectTimeout",
        limitMillis: 1200,
        wasOwed: true
      })
      assert.include(failure?.message, "Raise connectTimeout.")
    }))

  for (const [millis, name] of [[50, "below maxwait"], [700, "above it"]] as const) {
    it.scoped(`R4: acquireTimeout ${name} is the longest wait all the same, also for who is owed one`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: slow("3 seconds") })
        const pool = yield* makePool({ ...fake.options, ...failing, acquireTimeout: millis })
        const caller = yield* Caller.ask(pool)
        yield* TestClock.adjust(millis - 1)
        assert.isTrue(caller.isWaiting)
        yield* TestClock.adjust(1)
        assert.deepInclude(caller.failure, { waited: millis, limit: "acquireTimeout", limitMillis: millis })
      }))
  }

  it.scoped("R18: while connects fail all have acquireTimeout, as with \"wait\"", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, ...failing, maxsize: 1, maxoverflow: 1 })
      const callers = yield* Caller.askTimes(pool, 3)
      yield* TestClock.adjust("29999 millis")
      assert.isTrue(areAll(callers, ({ isWaiting }) => isWaiting))
      yield* TestClock.adjust("1 millis")
      for (const { failure } of callers) {
        assert.deepInclude(failure, { _tag: "PoolExhausted", limit: "acquireTimeout", limitMillis: 30_000 })
        assert.include(failure?.message, "The last connect failed: ")
      }
    }))

  it.scoped("R4: who was owed a connection that a shrink takes away fails at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : hang })
      const pool = yield* makePool({ ...fake.options, ...failing, maxsize: 1, maxoverflow: 2 })
      yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("300 millis")
      assert.isTrue(waiter.isWaiting)
      yield* pool.resize({ maxoverflow: 1 })
      yield* TestClock.adjust(0)
      assert.deepInclude(waiter.failure, { waited: 300, limit: "maxwait", wasOwed: false })
    }))

  it.scoped("R4: while the pool is suspended nobody fails, and then the wait goes on", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...failing, maxsize: 1, maxoverflow: 1 })
      yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("100 millis")
      const suspending = yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("10 seconds")
      yield* pool.resume
      yield* TestClock.adjust("99 millis")
      assert.isTrue(waiter.isWaiting)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(waiter.failure, { waited: 200, limit: "maxwait" })
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(suspending)))
    }))

  it.scoped("R4, R18: a caller who comes after an outage that ended during a suspend has no more time for it", () =>
    Effect.gen(function*() {
      const connect = (id: number) => id === 1 ? failTransiently : id === 2 ? slow("2 seconds") : ok
      const fake = new FakeResource({ connect })
      const limits = { maxsize: 1, maxoverflow: 1, suspendTimeout: "20 seconds" } as const
      const pool = yield* makePool({ ...fake.options, ...failing, ...limits })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("600 millis")
      assert.strictEqual(fake.dials, 2)
      yield* Effect.fork(pool.suspend)
      yield* TestClock.adjust("20500 millis")
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("200 millis")
      assert.deepInclude(late.failure, { waited: 200, limit: "maxwait" })
    }))

  it.scoped("R4: a caller who is owed no connection any more after a shrink is refused in time", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : hang })
      const limits = { maxsize: 3, maxoverflow: 3, connectTimeout: "20 seconds" } as const
      const pool = yield* makePool({ ...fake.options, ...failing, ...limits })
      yield* Caller.ask(pool)
      const early = yield* Caller.ask(pool)
      yield* TestClock.adjust("150 millis")
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("60 millis")
      yield* pool.resize({ maxsize: 1, maxoverflow: 1 })
      yield* TestClock.adjust(0)
      assert.deepInclude(early.failure, { waited: 210 })
      yield* TestClock.adjust("140 millis")
      assert.deepInclude(late.failure, { waited: 200 })
    }))

  it.scoped("maxWaiting refuses at once all the same", () =>
    Effect.gen(function*() {
      const limits = { maxsize: 1, maxoverflow: 1, maxWaiting: 1 }
      const pool = yield* makePool({ ...new FakeResource().options, ...failing, ...limits })
      const [, second, third] = yield* Caller.askTimes(pool, 3)
      assert.isTrue(second.isWaiting)
      assert.deepInclude(third.failure, { _tag: "PoolQueueFull" })
    }))
})
