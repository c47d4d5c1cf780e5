import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, MetricLabel, Scope, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import type { PoolStats } from "effect-pgpool/PoolStats"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { poolName } from "../../src/internal/watch/catalogue.js"
import { Instruments } from "../../src/internal/watch/instruments.js"
import { PoolMetrics } from "../../src/internal/watch/metrics.js"
import { areAll } from "../support/areAll.js"
import { Caller, fail, FakeResource, hang, settle, slow } from "../support/fakeResource.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { sampleOf, samplesOf, valueOf } from "../support/metrics.js"

type Options = Partial<ElasticPool.ResourceOptions<Fake, FakeFailure, never>>

let pools = 0

/** The registry is that of the process: each test has a name of its own. */
const freshName = () => `metrics-${++pools}`

/** A pool with the metrics of a `PgPool`. */
const makeMeasured = (
  name: string,
  fake: FakeResource,
  options: Options = {},
  labels: ReadonlyArray<MetricLabel.MetricLabel> = []
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    // A borrower that keeps its resource must not hold up the end of the test.
    const close = Effect.gen(function*() {
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(closing)
    })
    yield* Effect.addFinalizer(() => close)
    const instruments = new Instruments(labels, { [poolName]: name })
    const state = yield* Scope.extend(
      makeState<Fake, FakeFailure, never>({ ...fake.withCheck, expiresJitter: 0, ...options }, {
        share: 1,
        canShare: () => false,
        makeMeter: (pool) => new PoolMetrics(pool, instruments)
      }),
      scope
    )
    return { pool: fromState(state), close }
  })

const count = "db.client.connection.count"

const states = (name: string) => ({
  opening: valueOf(name, count, "opening"),
  idle: valueOf(name, count, "idle"),
  busy: valueOf(name, count, "used"),
  checking: valueOf(name, count, "checking"),
  closing: valueOf(name, count, "closing")
})

const statesOf = ({ busy, checking, closing, idle, opening }: PoolStats) => ({ opening, idle, busy, checking, closing })

/** Metrics of what is there now. */
const ofNow = (name: string) =>
  samplesOf(name).filter(({ kind }) => kind === "gauge" || kind === "upDownCounter").map(({ value }) => value)

describe("R41: metrics say what happens in the pool", () => {
  it.scoped("connections by state, at each step of their life", () =>
    Effect.gen(function*() {
      const name = freshName()
      const fake = new FakeResource({ connect: slow(10), check: slow(10), close: slow(10) })
      const { pool } = yield* makeMeasured(name, fake, { maxsize: 2, validateAfterIdle: "1 second" })
      const seen = new Set<string>()
      const look = Effect.gen(function*() {
        const now = states(name)
        assert.deepStrictEqual(now, statesOf(yield* pool.stats))
        for (const [state, n] of Object.entries(now)) if (n === 1) seen.add(state)
      })
      const caller = yield* Caller.ask(pool)
      yield* look
      yield* TestClock.adjust(10)
      yield* look
      yield* caller.release
      yield* look
      yield* TestClock.adjust("2 seconds")
      const next = yield* Caller.ask(pool)
      yield* look
      yield* TestClock.adjust(10)
      yield* pool.invalidate(next.value!)
      yield* next.release
      yield* look
      yield* TestClock.adjust(10)
      yield* look
      assert.deepStrictEqual([...seen], ["opening", "busy", "idle", "checking", "closing"])
      assert.strictEqual(valueOf(name, "effect_pgpool.connection.closed", "invalidated"), 1)
      assert.strictEqual(valueOf(name, "effect_pgpool.connection.closed", "expired"), 0)
    }))

  it.scoped("how long connects took, callers waited and held: in seconds", () =>
    Effect.gen(function*() {
      const name = freshName()
      const fake = new FakeResource({ connect: slow(40) })
      const { pool } = yield* makeMeasured(name, fake, { maxsize: 1, maxoverflow: 1 })
      assert.isUndefined(sampleOf(name, "db.client.connection.create_time"))
      const first = yield* Caller.ask(pool)
      const second = yield* Caller.ask(pool)
      assert.strictEqual(valueOf(name, "db.client.connection.pending_requests"), 2)
      yield* TestClock.adjust(40)
      assert.strictEqual(valueOf(name, "db.client.connection.pending_requests"), 1)
      yield* TestClock.adjust(2000)
      yield* first.release
      yield* second.release
      const times = (metric: string) => {
        const { sum, value } = sampleOf(name, metric)!
        return [value, sum]
      }
      assert.deepStrictEqual(times("db.client.connection.create_time"), [1, 0.04])
      assert.deepStrictEqual(times("db.client.connection.wait_time"), [2, 0.04 + 2.04])
      assert.deepStrictEqual(times("db.client.connection.use_time"), [2, 2])
      assert.strictEqual(valueOf(name, "effect_pgpool.connection.requests", "served"), 2)
    }))

  it.scoped("callers by what became of them, timeouts, overflow and connects that fail", () =>
    Effect.gen(function*() {
      const name = freshName()
      const fake = new FakeResource({ connect: (id) => id === 3 ? fail : slow(0) })
      const { pool } = yield* makeMeasured(name, fake, {
        maxsize: 1,
        maxoverflow: 2,
        maxwait: 100,
        acquireTimeout: 1000,
        maxWaiting: 1
      })
      const overflow = () => valueOf(name, "effect_pgpool.connection.overflow")
      const requests = (outcome: string) => valueOf(name, "effect_pgpool.connection.requests", outcome)
      const first = yield* Caller.ask(pool)
      yield* TestClock.adjust(1)
      assert.strictEqual(overflow(), 0)
      const second = yield* Caller.ask(pool)
      yield* TestClock.adjust(101)
      assert.strictEqual(overflow(), 1)
      const third = yield* Caller.ask(pool)
      yield* Caller.ask(pool)
      assert.strictEqual(requests("queueFull"), 1)
      yield* TestClock.adjust(1000)
      assert.strictEqual(requests("acquireTimeout"), 1)
      assert.strictEqual(valueOf(name, "db.client.connection.timeouts"), 1)
      const fourth = yield* Caller.ask(pool)
      yield* fourth.interrupt
      assert.strictEqual(requests("interrupted"), 1)
      yield* pool.invalidate(first.value!)
      yield* pool.invalidate(second.value!)
      yield* first.release
      yield* second.release
      yield* settle
      yield* Caller.ask(pool)
      yield* TestClock.adjust(1)
      assert.strictEqual(requests("failed"), 1)
      assert.strictEqual(valueOf(name, "effect_pgpool.connection.connect_failures"), 1)
      assert.strictEqual(requests("served"), 2)
      assert.isUndefined(third.value)
    }))

  it.scoped("a caller whose connection is lost before it has it is one request and one use", () =>
    Effect.gen(function*() {
      const name = freshName()
      const { pool } = yield* makeMeasured(name, new FakeResource(), { maxsize: 1, maxoverflow: 1 })
      const holder = yield* Caller.ask(pool)
      const first = yield* Effect.fork(pool.use(() => Effect.void))
      const second = yield* Effect.fork(pool.use(() => Effect.void))
      yield* settle
      // In one step: its fiber has not gone on when its connection is lost.
      yield* Effect.zipRight(holder.letGo, pool.invalidate(holder.value!))
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      const requests = (outcome: string) => valueOf(name, "effect_pgpool.connection.requests", outcome)
      const uses = () => sampleOf(name, "db.client.connection.use_time")!.value
      assert.deepStrictEqual([requests("served"), uses()], [3, 3])
      const last = yield* Caller.ask(pool)
      const interrupted = yield* Effect.fork(pool.use(() => Effect.void))
      yield* settle
      // It is handed the connection, and interrupted in the same step.
      yield* Effect.zipRight(last.letGo, Effect.sync(() => interrupted.unsafeInterruptAsFork(interrupted.id())))
      yield* settle
      assert.deepStrictEqual([requests("served"), requests("interrupted"), uses()], [4, 1, 4])
      assert.strictEqual(sampleOf(name, "db.client.connection.wait_time")!.value, 4)
    }))

  it.scoped("the wait of the oldest caller rises while nobody is served, and is 0 after that", () =>
    Effect.gen(function*() {
      const name = freshName()
      const { pool } = yield* makeMeasured(name, new FakeResource(), { maxsize: 1, maxoverflow: 1 })
      const oldest = () => valueOf(name, "effect_pgpool.connection.oldest_wait")
      const first = yield* Caller.ask(pool)
      assert.strictEqual(oldest(), 0)
      const second = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(oldest(), 1)
      yield* Caller.ask(pool)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(oldest(), 5)
      // The next one is the oldest now.
      yield* first.release
      yield* TestClock.adjust("1 second")
      assert.strictEqual(oldest(), 5)
      yield* second.release
      assert.strictEqual(oldest(), 0)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(oldest(), 0)
    }))

  it.scoped("connections that are held for longer than leakThreshold, once each", () =>
    Effect.gen(function*() {
      const name = freshName()
      const { pool } = yield* makeMeasured(name, new FakeResource(), { maxsize: 2, leakThreshold: "10 seconds" })
      const leaked = () => valueOf(name, "effect_pgpool.connection.leaked")
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(leaked(), 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(leaked(), 1)
      yield* TestClock.adjust("1 minute")
      yield* second.release
      assert.strictEqual(leaked(), 1)
    }))

  it.scoped("the limits, also after a resize", () =>
    Effect.gen(function*() {
      const name = freshName()
      const { pool } = yield* makeMeasured(name, new FakeResource(), { minsize: 1, maxsize: 3, maxoverflow: 7 })
      const limits = () =>
        ["idle.min", "idle.max", "max"].map((limit) => valueOf(name, `db.client.connection.${limit}`))
      assert.deepStrictEqual(limits(), [1, 3, 7])
      yield* pool.resize({ maxsize: 2, maxoverflow: 9 })
      assert.deepStrictEqual(limits(), [1, 2, 9])
    }))

  it.scoped("what is there now is 0 after the close; what was counted stays", () =>
    Effect.gen(function*() {
      const name = freshName()
      const fake = new FakeResource({ connect: (id) => id === 3 ? hang : slow(0) })
      const { close, pool } = yield* makeMeasured(name, fake, { minsize: 1, maxsize: 2, maxoverflow: 3, maxwait: 0 })
      const callers = yield* Caller.askTimes(pool, 3)
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(areAll(ofNow(name).slice(0, 1), (value) => value > 0))
      yield* callers[0].release
      yield* close
      assert.isTrue(areAll(ofNow(name), (value) => value === 0), JSON.stringify(samplesOf(name)))
      assert.strictEqual(valueOf(name, "effect_pgpool.connection.requests", "served"), 3)
      yield* pool.resize({ maxsize: 4, maxoverflow: 8 })
      assert.isTrue(areAll(ofNow(name), (value) => value === 0), "resized after the close")
    }))

  it.scoped("two pools of one name add up", () =>
    Effect.gen(function*() {
      const name = freshName()
      const one = yield* makeMeasured(name, new FakeResource(), { maxsize: 2, maxoverflow: 2 })
      const two = yield* makeMeasured(name, new FakeResource(), { maxsize: 3, maxoverflow: 5 })
      yield* Caller.ask(one.pool)
      yield* Caller.ask(two.pool)
      yield* Caller.ask(two.pool)
      assert.strictEqual(valueOf(name, count, "used"), 3)
      assert.strictEqual(valueOf(name, "db.client.connection.max"), 7)
      yield* one.close
      assert.strictEqual(valueOf(name, count, "used"), 2)
      assert.strictEqual(valueOf(name, "db.client.connection.max"), 5)
    }))

  it.scoped("the labels of the program are kept, and those of the pool win", () =>
    Effect.gen(function*() {
      const name = freshName()
      const labels = [MetricLabel.make("service", "shop"), MetricLabel.make("db.client.connection.state", "no")]
      yield* makeMeasured(name, new FakeResource(), {}, labels)
      assert.isTrue(areAll(samplesOf(name), ({ attributes }) => attributes["service"] === "shop"))
      assert.strictEqual(valueOf(name, count, "idle"), 0)
    }))
})
