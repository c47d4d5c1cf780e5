import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, TestClock } from "effect"
import type { ElasticPool, PoolError } from "effect-pgpool"
import type { RefusalReason } from "effect-pgpool/PoolStats"
import { use } from "../../src/internal/borrow.js"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import type { ElasticPoolState } from "../../src/internal/pool/pool.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { Caller, fail, failTransiently, FakeResource, hang, ok, settle, slow } from "../support/fakeResource.js"
import { fill, makeClosable, makePool } from "../support/testPool.js"

type Pool = ElasticPool.ElasticPool<Fake, FakeFailure>

const one = { maxsize: 1, maxoverflow: 1 }

const noRefusal = {
  acquireTimeout: 0,
  outageTimeout: 0,
  maxwait: 0,
  connectTimeout: 0,
  connectRetry: 0,
  handOver: 0,
  queueFull: 0,
  closed: 0
}

describe("R40: how long callers wait", () => {
  it.scoped("while the pool is suspended, time stands still for oldestWait", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one, suspendTimeout: "1 hour" })
      const oldestWait = Effect.map(pool.stats, ({ oldestWait }) => oldestWait)
      yield* Caller.ask(pool)
      yield* Caller.ask(pool)
      yield* TestClock.adjust("2 seconds")
      yield* Effect.forkScoped(pool.suspend)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* oldestWait, 2000)
      yield* pool.resume
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* oldestWait, 3000)
    }))

  it.scoped("oldestWait is that of the oldest that still waits; it is 0 where none does", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one })
      const oldestWait = Effect.map(pool.stats, ({ oldestWait }) => oldestWait)
      const holder = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* oldestWait, 0)
      const first = yield* Caller.ask(pool)
      yield* TestClock.adjust("2 seconds")
      const second = yield* Caller.ask(pool)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* oldestWait, 5000)
      yield* first.interrupt
      assert.strictEqual(yield* oldestWait, 3000)
      yield* holder.release
      assert.strictEqual(yield* oldestWait, 0)
      yield* second.release
    }))

  it.scoped("waited and waitedTotal count those that had to wait and were served, and no others", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("20 millis") })
      const pool = yield* makePool({ ...fake.options, ...one, acquireTimeout: "5 seconds" })
      const opener = yield* Effect.fork(pool.use(() => Effect.void))
      yield* TestClock.adjust("20 millis")
      yield* opener
      assert.deepInclude(yield* pool.stats, { acquired: 1, waited: 1, waitedTotal: 20 })
      const holder = yield* Caller.ask(pool)
      assert.deepInclude(yield* pool.stats, { acquired: 2, waited: 1, waitedTotal: 20 })
      const [patient, , leaver] = yield* Caller.askTimes(pool, 3)
      yield* TestClock.adjust("3 seconds")
      yield* leaver.interrupt
      yield* holder.release
      yield* TestClock.adjust("2 seconds")
      // The second has waited as long as it may.
      yield* patient.release
      assert.deepInclude(yield* pool.stats, { acquired: 3, waited: 2, waitedTotal: 3020, timeouts: 1 })
    }))

  it.scoped("heldTotal is of the loans that have ended", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(new FakeResource().options)
      const heldTotal = Effect.map(pool.stats, ({ heldTotal }) => heldTotal)
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* heldTotal, 0)
      yield* first.release
      assert.strictEqual(yield* heldTotal, 1000)
      yield* TestClock.adjust("2 seconds")
      yield* second.release
      assert.strictEqual(yield* heldTotal, 4000)
    }))

  it.scoped("the percentiles are of waits, loans and connects of the last minute by the pool's clock", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("5 millis") })
      const pool = yield* makePool({ ...fake.options, ...one })
      const opener = yield* Effect.fork(pool.use(() => Effect.sleep("7 millis")))
      yield* TestClock.adjust("12 millis")
      yield* opener
      yield* Effect.all(Effect.replicate(pool.use(() => Effect.void), 9))
      const none = { count: 0, p50: 0, p95: 0, p99: 0 }
      const { connectTimes, holdTimes, waitTimes } = yield* pool.stats
      assert.deepStrictEqual(connectTimes, { count: 1, p50: 5, p95: 5, p99: 5 })
      assert.deepStrictEqual(waitTimes, { count: 10, p50: 0, p95: 5, p99: 5 })
      assert.deepStrictEqual(holdTimes, { count: 10, p50: 0, p95: 7, p99: 7 })
      yield* TestClock.adjust("1 minute")
      const { acquired, ...later } = yield* pool.stats
      assert.deepInclude(later, { connectTimes: none, holdTimes: none, waitTimes: none, waitedTotal: 5, heldTotal: 7 })
      assert.strictEqual(acquired, 10)
    }))
})

describe("R40: the most at the same time", () => {
  it.scoped("peakBusy is of those that were lent, and peakSize of all that had a permit", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 4 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 10, maxoverflow: 10 })
      const callers = yield* Caller.askTimes(pool, 4)
      assert.deepInclude(yield* pool.stats, { busy: 3, opening: 1, peakBusy: 3, peakSize: 4 })
      for (const caller of callers.slice(0, 3)) yield* caller.release
      assert.deepInclude(yield* pool.stats, { busy: 1, peakBusy: 3, peakSize: 4 })
      yield* pool.evict({ now: true })
      yield* settle
      assert.deepInclude(yield* pool.stats, { peakBusy: 3, peakSize: 4 })
    }))

  it.scoped("a connection that goes from hand to hand counts once", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one })
      const callers = yield* Caller.askTimes(pool, 3)
      for (const caller of callers) yield* caller.release
      assert.deepInclude(yield* pool.stats, { acquired: 3, peakBusy: 1, peakSize: 1 })
    }))
})

describe("R40: connects that fail", () => {
  it.scoped("are counted, and the reason of the last one stays when others succeed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, connectRetry: Schedule.spaced("1 seconds") })
      assert.deepInclude(yield* pool.stats, { connectFailures: 0, lastConnectError: undefined })
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("2 seconds")
      fake.connect = ok
      yield* TestClock.adjust("1 seconds")
      assert.isFalse(caller.isWaiting)
      const { connectFailures, lastConnectError, opened } = yield* pool.stats
      assert.deepStrictEqual([connectFailures, opened], [3, 1])
      assert.deepInclude(lastConnectError, { _tag: "FakeFailure", id: 3 })
    }))

  it.scoped("one of a close is no failure", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: hang })
      const { close, pool } = yield* makeClosable(fake.options)
      yield* Caller.ask(pool)
      yield* close
      assert.deepInclude(yield* pool.stats, { connectFailures: 0, size: 0 })
    }))
})

describe("R40: refused", () => {
  const whenFull = "fail"

  /** Each makes the pool refuse one caller, for the reason that it is named after. */
  const ways: { readonly [reason in RefusalReason]: Effect.Effect<Pool, unknown, any> } = {
    acquireTimeout: Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one, acquireTimeout: "1 seconds" })
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1 seconds")
      return pool
    }),
    outageTimeout: Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, acquireTimeout: "1 seconds", outageTimeout: "2 seconds" })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("2 seconds")
      return pool
    }),
    maxwait: Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one, maxwait: "200 millis", whenFull })
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("200 millis")
      return pool
    }),
    connectTimeout: Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow("700 millis") })
      const limits = { maxsize: 2, connectConcurrency: 1, maxwait: 0, connectTimeout: "1 seconds", whenFull } as const
      const pool = yield* makePool({ ...fake.options, ...limits })
      // The second is owed the connect that begins after the first one.
      yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1 seconds")
      return pool
    }),
    connectRetry: Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, connectRetry: Schedule.recurs(1) })
      yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      return pool
    }),
    handOver: Effect.gen(function*() {
      // Well until it is lent.
      const isUsable = (): boolean => state.stats().busy === 0
      const shareable = { share: 1, canShare: () => false, isUsable }
      const state: ElasticPoolState<Fake, FakeFailure> = yield* makeState(
        { ...new FakeResource().options, ...one },
        shareable
      )
      const pool = fromState(state)
      yield* Caller.ask(pool)
      return pool
    }),
    queueFull: Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one, maxWaiting: 1 })
      yield* Caller.askTimes(pool, 3)
      return pool
    }),
    closed: Effect.gen(function*() {
      const { close, pool } = yield* makeClosable(new FakeResource().options)
      yield* close
      yield* Caller.ask(pool)
      return pool
    })
  }

  const timeLimits: ReadonlyArray<string> = ["acquireTimeout", "outageTimeout", "maxwait", "connectTimeout"]

  it.scoped("a caller that loses its connection before its use, and gets no other one, was served and is refused", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? ok : hang })
      const state = yield* makeState(
        { ...fake.options, ...one, acquireTimeout: "1 second" },
        { share: 1, canShare: () => false }
      )
      const lose = (a: Fake) => Effect.zipRight(Effect.sync(() => state.invalidate(a)), Effect.fail("unused"))
      const caller = yield* Effect.fork(Effect.flip(use(state, lose, { isUnused: () => true })))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(caller), { _tag: "PoolExhausted", limit: "acquireTimeout" })
      const { acquired, heldTotal, holdTimes, refused } = state.stats()
      assert.deepStrictEqual({ acquired, heldTotal, held: holdTimes.count }, { acquired: 1, heldTotal: 0, held: 0 })
      assert.deepStrictEqual(refused, { ...noRefusal, acquireTimeout: 1 })
    }))

  for (const [reason, way] of Object.entries(ways)) {
    it.scoped(`${reason}: one, and no other`, () =>
      Effect.gen(function*() {
        const { refused, timeouts } = yield* (yield* way).stats
        assert.deepStrictEqual(refused, { ...noRefusal, [reason]: 1 })
        // Those whose time was over.
        assert.strictEqual(timeouts, timeLimits.includes(reason) ? 1 : 0)
      }))
  }

  it.scoped("closed: also each caller that waits when the pool is closed", () =>
    Effect.gen(function*() {
      const { close, pool } = yield* makeClosable({ ...new FakeResource().options, ...one })
      yield* Caller.askTimes(pool, 4)
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(closing)
      assert.deepStrictEqual((yield* pool.stats).refused, { ...noRefusal, closed: 3 })
    }))

  it.scoped("timeouts is the sum of the time limits", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, ...one, acquireTimeout: "1 seconds", maxWaiting: 2 })
      yield* Caller.askTimes(pool, 4)
      yield* TestClock.adjust("1 seconds")
      yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      const { refused, timeouts } = yield* pool.stats
      assert.deepStrictEqual(refused, { ...noRefusal, acquireTimeout: 3, queueFull: 1 })
      assert.strictEqual(timeouts, 3)
    }))

  it.scoped("has no caller that was interrupted, nor one whose own connect failed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? fail : ok })
      const pool = yield* makePool({ ...fake.options, ...one })
      const failed = yield* Caller.ask(pool)
      assert.deepInclude(failed.failure, { _tag: "FakeFailure" })
      const [, leaver] = yield* Caller.askTimes(pool, 2)
      yield* leaver.interrupt
      assert.deepStrictEqual((yield* pool.stats).refused, noRefusal)
    }))

  it.scoped("has a caller as its error says: the stats of the error have counted it", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one, acquireTimeout: "1 seconds" })
      const [, late] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("1 seconds")
      const { limit, stats } = late.failure as PoolError.PoolExhausted
      assert.strictEqual(limit, "acquireTimeout")
      assert.strictEqual(stats.refused.acquireTimeout, 1)
    }))
})

describe("R40: leaked", () => {
  it.scoped("counts each loan once that is held for longer than leakThreshold, also beyond the lines of the log", () =>
    Effect.gen(function*() {
      const options = { maxsize: 20, maxoverflow: 20, leakThreshold: "10 seconds" } as const
      const pool = yield* makePool({ ...new FakeResource().options, ...options })
      yield* fill(pool, 20)
      const callers = yield* Caller.askTimes(pool, 20)
      yield* callers[0].release
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* pool.stats).leaked, 19)
      for (const caller of callers.slice(1)) yield* caller.release
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* pool.stats).leaked, 19)
    }))
})
