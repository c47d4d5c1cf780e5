import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schedule } from "effect"
import type { Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import { describe } from "vitest"
import { ioClock } from "../../src/internal/time/ioClock.js"
import { areAll } from "../support/areAll.js"
import { Caller, failTransiently, FakeResource, hang, ok, settle } from "../support/fakeResource.js"

const hour = 3_600_000

/** The system's clock is set; with the scope it is right again. */
const setClock = (by: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const now = Date.now
      Date.now = () => now.call(Date) + by
      return now
    }),
    (now) => Effect.sync(() => void (Date.now = now))
  )

/** For what takes real time, however slow the machine is. */
const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.zipRight(Effect.sleep(5), until(condition)))

for (const [how, by] of [["forward", hour], ["back", -hour]] as const) {
  describe(`R14: the system's clock is set ${how} by an hour`, () => {
    it.scopedLive("and nobody in the queue has waited for longer, or has to", () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* ElasticPool.make({ ...fake.options, maxsize: 1, maxoverflow: 1 })
        const holder = yield* Caller.ask(pool)
        const waiters = yield* Caller.askTimes(pool, 3)
        yield* setClock(by)
        const newcomer = yield* Caller.ask(pool)
        // What is due rings within this time.
        yield* Effect.sleep(100)
        yield* holder.release
        for (const waiter of [...waiters, newcomer]) {
          assert.deepStrictEqual(waiter.value, { id: 1 })
          yield* waiter.release
        }
        assert.deepInclude(yield* pool.stats, { timeouts: 0, idle: 1 })
      }))

    it.scopedLive("and maxwait and acquireTimeout pass", () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* ElasticPool.make({
          ...fake.options,
          maxsize: 1,
          maxoverflow: 2,
          maxwait: "20 millis",
          acquireTimeout: "60 millis"
        })
        const callers = yield* Caller.askTimes(pool, 3)
        yield* setClock(by)
        yield* until(() => areAll(callers, ({ isWaiting }) => !isWaiting))
        assert.strictEqual(fake.dials, 2)
        const { failure } = callers[2]
        assert.isTrue(failure?._tag === "PoolExhausted" && failure.waited < hour)
        for (const caller of callers) yield* caller.release
      }))

    it.scopedLive("and an outage is waited out", () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: failTransiently })
        const pool = yield* ElasticPool.make({
          ...fake.options,
          // Its end is known by the time that has gone by.
          connectRetry: Schedule.spaced(5).pipe(Schedule.upTo("10 minutes"))
        })
        const callers = yield* Caller.askTimes(pool, 3)
        yield* setClock(by)
        callers.push(yield* Caller.ask(pool))
        const { dials } = fake
        yield* until(() => fake.dials > dials + 3)
        assert.isTrue(areAll(callers, ({ isWaiting }) => isWaiting))
        fake.connect = ok
        yield* until(() => areAll(callers, ({ value }) => value !== undefined))
        for (const caller of callers) yield* caller.release
      }))

    it.scopedLive("and a connect that is under way has no less time", () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: (id) => id === 1 ? hang : ok })
        const pool = yield* ElasticPool.make({
          ...fake.options,
          maxsize: 1,
          maxoverflow: 1,
          connectTimeout: "10 minutes"
        })
        const caller = yield* Caller.ask(pool)
        yield* setClock(by)
        const other = yield* Caller.ask(pool)
        yield* Effect.sleep(100)
        assert.isTrue(caller.isWaiting && other.isWaiting)
        assert.deepInclude(yield* pool.stats, { waiting: 2, timeouts: 0 })
        assert.strictEqual((yield* pool.stats).closed.failed, 0)
        yield* caller.interrupt
        yield* other.interrupt
      }))

    it.scopedLive("and no connection is older, or was idle for longer", () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* ElasticPool.make({
          ...fake.withCheck,
          expires: "10 minutes",
          idleTimeout: "10 minutes",
          validateAfterIdle: "10 minutes",
          minsize: 0
        })
        const [one, other] = yield* Caller.askTimes(pool, 2)
        yield* one.release
        yield* setClock(by)
        yield* other.release
        yield* Effect.sleep(50)
        const callers = yield* Caller.askTimes(pool, 2)
        for (const caller of callers) yield* caller.release
        assert.deepInclude(fake, { dials: 2, checked: [], closed: [] })
      }))

    it.scopedLive("and idle connections expire all the same", () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* ElasticPool.make({ ...fake.options, expires: "200 millis", expiresJitter: 0, minsize: 0 })
        yield* pool.use(() => Effect.void)
        yield* setClock(by)
        yield* until(() => fake.closed.length === 1)
        assert.strictEqual((yield* pool.stats).closed.expired, 1)
      }))

    it.scopedLive("and a suspended pool stays so, and refuses nobody", () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* ElasticPool.make({ ...fake.options, suspendTimeout: "10 minutes" })
        yield* pool.suspend
        const early = yield* Caller.ask(pool)
        yield* setClock(by)
        const late = yield* Caller.ask(pool)
        yield* Effect.sleep(50)
        assert.deepInclude(yield* pool.stats, { state: "suspended", waiting: 2 })
        yield* pool.resume
        yield* settle
        for (const caller of [early, late]) {
          assert.isDefined(caller.value)
          yield* caller.release
        }
      }))

    it.scopedLive("and a pool that is drained serves those who wait", () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const pool = yield* ElasticPool.make({ ...fake.options, maxsize: 1, maxoverflow: 1 })
        const holder = yield* Caller.ask(pool)
        const waiter = yield* Caller.ask(pool)
        const drained = yield* Effect.fork(pool.drain)
        yield* setClock(by)
        yield* Effect.sleep(50)
        yield* holder.release
        assert.isDefined(waiter.value)
        yield* waiter.release
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(drained)))
      }))

    it.scopedLive("and what is known of hosts, and of a listener's health, is as old as before", () =>
      Effect.gen(function*() {
        const before = yield* ioClock.currentTimeMillis
        yield* setClock(by)
        assert.isBelow(Math.abs((yield* ioClock.currentTimeMillis) - before), hour / 2)
      }))
  })
}
