import { assert, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { Caller, FakeResource, hang, settle, slow, stuck } from "../support/fakeResource.js"
import { FiberCount, fill, makeClosable, makePool, WatchedClock, withLogs } from "../support/testPool.js"

const limits = { maxsize: 2, maxoverflow: 2, acquireTimeout: "10 minutes" } as const

const hasEnded = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

/** Where nothing can be interrupted. */
const places: ReadonlyArray<readonly [string, (effect: Effect.Effect<void>) => Effect.Effect<void>]> = [
  ["a finaliser", (effect) => Effect.scoped(Effect.addFinalizer(() => effect))],
  ["a release", (effect) => Effect.scoped(Effect.acquireRelease(Effect.void, () => effect))],
  [
    "the end of a layer",
    (effect) => Effect.asVoid(Effect.scoped(Layer.build(Layer.scopedDiscard(Effect.addFinalizer(() => effect)))))
  ],
  ["Effect.uninterruptible", (effect) => Effect.uninterruptible(effect)],
  ["Effect.onExit", (effect) => Effect.onExit(Effect.void, () => effect)],
  [
    "a fiber that was interrupted",
    (effect) =>
      Effect.flatMap(
        Effect.fork(Effect.onInterrupt(Effect.never, () => effect)),
        (fiber) => Effect.zipRight(settle, Effect.asVoid(Fiber.interrupt(fiber)))
      )
  ]
]

/** Runs an effect there, and tells how it has ended. */
const runAt = <A>(place: (effect: Effect.Effect<void>) => Effect.Effect<void>, effect: Effect.Effect<A>) =>
  Effect.gen(function*() {
    const result = yield* Deferred.make<A>()
    const fiber = yield* Effect.fork(place(Effect.intoDeferred(effect, result).pipe(Effect.asVoid)))
    yield* Effect.repeatN(settle, 1)
    return { fiber, result }
  })

describe("R36: the wait for drain and suspend where nothing can be interrupted", () => {
  const waits: ReadonlyArray<readonly [string, (pool: ElasticPool.ElasticPool<unknown>) => Effect.Effect<unknown>]> = [
    ["drain", (pool) => pool.drain],
    ["suspend", (pool) => pool.suspend]
  ]
  for (const [where, place] of places) {
    for (const [what, wait] of waits) {
      it.scoped(`Effect.timeoutOption round ${what} is kept in ${where}`, () =>
        Effect.gen(function*() {
          const fake = new FakeResource()
          const pool = yield* makePool({ ...fake.options, ...limits, suspendTimeout: "1 day" })
          const holder = yield* Caller.ask(pool)
          const { fiber, result } = yield* runAt(place, Effect.timeoutOption(wait(pool as never), "20 seconds"))
          yield* TestClock.adjust("19999 millis")
          assert.isFalse(hasEnded(fiber))
          yield* TestClock.adjust("1 millis")
          assert.isTrue(hasEnded(fiber))
          assert.isTrue(Option.isNone(yield* Deferred.await(result)))
          yield* holder.release
        }))
    }

    it.scoped(`without a deadline drain waits for the borrower in ${where}`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.options, ...limits })
        const holder = yield* Caller.ask(pool)
        const { fiber } = yield* runAt(place, pool.drain)
        yield* TestClock.adjust("1 hour")
        assert.isFalse(hasEnded(fiber))
        yield* holder.release
        assert.isTrue(hasEnded(fiber))
      }))
  }

  it.scoped("an interrupt ends the wait of drain there, and not the drain", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const holder = yield* Caller.ask(pool)
      const fiber = yield* Effect.fork(Effect.uninterruptible(pool.drain))
      yield* settle
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.strictEqual((yield* pool.stats).state, "draining")
      yield* holder.release
      assert.strictEqual((yield* pool.stats).size, 0)
    }))

  it.scoped("R4: who waits for a resource there is refused after acquireTimeout", () =>
    Effect.gen(function*() {
      for (const [, place] of places) {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, acquireTimeout: "10 seconds" })
        const holder = yield* Caller.ask(pool)
        const uses = Effect.all([Effect.flip(pool.use(() => Effect.void)), Effect.flip(Effect.scoped(pool.get))], {
          concurrency: 2
        })
        const { fiber, result } = yield* runAt(place, uses as never as Effect.Effect<ReadonlyArray<{ _tag: string }>>)
        yield* TestClock.adjust("10 seconds")
        assert.isTrue(hasEnded(fiber))
        for (const error of yield* Deferred.await(result)) assert.strictEqual(error._tag, "PoolExhausted")
        yield* holder.release
      }
    }))
})

describe("R36: drain({ within })", () => {
  for (const [where, place] of places) {
    it.scoped(`closes after that time what is still out, and says how many, in ${where}`, () =>
      withLogs((logs) =>
        Effect.gen(function*() {
          const fake = new FakeResource()
          const pool = yield* makePool({ ...fake.options, ...limits })
          yield* Caller.askTimes(pool, 2)
          const waiter = yield* Caller.ask(pool)
          const { fiber, result } = yield* runAt(place, pool.drain({ within: "20 seconds" }))
          assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "PoolClosed" })
          yield* TestClock.adjust("19999 millis")
          assert.isFalse(hasEnded(fiber))
          assert.isTrue(waiter.isWaiting)
          assert.deepStrictEqual(fake.closed, [])
          yield* TestClock.adjust("1 millis")
          assert.isTrue(hasEnded(fiber))
          assert.strictEqual(yield* Deferred.await(result), 2)
          assert.ok(waiter.failure?._tag === "PoolClosed")
          assert.strictEqual(waiter.failure.message, "The pool is drained: it takes no new callers.")
          assert.sameMembers(fake.closed, [1, 2])
          assert.strictEqual(fake.live, 0)
          assert.deepInclude(yield* pool.stats, { state: "draining", size: 0, waiting: 0 })
          assert.deepStrictEqual(logs, [
            "WARN The drain has not ended by itself within 20000 ms. Connections still in use, now closed under their " +
            "borrowers: 2. Callers still in the queue, now refused: 1."
          ])
        })
      ))
  }

  it.scoped("gives 0 as soon as all have come back by themselves, and logs nothing", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const clock = yield* WatchedClock.make
        const pool = yield* makePool({ ...fake.options, ...limits }, clock)
        const [first, second] = yield* Caller.askTimes(pool, 2)
        const waiter = yield* Caller.ask(pool)
        const drain = yield* Effect.fork(pool.drain({ within: "20 seconds" }))
        yield* TestClock.adjust("10 seconds")
        yield* first.release
        assert.strictEqual(waiter.value?.id, 1)
        yield* second.release
        assert.isFalse(hasEnded(drain))
        yield* waiter.release
        assert.isTrue(hasEnded(drain))
        assert.strictEqual(yield* Fiber.join(drain), 0)
        // I5: nor is its timer left.
        assert.strictEqual(clock.asleep, 0)
        yield* TestClock.adjust("1 hour")
        assert.deepInclude(yield* pool.stats, { state: "draining", size: 0 })
        assert.deepStrictEqual(logs, [])
      })
    ))

  it.scoped("an interrupt ends only the wait: the time goes on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      yield* Caller.ask(pool)
      const drain = yield* Effect.fork(pool.drain({ within: "20 seconds" }))
      yield* settle
      yield* Fiber.interrupt(drain)
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("of several the earliest end counts, and all give the number", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      yield* Caller.askTimes(pool, 2)
      const plain = yield* Effect.fork(pool.drain)
      yield* TestClock.adjust("1 second")
      const long = yield* Effect.fork(pool.drain({ within: "1 minute" }))
      yield* TestClock.adjust("1 second")
      const short = yield* Effect.fork(pool.drain({ within: "3 seconds" }))
      yield* settle
      const longer = yield* Effect.fork(pool.drain({ within: "2 minutes" }))
      yield* TestClock.adjust("2999 millis")
      assert.isFalse(hasEnded(plain))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(hasEnded(plain))
      for (const fiber of [long, short, longer]) assert.strictEqual(yield* Fiber.join(fiber), 2)
      assert.strictEqual(yield* pool.drain({ within: "1 minute" }), 2)
    }))

  it.scoped("within 0 waits for nobody", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? Effect.void : hang })
      const pool = yield* makePool({ ...fake.options, ...limits })
      const [, opening] = yield* Caller.askTimes(pool, 2)
      assert.deepInclude(yield* pool.stats, { busy: 1, opening: 1 })
      const drain = yield* Effect.fork(pool.drain({ within: 0 }))
      yield* settle
      assert.strictEqual(yield* Fiber.join(drain), 1)
      assert.deepInclude(opening.failure, { _tag: "PoolClosed" })
      assert.strictEqual(fake.live, 0)
    }))

  it.scoped("a pool that has nothing is drained at once, and so is one that is drained or closed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable({ ...fake.options, ...limits })
      yield* fill(pool, 2)
      assert.strictEqual(yield* pool.drain({ within: "20 seconds" }), 0)
      assert.strictEqual(yield* pool.drain({ within: "20 seconds" }), 0)
      yield* close
      assert.strictEqual(yield* pool.drain({ within: "20 seconds" }), 0)
    }))

  it.scoped("a suspended pool serves its queue again until then", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits, suspendTimeout: "1 day" })
      const holder = yield* Caller.ask(pool)
      const suspend = yield* Effect.fork(pool.suspend)
      yield* settle
      const waiter = yield* Caller.ask(pool)
      const drain = yield* Effect.fork(pool.drain({ within: "20 seconds" }))
      yield* settle
      assert.strictEqual(yield* Fiber.join(suspend), false)
      assert.isDefined(waiter.value)
      yield* holder.release
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(drain), 1)
    }))

  for (const within of ["2 seconds", "1 minute"] as const) {
    it.scoped(`within ${within}, and the scope closed meanwhile with a closeTimeout of 10 seconds: the shorter one counts`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const { close, pool } = yield* makeClosable({ ...fake.options, ...limits, closeTimeout: "10 seconds" })
        yield* Caller.askTimes(pool, 2)
        const waiter = yield* Caller.ask(pool)
        const drain = yield* Effect.fork(pool.drain({ within }))
        yield* settle
        const closing = yield* Effect.fork(close)
        yield* settle
        assert.deepInclude(waiter.failure, { _tag: "PoolClosed" })
        const time = within === "2 seconds" ? 2000 : 10_000
        yield* TestClock.adjust(time - 1)
        assert.isFalse(hasEnded(drain) || hasEnded(closing))
        yield* TestClock.adjust(1)
        assert.isTrue(hasEnded(closing))
        assert.strictEqual(yield* Fiber.join(drain), 2)
        assert.strictEqual(fake.live, 0)
      }))
  }

  it.scoped("cleanupTimeout bounds a close that hangs, also of a connection that had come back before", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: stuck })
      const pool = yield* makePool({ ...fake.options, ...limits, cleanupTimeout: "500 millis" })
      const [first] = yield* Caller.askTimes(pool, 2)
      const drain = yield* Effect.fork(pool.drain({ within: "20 seconds" }))
      yield* TestClock.adjust("19900 millis")
      yield* first.release
      yield* TestClock.adjust("100 millis")
      yield* TestClock.adjust("499 millis")
      assert.isFalse(hasEnded(drain))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(drain), 1)
    }))

  it.scoped("resets, checks and connects under way are ended, also those that can't be interrupted", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 2 ? stuck : Effect.void, reset: stuck })
      const pool = yield* makePool({ ...fake.withReset, ...limits, cleanupTimeout: "30 seconds" })
      const [first] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      assert.deepInclude(yield* pool.stats, { checking: 1, opening: 1 })
      const drain = yield* Effect.fork(pool.drain({ within: "1 second" }))
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(drain), 0)
    }))

  it.scoped("R14: its time is that of the clock for I/O", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const io = yield* WatchedClock.make
      const pool = yield* makePool({ ...fake.options, ...limits, ioClock: io }, Clock.make())
      yield* Caller.ask(pool)
      const drain = yield* Effect.fork(pool.drain({ within: "20 seconds" }))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(drain), 1)
    }))

  it.scoped("I5: no fiber is left", () =>
    Effect.gen(function*() {
      const fibers = new FiberCount()
      const fake = new FakeResource({ close: slow("10 millis") })
      yield* Effect.gen(function*() {
        const pool = yield* makePool({ ...fake.options, ...limits })
        const holder = yield* Caller.ask(pool)
        const drain = yield* Effect.fork(pool.drain({ within: "20 seconds" }))
        yield* TestClock.adjust("20 seconds")
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* Fiber.join(drain), 1)
        yield* holder.release
      }).pipe(Effect.supervised(fibers), Effect.scoped)
      yield* settle
      assert.strictEqual(fibers.alive.size, 0)
    }))

  it.scoped("a bad option is a defect, and changes nothing", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...limits })
      const allowed =
        "it must be a finite duration of zero, or of a millisecond or more, such as \"200 millis\" or a " +
        "number of milliseconds"
      const bad: ReadonlyArray<readonly [unknown, string]> = [
        [{ within: -1 }, `within: -1 is not allowed, ${allowed}`],
        [{ within: "soon" }, `within: "soon" is not allowed, ${allowed}`],
        [{ within: Infinity }, `within: Infinity is not allowed, ${allowed}`],
        [{}, `within: undefined is not allowed, ${allowed}`],
        ["20 seconds", "drain: \"20 seconds\" is not allowed, it must be an object of options"]
      ]
      for (const [options, message] of bad) {
        const exit = yield* Effect.exit(pool.drain(options as { within: number }))
        const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(defect, Cause.IllegalArgumentException)
        assert.strictEqual((defect as Error).message, message)
      }
      assert.strictEqual((yield* pool.stats).state, "open")
    }))
})

describe("R36: drain is an effect, and a function", () => {
  const run = (use: (drain: ElasticPool.Drain) => Effect.Effect<unknown>) =>
    Effect.scoped(Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* ElasticPool.make(fake.options)
      yield* fill(pool, 1)
      const result = yield* use(pool.drain)
      assert.deepInclude(yield* pool.stats, { state: "draining", size: 0 })
      return result
    }))

  it.effect("it can be used wherever an effect can", () =>
    Effect.gen(function*() {
      yield* run((drain) => {
        assert.isTrue(Effect.isEffect(drain))
        return drain
      })
      assert.strictEqual(yield* run((drain) => drain.pipe(Effect.as(1))), 1)
      assert.strictEqual(yield* run((drain) => Effect.as(drain, 1)), 1)
      yield* run((drain) => Effect.zipRight(Effect.void, drain))
      yield* run((drain) => Effect.andThen(Effect.void, () => drain))
      yield* run((drain) => Effect.flatMap(Effect.fork(drain), Fiber.join))
      yield* run((drain) => Effect.ensuring(Effect.void, drain))
      yield* run((drain) => Effect.all([drain, drain], { concurrency: 2 }))
      yield* run((drain) => Effect.all({ drain }))
      yield* run((drain) => Effect.promise(() => Effect.runPromise(drain)))
      yield* run((drain) =>
        Effect.gen(function*() {
          yield* drain
        })
      )
      yield* run((drain) => Effect.timeoutOption(drain, "1 second"))
      yield* run((drain) => Effect.race(drain, Effect.never))
      yield* run((drain) => Effect.repeatN(drain, 2))
      yield* run((drain) => Effect.scoped(Effect.addFinalizer(() => drain)))
      assert.strictEqual(yield* run((drain) => drain({ within: "1 second" })), 0)
    }))

  it("what would take it for a function is refused by the compiler", () => {
    const drain = undefined as never as ElasticPool.Drain
    const refused = [
      // @ts-expect-error a function of what there is no value of
      () => Effect.andThen(Effect.void, drain),
      // @ts-expect-error the same
      () => Effect.tap(Effect.void, drain)
    ]
    assert.strictEqual(refused.length, 2)
  })
})
