import { assert, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, hang, ok, slow } from "../support/fakeResource.js"
import { fill, makePool, withLogs } from "../support/testPool.js"

const durations = [
  "maxwait",
  "acquireTimeout",
  "expires",
  "idleTimeout",
  "connectTimeout",
  "outageTimeout",
  "validateAfterIdle",
  "cleanupTimeout",
  "closeTimeout",
  "leakThreshold"
]

const mustBePositive = ["expires", "idleTimeout", "connectTimeout", "cleanupTimeout", "leakThreshold"]

const refused = (options: object) =>
  Effect.gen(function*() {
    const fake = new FakeResource()
    const exit = yield* Effect.exit(Effect.scoped(ElasticPool.make({ ...fake.options, ...options })))
    assert.ok(Exit.isFailure(exit), "was accepted")
    assert.ok(exit.cause._tag === "Die", "is a defect")
    assert.isTrue(Cause.isIllegalArgumentException(exit.cause.defect))
    assert.strictEqual(fake.dials, 0)
    return (exit.cause.defect as Error).message
  })

const show = (value: unknown) =>
  typeof value === "number" ? String(value) : typeof value === "bigint" ? `${value}n` : JSON.stringify(value)

describe("R25: a bad option is a defect that names the option, the value and what is allowed", () => {
  const badNumbers: ReadonlyArray<[string, unknown, object?]> = [
    ...["maxsize", "maxoverflow", "maxUses", "maxWaiting", "connectConcurrency"].map((
      name
    ): [string, unknown] => [name, 0]),
    ...["maxsize", "maxoverflow", "minsize", "maxUses", "maxWaiting", "connectConcurrency", "warm"].flatMap((name) =>
      [-1, 1.5, NaN, Infinity, "x", "5", null].map((value): [string, unknown] => [name, value])
    ),
    ["maxoverflow", 3, { maxsize: 4 }],
    ["minsize", 3, { maxsize: 2 }],
    ["warm", 3, { maxsize: 2 }]
  ]
  for (const [name, value, others] of badNumbers) {
    const given = others === undefined ? "" : ` with ${JSON.stringify(others)}`
    it.effect(`${name}: ${show(value)}${given}`, () =>
      Effect.gen(function*() {
        const message = yield* refused({ ...others, [name]: value })
        assert.isTrue(message.startsWith(`${name}: `), message)
        assert.include(message, show(value))
        assert.match(message, /must be a whole number (of at least|from) \d/)
        if (others !== undefined) assert.match(message, /\(not (less|more) than maxsize\)/)
      }))
  }

  for (const name of durations) {
    for (const value of [-1, -1n, NaN, Infinity, "soon", "-1 millis", "Infinity", Duration.infinity, {}, true, [1]]) {
      it.effect(`${name}: ${show(value)}`, () =>
        Effect.gen(function*() {
          const message = yield* refused({ [name]: value })
          assert.isTrue(message.startsWith(`${name}: `), message)
          assert.include(message, "a finite duration")
          assert.include(message, "milliseconds")
          if (typeof value === "number" || typeof value === "string") assert.include(message, String(value))
        }))
    }
    if (mustBePositive.includes(name)) {
      it.effect(`${name}: 0`, () =>
        Effect.gen(function*() {
          assert.match(yield* refused({ [name]: 0 }), new RegExp(`^${name}: 0 .*of a millisecond or more`))
        }))
    }
  }

  it.effect("maxwait: \"automatic\", where \"auto\" is allowed, and only there", () =>
    Effect.gen(function*() {
      const message = yield* refused({ maxwait: "automatic" })
      assert.match(message, /^maxwait: "automatic" is not allowed, .*a finite duration .*, or "auto"$/)
      assert.notInclude(yield* refused({ acquireTimeout: "auto" }), "or \"auto\"")
    }))

  for (const value of [1, -0.1, 2, NaN, "0.1"]) {
    it.effect(`expiresJitter: ${show(value)}`, () =>
      Effect.gen(function*() {
        const message = yield* refused({ expiresJitter: value })
        assert.isTrue(message.startsWith("expiresJitter: "), message)
        assert.include(message, String(value))
        assert.include(message, "from 0 up to, but not including, 1")
      }))
  }

  for (const value of ["1 second", 5, {}, Effect.void]) {
    it.effect(`connectRetry: ${show(value)}`, () =>
      Effect.gen(function*() {
        const message = yield* refused({ connectRetry: value })
        assert.isTrue(message.startsWith("connectRetry: "), message)
        assert.include(message, "a Schedule")
      }))
  }
})

describe("R25: options that are allowed", () => {
  for (
    const value of ["1 second", 1000, 1_000_000_000n, Duration.seconds(1), [1, 0]] as ReadonlyArray<
      Duration.DurationInput
    >
  ) {
    it.scoped(`durations are DurationInput: ${show(value)}`, () =>
      Effect.gen(function*() {
        const options = Object.fromEntries(durations.map((name) => [name, value]))
        yield* makePool({ ...new FakeResource().options, ...options })
      }))
  }

  it.scoped("a bare number is milliseconds", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, acquireTimeout: 500 })
      yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust(500)
      assert.deepInclude(waiter.failure, { _tag: "PoolExhausted", waited: 500 })
    }))

  it.scoped("undefined is the same as nothing", () =>
    Effect.gen(function*() {
      const pool = yield* ElasticPool.make({
        ...new FakeResource().options,
        ...Object.fromEntries(
          [...durations, "maxsize", "maxoverflow", "minsize", "warm"].map((name) => [name, undefined])
        )
      })
      assert.deepInclude(yield* pool.stats, { maxsize: 10, maxoverflow: 20 })
    }))

  for (
    const [given, effective] of [
      [{}, { maxsize: 10, maxoverflow: 20 }],
      [{ maxsize: 2 }, { maxsize: 2, maxoverflow: 20 }],
      [{ maxsize: 30 }, { maxsize: 30, maxoverflow: 30 }],
      [{ maxoverflow: 5, minsize: 0 }, { maxsize: 5, maxoverflow: 5 }],
      [{ maxoverflow: 50 }, { maxsize: 10, maxoverflow: 50 }],
      [{ maxsize: 4, maxoverflow: 4 }, { maxsize: 4, maxoverflow: 4 }]
    ] as const
  ) {
    it.scoped(`limits: ${JSON.stringify(given)} gives ${JSON.stringify(effective)}`, () =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...given })
        assert.deepInclude(yield* pool.stats, effective)
      }))
  }

  it.scoped("maxWaiting: past this queue a caller fails with PoolQueueFull at once, others wait on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, maxWaiting: 2 })
      const holder = yield* Caller.ask(pool)
      const [first, second, third] = yield* Caller.askTimes(pool, 3)
      assert.isTrue(first.isWaiting && second.isWaiting)
      assert.ok(third.failure?._tag === "PoolQueueFull")
      assert.strictEqual(third.failure.maxWaiting, 2)
      assert.deepInclude(third.failure.stats, { waiting: 2, busy: 1 })
      assert.match(third.failure.message, /^As many callers as maxWaiting allows, 2, wait already .* \(1 busy, 0 idle/)
      yield* holder.release
      assert.isDefined(first.value)
      assert.isTrue((yield* Caller.ask(pool)).isWaiting)
    }))

  it.scoped("maxWaiting: callers whom the pool can open a connection for are not refused", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("50 millis") })
      const pool = yield* makePool({ ...fake.options, maxsize: 10, maxWaiting: 2 })
      const callers = yield* Caller.askTimes(pool, 10)
      yield* TestClock.adjust("1 second")
      assert.isTrue(areAll(callers, ({ value }) => value !== undefined))
    }))

  it.scoped("warm: so many are opened in the background when the pool is made, and kept", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, warm: 3 })
      assert.deepInclude(yield* pool.stats, { opening: 3, idle: 0 })
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* pool.stats, { opening: 0, idle: 3, opened: 3 })
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(fake.dials, 3)
    }))

  it.scoped("warm: making the pool succeeds while nothing can be opened, and callers are served as ever", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id <= 2 ? Effect.fail("permanent") : ok })
      const pool = yield* makePool({ ...fake.options, warm: 2 })
      yield* TestClock.adjust("1 second")
      assert.isDefined((yield* Caller.ask(pool)).value)
    }))

  it.scoped("warm: a caller takes a connection that is being opened for warmth", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("100 millis") })
      const pool = yield* makePool({ ...fake.options, warm: 1 })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(caller.value?.id, 1)
      assert.strictEqual(fake.dials, 1)
    }))

  for (const how of ["use", "get"] as const) {
    it.scoped(`leakThreshold: a warning about a connection held longer, with where it was taken (${how})`, () =>
      withLogs((logs) =>
        Effect.gen(function*() {
          const fake = new FakeResource()
          const pool = yield* makePool({ ...fake.options, leakThreshold: "1 minute" })
          yield* Effect.forkScoped(
            (how === "use" ? pool.use(() => Effect.never) : Effect.zipRight(pool.get, Effect.never)).pipe(
              Effect.withSpan("report"),
              Effect.scoped
            )
          )
          yield* TestClock.adjust("59999 millis")
          assert.deepStrictEqual(logs, [])
          yield* TestClock.adjust("1 millis")
          assert.strictEqual(logs.length, 1)
          assert.match(logs[0], /^WARN A connection has been held for more than 1m: taken in report /)
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(logs.length, 1)
        })
      ))
  }

  it.scoped("leakThreshold: no warning about a connection that was given back in time", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, leakThreshold: "1 minute" })
        yield* fill(pool, 2)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(logs, [])
      })
    ))
})

describe("R25: stats", () => {
  it.scoped("size is the sum of the states at every moment, and each state is counted", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 5 ? hang : ok, reset: hang, close: hang })
      const pool = yield* makePool({
        ...fake.withReset,
        maxsize: 5,
        needsReset: ({ id }) => id === 1,
        maxoverflow: 5,
        acquireTimeout: "1 minute"
      })
      const callers = yield* Caller.askTimes(pool, 4)
      yield* callers[0].release
      yield* pool.invalidate(callers[1].value!)
      yield* callers[1].release
      yield* callers[2].release
      assert.deepInclude(yield* pool.stats, { busy: 1, idle: 1, checking: 1, closing: 1, opening: 0, size: 4 })
      yield* Caller.askTimes(pool, 3)
      assert.deepInclude(yield* pool.stats, {
        busy: 2,
        idle: 0,
        checking: 1,
        closing: 1,
        opening: 1,
        size: 5,
        waiting: 2,
        acquired: 5,
        opened: 4,
        timeouts: 0
      })
    }))

  it.scoped("stats is a snapshot: it does not change afterwards", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxUses: 1 })
      const before = yield* pool.stats
      yield* (yield* Caller.ask(pool)).release
      assert.deepInclude(before, { acquired: 0, opened: 0 })
      assert.strictEqual(before.closed.used, 0)
      assert.strictEqual((yield* pool.stats).closed.used, 1)
    }))

  it.scoped("a connect that failed is closed for the reason failed, and not opened", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: Effect.fail("permanent") })
      const pool = yield* makePool(fake.options)
      yield* Caller.ask(pool)
      assert.deepInclude(yield* pool.stats, { opened: 0, size: 0 })
      assert.strictEqual((yield* pool.stats).closed.failed, 1)
    }))
})
