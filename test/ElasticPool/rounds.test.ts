/** When the pool is looked at for advice, and what of it gets into the log. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { RefusalLog } from "../../src/internal/pool/refusalLog.js"
import { Adviser } from "../../src/internal/watch/adviser.js"
import { Caller, FakeResource, settle } from "../support/fakeResource.js"
import { WatchedClock, withLogs } from "../support/testPool.js"

const make = (options: Partial<ElasticPool.PoolOptions> = {}) =>
  Effect.gen(function*() {
    const clock = yield* WatchedClock.make
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) =>
      Effect.zip(Scope.close(scope, Exit.void), TestClock.adjust("1 minute"), { concurrent: true }))
    const state = yield* makeState({
      ...new FakeResource().options,
      name: "shop",
      maxsize: 1,
      maxoverflow: 2,
      maxwait: "1 hour",
      acquireTimeout: "1 hour",
      minsize: 0,
      expires: "30 days",
      ...options
    }).pipe(Effect.withClock(clock), Scope.extend(scope))
    state.rounds.assign(new Adviser(state))
    state.refusals.logTo(new RefusalLog(state.env, state.env.log))
    const pool = fromState(state)
    /** A rush: all but one wait, for a second on average. */
    const rush = Effect.forkAll(Array.from({ length: 200 }, () =>
      pool.use(() => Effect.sleep(10)))).pipe(
        Effect.zipRight(TestClock.adjust("3 seconds"))
      )
    return { clock, pool, rush, close: Scope.close(scope, Exit.void) }
  })

const adviceOn = "WARN shop: 100 % of callers waited in the last minute, "

describe("R36: the advice in the log", () => {
  it.scoped("comes at the end of a minute, once, and not for a minute in which nobody waited", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool, rush } = yield* make()
        yield* rush
        yield* TestClock.adjust(56_999)
        assert.deepStrictEqual(logs, [])
        yield* TestClock.adjust(1)
        assert.strictEqual(logs.length, 1)
        assert.include(logs[0], adviceOn)
        assert.include(logs[0], "; maxsize 1 is low for this load")
        yield* Effect.repeatN(pool.use(() => Effect.void), 500)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(logs.length, 1)
        yield* rush
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(logs.length, 2)
      })
    ))

  it.scoped("I5: nothing sleeps for it once all is quiet, and it begins again with the next caller", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { clock, pool, rush } = yield* make({ maxwait: 0, maxoverflow: 1 })
        yield* pool.use(() => Effect.void)
        yield* TestClock.adjust("2 minutes")
        const { sleeps } = clock
        yield* TestClock.adjust("1 day")
        assert.strictEqual(clock.sleeps, sleeps)
        yield* rush
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(logs.length, 1)
        assert.include(logs[0], "maxoverflow 1 was reached")
      })
    ))

  it.scoped("I5: it goes on while a caller waits, and ends with the pool", () =>
    Effect.gen(function*() {
      const { clock, close, pool } = yield* make({ maxoverflow: 1, closeTimeout: 0 })
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* TestClock.adjust("5 minutes")
      assert.isAbove(clock.asleep, 0)
      yield* waiter.interrupt
      yield* holder.release
      yield* close
      yield* settle
      assert.strictEqual(clock.asleep, 0)
    }))

  it.scoped("a day in which few connections were used gets a line, and the day after a busy one does not", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool } = yield* make({ maxsize: 20, maxoverflow: 20 })
        const use = Effect.repeatN(pool.use(() => Effect.void), 99)
        const dayWith = (work: Effect.Effect<unknown, unknown>) =>
          Effect.repeatN(Effect.zipRight(work, TestClock.adjust("1 hour")), 23)
        yield* dayWith(use)
        yield* use
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs, ["INFO shop: never more than 1 of 20 in use for a day: maxsize can be lower"])
        const many = yield* Caller.askTimes(pool, 5)
        yield* Effect.all(many.map((caller) => caller.release))
        yield* dayWith(use)
        yield* use
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(logs.length, 1)
      })
    ))
})

describe("R36: callers that are refused, in the log", () => {
  const isNamedOnce = (line: string) => assert.lengthOf(line.match(/shop/g) ?? [], 1, line)

  it.scoped("at most one line a minute, with the holders; the others are counted", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool } = yield* make({ maxoverflow: 1, acquireTimeout: 10 })
        const holder = yield* Effect.withSpan(Caller.ask(pool), "transfer")
        yield* Caller.askTimes(pool, 3)
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(logs.length, 1)
        assert.include(logs[0], "WARN shop: A caller was refused. No connection after 10 ms (acquireTimeout: 10 ms)")
        assert.include(logs[0], "Held: 1 taken in transfer")
        isNamedOnce(logs[0])
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(logs.length, 2)
        assert.include(logs[1], "WARN shop: A caller was refused (and 1 more since the last line). No connection")
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(logs.length, 2)
        yield* holder.release
      })
    ))

  it.scoped("by a queue that is full", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool } = yield* make({ maxoverflow: 1, maxWaiting: 1 })
        const holder = yield* Effect.withSpan(Caller.ask(pool), "transfer")
        const waiter = yield* Caller.ask(pool)
        yield* Caller.ask(pool)
        assert.strictEqual(logs.length, 1)
        assert.include(logs[0], "As many callers as maxWaiting allows, 1, wait already")
        assert.include(logs[0], "Held: 1 taken in transfer")
        isNamedOnce(logs[0])
        yield* waiter.interrupt
        yield* holder.release
      })
    ))

  it.scoped("those that are in no line when the pool closes are in its last one; a closed pool has none", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { close, pool } = yield* make({ maxoverflow: 1, acquireTimeout: 10 })
        const holder = yield* Caller.ask(pool)
        yield* Caller.askTimes(pool, 3)
        yield* TestClock.adjust(10)
        yield* holder.release
        yield* close
        assert.strictEqual(logs.length, 2)
        assert.include(logs[1], "(and 1 more since the last line)")
        yield* Caller.ask(pool)
        assert.strictEqual(logs.length, 2)
      })
    ))
})
