import { assert, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, FiberId, Scope, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, hang, ok, settle, slow, stuck } from "../support/fakeResource.js"
import { FiberCount, fill, makeClosable, makePool, WatchedClock, withLogs } from "../support/testPool.js"

describe("R12: interruption is safe at every point", () => {
  const pool = (fake: FakeResource) => makePool({ ...fake.withReset, maxsize: 1, maxoverflow: 1 })

  /** What is released in it is handed over on the spot. */
  const poolWithoutReset = (fake: FakeResource) => makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })

  /** I8: the pool can serve again. */
  const isWhole = <A, E>(pool: ElasticPool.ElasticPool<A, E>) =>
    Effect.gen(function*() {
      yield* settle
      assert.deepInclude(yield* pool.stats, { size: 1, idle: 1, busy: 0, checking: 0, closing: 0, waiting: 0 })
      const caller = yield* Caller.ask(pool)
      assert.isDefined(caller.value)
      yield* caller.release
    })

  it.scoped("R12: queued: the waiter leaves the queue, and the next keeps its place", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const it = yield* pool(fake)
      const holder = yield* Caller.ask(it)
      const [first, second, third] = yield* Caller.askTimes(it, 3)
      yield* second.interrupt
      assert.strictEqual((yield* it.stats).waiting, 2)
      yield* holder.release
      yield* first.release
      assert.strictEqual(third.value?.id, 1)
      yield* third.release
      yield* isWhole(it)
    }))

  it.scoped("R12: handed over but not yet resumed: the connection goes to the next waiter", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const it = yield* poolWithoutReset(fake)
      const holder = yield* Caller.ask(it)
      const [first, second] = yield* Caller.askTimes(it, 2)
      yield* holder.letGo
      first.fiber.unsafeInterruptAsFork(FiberId.none)
      yield* settle
      yield* first.release
      assert.strictEqual(second.value?.id, 1)
      yield* second.release
      yield* isWhole(it)
    }))

  it.scoped("R12: interrupted and handed over in the same instant, the other way round", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const it = yield* poolWithoutReset(fake)
      const holder = yield* Caller.ask(it)
      const [first, second] = yield* Caller.askTimes(it, 2)
      first.fiber.unsafeInterruptAsFork(FiberId.none)
      yield* holder.letGo
      yield* settle
      yield* first.release
      assert.strictEqual(second.value?.id, 1)
      yield* second.release
      yield* isWhole(it)
    }))

  it.scoped("R12: opening: nobody's connect is lost", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const it = yield* pool(fake)
      yield* (yield* Caller.ask(it)).interrupt
      yield* TestClock.adjust("100 millis")
      yield* isWhole(it)
    }))

  it.scoped("R12: checking: the reset goes on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const it = yield* pool(fake)
      yield* (yield* Caller.ask(it)).release
      yield* (yield* Caller.ask(it)).interrupt
      fake.reset = ok
      yield* TestClock.adjust("100 millis")
      yield* isWhole(it)
    }))

  for (const how of ["use", "get"] as const) {
    it.scoped(`R12: in use, with ${how}: an interrupt gives the connection back once`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const it = yield* pool(fake)
        const fiber = yield* Effect.fork(
          how === "use"
            ? it.use(() => Effect.never)
            : Effect.scoped(Effect.zipRight(it.get, Effect.never))
        )
        yield* settle
        assert.strictEqual((yield* it.stats).busy, 1)
        yield* Fiber.interrupt(fiber)
        yield* settle
        assert.deepStrictEqual(fake.wasReset, [1])
        yield* isWhole(it)
      }))

    it.scoped(`R12: with ${how}: whoever is interrupted before it starts takes nothing`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const it = yield* pool(fake)
        yield* fill(it, 1)
        let used = false
        const fiber = yield* Effect.fork(
          how === "use"
            ? it.use(() => Effect.sync(() => used = true))
            : Effect.scoped(Effect.zipRight(it.get, Effect.sync(() => used = true)))
        )
        fiber.unsafeInterruptAsFork(FiberId.none)
        yield* settle
        assert.isFalse(used)
        yield* isWhole(it)
      }))
  }

  it.scoped("R12: in release: a borrower that is interrupted while its connection is reset releases it once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: slow("100 millis") })
      const it = yield* pool(fake)
      const fiber = yield* Effect.fork(Effect.zipRight(it.use(() => Effect.void), Effect.never))
      yield* settle
      assert.strictEqual((yield* it.stats).checking, 1)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(fake.wasReset, [1])
      assert.deepInclude(yield* it.stats, { idle: 1, size: 1 })
    }))

  for (const [what, ending] of [["fails", Effect.fail("no")], ["dies", Effect.die("no")]] as const) {
    it.scoped(`R12: a body that ${what} gives its connection back, and its exit is the body's own`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const it = yield* pool(fake)
        const exit = yield* Effect.exit(it.use(() => ending))
        assert.deepStrictEqual(exit, yield* Effect.exit(ending))
        yield* isWhole(it)
      }))
  }

  it.scoped("R12: a body that throws when it is called gives its connection back", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const it = yield* pool(fake)
      const exit = yield* Effect.exit(it.use((): Effect.Effect<void> => {
        throw new Error("no")
      }))
      assert.isTrue(Exit.isFailure(exit))
      yield* isWhole(it)
    }))
})

describe("R13: close", () => {
  it.scoped("R13: waiters and newcomers fail with PoolClosed at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      const holder = yield* Caller.ask(pool)
      const waiters = yield* Caller.askTimes(pool, 2)
      const closing = yield* Effect.fork(close)
      yield* settle
      for (const caller of [...waiters, yield* Caller.ask(pool)]) {
        assert.ok(caller.failure?._tag === "PoolClosed")
        assert.deepInclude(caller.failure.stats, { maxsize: 1, busy: 1 })
        assert.match(caller.failure.message, /^The pool is closed\./)
      }
      yield* holder.release
      yield* Fiber.join(closing)
      assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "PoolClosed" })
    }))

  it.scoped("R13: idle connections close, and a pool without busy ones needs no time", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable(fake.options)
      yield* fill(pool, 3)
      yield* close
      assert.sameMembers(fake.closed, [1, 2, 3])
      assert.strictEqual(fake.live, 0)
      assert.deepInclude(yield* pool.stats, { size: 0, idle: 0 })
      assert.strictEqual((yield* pool.stats).closed.closed, 3)
    }))

  it.scoped("R13: busy connections have closeTimeout to come back, and are closed when they do", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable({ ...fake.withReset, maxsize: 2 })
      const callers = yield* Caller.askTimes(pool, 2)
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(fake.closed, [])
      yield* callers[0].release
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepStrictEqual(fake.wasReset, [])
      assert.isNull(closing.unsafePoll())
      yield* callers[1].release
      yield* Fiber.join(closing)
      assert.strictEqual(fake.live, 0)
    }))

  it.scoped("R13: after closeTimeout, 5 seconds by default, busy connections are closed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const { close, pool } = yield* makeClosable(fake.options)
      const caller = yield* Caller.ask(pool)
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(fake.closed, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(fake.closed, [1])
      yield* Fiber.join(closing)
      // Its lease is dead: the release does nothing (I4).
      yield* caller.release
      assert.deepInclude(yield* pool.stats, { size: 0, busy: 0, closing: 0 })
      assert.strictEqual((yield* pool.stats).closed.closed, 1)
    }))

  it.scoped("R13: connects, checks and resets under way are ended at once", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 2 ? ok : hang, check: hang, reset: hang })
      const { close, pool } = yield* makeClosable({
        ...fake.withCheck,
        ...fake.withReset,
        needsReset: ({ id }) => id === 2 && fake.checked.length > 0,
        maxwait: "200 millis",
        cleanupTimeout: "1 hour"
      })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* TestClock.adjust("1 minute")
      const waiters = yield* Caller.askTimes(pool, 2)
      yield* second.release
      assert.deepInclude(yield* pool.stats, { checking: 2, opening: 1, waiting: 2 })
      yield* close
      assert.isTrue(areAll(waiters, ({ failure }) => failure?._tag === "PoolClosed"))
      assert.strictEqual(fake.live, 0)
      assert.strictEqual((yield* pool.stats).size, 0)
    }))

  it.scoped("I5: after close there is no connection, no fiber and no timer", () =>
    Effect.gen(function*() {
      const fibers = new FiberCount()
      const clock = yield* WatchedClock.make
      const fake = new FakeResource({ connect: (id) => id === 3 ? hang : ok })
      const retrying = new FakeResource({ connect: Effect.fail("transient") })
      yield* Effect.gen(function*() {
        const { close, pool } = yield* makeClosable({ ...fake.options, leakThreshold: "1 minute", warm: 1 }, clock)
        const second = yield* makeClosable(retrying.options, clock)
        const holder = yield* Caller.ask(pool)
        yield* (yield* Caller.ask(pool)).release
        const waiters = yield* Caller.askTimes(pool, 2)
        const outage = yield* Caller.ask(second.pool)
        assert.isAbove(clock.asleep, 3)
        for (const caller of [holder, ...waiters]) yield* caller.release
        yield* close
        yield* second.close
        yield* settle
        assert.strictEqual(outage.failure?._tag, "PoolClosed")
      }).pipe(Effect.supervised(fibers), Effect.scoped)
      yield* settle
      assert.strictEqual(clock.asleep, 0)
      assert.strictEqual(fake.live, 0)
      assert.strictEqual(fibers.alive.size, 0)
      assert.isAbove(fibers.started, 10)
    }))

  it.scoped("I5, R13: a connection that is closed under its borrower is not watched for leaks any more", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const clock = yield* WatchedClock.make
        const fake = new FakeResource()
        const options = { ...fake.options, closeTimeout: 50, leakThreshold: "1 minute" } as const
        const { close, pool } = yield* makeClosable(options, clock)
        yield* Caller.ask(pool)
        const closing = yield* Effect.fork(close)
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(closing)
        yield* settle
        assert.strictEqual(clock.asleep, 0)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(logs, [])
      })
    ))

  it.scoped("R13: an acquire that can't be interrupted does not hold the close: it is left behind, with a warning", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: stuck })
        const { close, pool } = yield* makeClosable({ ...fake.options, cleanupTimeout: "500 millis" })
        yield* Caller.ask(pool)
        const closing = yield* Effect.fork(close)
        yield* TestClock.adjust("499 millis")
        assert.isNull(closing.unsafePoll())
        yield* TestClock.adjust("1 millis")
        assert.isNotNull(closing.unsafePoll())
        assert.strictEqual(logs.length, 1)
        assert.match(logs[0], /^WARN .*left behind/)
      })
    ))

  it.scoped("R13: a finaliser that can't be interrupted does not hold the close: it is left behind, with a warning", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const fake = new FakeResource({ close: (id) => id === 1 ? stuck : ok })
        const { close, pool } = yield* makeClosable({ ...fake.options, cleanupTimeout: "500 millis" })
        yield* fill(pool, 2)
        const closing = yield* Effect.fork(close)
        yield* TestClock.adjust("500 millis")
        assert.isNotNull(closing.unsafePoll())
        assert.deepStrictEqual(fake.closed, [2])
        assert.strictEqual(logs.length, 1)
        assert.match(logs[0], /^WARN .*left behind/)
      })
    ))

  it.scoped("R13: checks and resets that can't be interrupted do not hold the close", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: stuck })
      const { close, pool } = yield* makeClosable({ ...fake.withReset, cleanupTimeout: "500 millis" })
      yield* (yield* Caller.ask(pool)).release
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("500 millis")
      assert.isNotNull(closing.unsafePoll())
      assert.strictEqual(fake.live, 0)
    }))

  it.effect("R13: the pool closes with the scope that it was made in", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const scope = yield* Scope.make()
      const pool = yield* Scope.extend(ElasticPool.make(fake.options), scope)
      yield* fill(pool, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(fake.live, 0)
      assert.deepInclude((yield* Caller.ask(pool)).failure, { _tag: "PoolClosed" })
    }))
})

describe("R14: time", () => {
  it.scoped("R14: policy time is the clock in force where the pool is built, not where it is used", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const limits = { maxsize: 1, maxwait: "200 millis", expires: "10 minutes", minsize: 0 } as const
      const pool = yield* makePool({ ...fake.options, ...limits })
      const other = yield* WatchedClock.make
      other.ahead = 10_000_000
      const holder = yield* Effect.withClock(Caller.ask(pool), other)
      const waiter = yield* Effect.withClock(Caller.ask(pool), other)
      yield* TestClock.adjust("199 millis")
      assert.strictEqual(fake.dials, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(waiter.value?.id, 2)
      yield* Effect.withClock(holder.release, other)
      yield* Effect.withClock(waiter.interrupt, other)
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      yield* TestClock.adjust("10 minutes")
      assert.sameMembers(fake.closed, [1, 2])
      assert.strictEqual(other.sleeps, 0)
    }))

  it.scoped("R14: leakThreshold is policy time as well", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const clock = yield* WatchedClock.make
      const other = yield* WatchedClock.make
      const pool = yield* makePool({ ...fake.options, leakThreshold: "1 minute" }, clock)
      yield* fill(pool, 1)
      yield* Effect.withClock(Caller.ask(pool), other)
      assert.strictEqual(other.sleeps, 0)
    }))

  it.scoped("R14: deadlines on I/O are the second clock's: a TestClock does not move them", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const io = yield* WatchedClock.make
      const policy = Clock.make()
      const pool = yield* makePool({ ...fake.options, ioClock: io, maxsize: 1, maxoverflow: 1 }, policy)
      yield* Caller.ask(pool)
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual((yield* pool.stats).opening, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* pool.stats).opening, 0)
      assert.isAbove(io.sleeps, 1)
    }))

  it.scoped("R14: with a TestClock as the pool's and real time as the I/O's, an hour of policy fails no connect", () =>
    Effect.gen(function*() {
      const answered = yield* Deferred.make<void>()
      const fake = new FakeResource({ connect: Deferred.await(answered) })
      const pool = yield* makePool({
        ...fake.options,
        ioClock: Clock.make(),
        connectTimeout: "1 minute",
        acquireTimeout: "1 day",
        outageTimeout: "1 day"
      })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 hour")
      assert.isTrue(caller.isWaiting)
      assert.strictEqual((yield* pool.stats).closed.failed, 0)
      yield* Deferred.succeed(answered, undefined)
      const exit = yield* Fiber.await(caller.fiber)
      assert.isTrue(Exit.isSuccess(exit))
      yield* caller.release
    }))

  it.scoped("R14: with real time for I/O, deadlines pass while a TestClock stands still", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? stuck : ok, reset: hang })
      const pool = yield* makePool({
        ...fake.withReset,
        ioClock: Clock.make(),
        maxsize: 1,
        maxoverflow: 1,
        connectTimeout: "20 millis",
        cleanupTimeout: "20 millis"
      })
      const caller = yield* Caller.ask(pool)
      yield* Fiber.await(caller.fiber)
      assert.strictEqual(caller.value?.id, 2)
      yield* caller.release
      const next = yield* Caller.ask(pool)
      yield* Fiber.await(next.fiber)
      assert.strictEqual(next.value?.id, 3)
      yield* next.release
    }))
})
