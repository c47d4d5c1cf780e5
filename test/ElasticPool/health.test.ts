/** The health of a pool of scripted resources, whose clocks stand still until the test moves them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { HealthCheck } from "../../src/internal/watch/health.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { Caller, fail, failTransiently, FakeResource, hang, ok, settle, stuck } from "../support/fakeResource.js"
import { HeldClock } from "../support/heldClock.js"
import { fill } from "../support/testPool.js"

/** A pool, its health, and what is dialled beside it. Nothing of it retries by itself. */
const make = (beside = ok, options: Partial<ElasticPool.ResourceOptions<Fake, FakeFailure, never>> = {}) =>
  Effect.gen(function*() {
    const clock = new HeldClock()
    const fake = new FakeResource()
    const dials = new FakeResource({ connect: beside })
    const pass = (millis: number) => Effect.zipRight(Effect.sync(() => clock.pass(millis)), settle)
    const scope = yield* Effect.acquireRelease(
      Scope.make(),
      (scope) => Effect.zip(Scope.close(scope, Exit.void), Effect.repeatN(pass(1000), 10), { concurrent: true })
    )
    const state = yield* makeState({
      ...fake.withCheck,
      expires: "1 day",
      maxwait: "1 second",
      minsize: 0,
      ioClock: clock,
      ...options
    }).pipe(Effect.withClock(clock), Scope.extend(scope))
    const check = new HealthCheck(state, dials.acquire)
    yield* Scope.addFinalizer(scope, check.stop)
    return { check, clock, dials, fake, pass, pool: fromState(state) }
  })

/** What the health is, and how long that took. */
const timed = ({ check, clock, pass }: Effect.Effect.Success<ReturnType<typeof make>>) =>
  Effect.gen(function*() {
    const began = clock.unsafeCurrentTimeMillis()
    const fiber = yield* Effect.fork(check.health)
    yield* settle
    while (fiber.unsafePoll() === null) yield* pass(50)
    return { health: yield* Fiber.join(fiber), took: clock.unsafeCurrentTimeMillis() - began }
  })

const test = (title: string, body: () => Effect.Effect<void, unknown, Scope.Scope>) => it.scopedLive(title, body)

describe("R36: what the health of a pool rests on", () => {
  test("an answer younger than 5 seconds is trusted; then an idle connection is checked", () =>
    Effect.gen(function*() {
      const { check, dials, fake, pass, pool } = yield* make()
      yield* fill(pool, 1)
      yield* pass(4999)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      assert.deepStrictEqual(fake.checked, [])
      yield* pass(1)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      assert.deepStrictEqual(fake.checked, [1])
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      assert.deepStrictEqual(fake.checked, [1])
      assert.strictEqual(dials.dials, 0)
      assert.deepInclude(yield* pool.stats, { idle: 1, opened: 1 })
    }))

  test("many that ask share one check, and a caller that comes meanwhile gets the connection after it", () =>
    Effect.gen(function*() {
      const { check, clock, fake, pass, pool } = yield* make()
      yield* fill(pool, 3)
      yield* pass(5000)
      fake.check = Effect.withClock(Effect.sleep(100), clock)
      const many = yield* Effect.fork(Effect.all(Array.from({ length: 20 }, () => check.health), { concurrency: 20 }))
      yield* settle
      assert.deepInclude(yield* pool.stats, { idle: 2, checking: 1 })
      const caller = yield* Caller.ask(pool)
      assert.isTrue(caller.isWaiting)
      yield* pass(100)
      assert.deepStrictEqual(new Set((yield* Fiber.join(many)).map(({ _tag }) => _tag)), new Set(["Up"]))
      assert.deepStrictEqual(fake.checked, [3])
      assert.deepStrictEqual(caller.value, { id: 3 })
      yield* caller.release
    }))

  test("without an idle connection one is dialled beside the pool, closed at once, and trusted for 5 seconds", () =>
    Effect.gen(function*() {
      const { check, dials, fake, pass, pool } = yield* make()
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      assert.deepInclude(dials, { dials: 1, live: 0 })
      yield* pass(4999)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      assert.strictEqual(dials.dials, 1)
      yield* pass(1)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      assert.strictEqual(dials.dials, 2)
      assert.strictEqual(fake.dials, 0)
      assert.deepInclude(yield* pool.stats, { size: 0, acquired: 0, waited: 0 })
    }))

  test("many that ask share one dial, and for 5 seconds after it has failed there is no other", () =>
    Effect.gen(function*() {
      const { check, clock, dials, pass } = yield* make()
      yield* pass(7)
      dials.connect = Effect.withClock(Effect.sleep(100), clock).pipe(Effect.zipRight(fail))
      const many = yield* Effect.fork(Effect.all(Array.from({ length: 20 }, () => check.health), { concurrency: 20 }))
      yield* settle
      yield* pass(100)
      for (const health of yield* Fiber.join(many)) {
        assert.deepInclude(health, { _tag: "Unreachable", since: 107 })
        assert.deepInclude(health._tag === "Unreachable" && health.cause, { _tag: "FakeFailure", id: 1 })
      }
      for (let second = 1; second < 5; second++) {
        yield* pass(1000)
        assert.deepInclude(yield* check.health, { _tag: "Unreachable", since: 107 })
      }
      assert.strictEqual(dials.dials, 1)
      dials.connect = ok
      yield* pass(1000)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
    }))

  test("a connect of the pool that has failed a moment ago is an answer too; one that succeeds is a better one", () =>
    Effect.gen(function*() {
      const { check, dials, fake, pass, pool } = yield* make()
      fake.connect = failTransiently
      yield* pass(3)
      const caller = yield* Caller.ask(pool)
      yield* pass(40)
      const health = yield* check.health
      assert.deepInclude(health, { _tag: "Unreachable", since: 3 })
      assert.deepInclude(health._tag === "Unreachable" && health.cause, { _tag: "FakeFailure" })
      assert.strictEqual(dials.dials, 0)
      fake.connect = ok
      yield* pass(1000)
      yield* pass(0)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      yield* caller.release
      // Of the next outage, `since` is its own.
      yield* pool.evict({ now: true })
      yield* settle
      fake.connect = failTransiently
      const next = yield* Caller.ask(pool)
      assert.deepInclude(yield* check.health, { _tag: "Unreachable", since: 1043 })
      yield* next.interrupt
    }))

  test("a connection that is well is an answer while connects fail", () =>
    Effect.gen(function*() {
      const { check, fake, pool } = yield* make()
      yield* fill(pool, 1)
      const holder = yield* Caller.ask(pool)
      fake.connect = failTransiently
      const waiter = yield* Caller.ask(pool)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      yield* waiter.interrupt
      yield* holder.release
    }))
})

describe("R36, R14: health answers within a second, by the clock of I/O", () => {
  for (const [what, step] of [["hangs", hang], ["hangs and can't be interrupted", stuck]] as const) {
    test(`where all ${what}`, () =>
      Effect.gen(function*() {
        const world = yield* make(step)
        const { dials, fake, pass, pool } = world
        yield* fill(pool, 3)
        yield* pass(5000)
        fake.check = step
        fake.connect = step
        for (let round = 0; round < 4; round++) {
          const { health, took } = yield* timed(world)
          assert.strictEqual(health._tag, "Unreachable")
          assert.strictEqual(took, 1000)
        }
        assert.strictEqual(dials.dials, 1)
        const { health, took } = yield* Effect.uninterruptible(timed(world))
        assert.strictEqual(health._tag, "Unreachable")
        assert.strictEqual(took, 1000)
      }))
  }

  test("a dial that takes longer goes on, and the next one who asks hears of it", () =>
    Effect.gen(function*() {
      const world = yield* make()
      world.dials.connect = Effect.withClock(Effect.sleep(1500), world.clock)
      assert.strictEqual((yield* timed(world)).health._tag, "Unreachable")
      const { health, took } = yield* timed(world)
      assert.deepStrictEqual(health, { _tag: "Up" })
      assert.strictEqual(took, 500)
      assert.deepInclude(world.dials, { dials: 1, live: 0 })
    }))

  test("where a check hangs, a new connection shows that the server is there", () =>
    Effect.gen(function*() {
      const world = yield* make()
      yield* fill(world.pool, 1)
      yield* world.pass(5000)
      world.fake.check = hang
      const { health, took } = yield* timed(world)
      assert.deepStrictEqual(health, { _tag: "Up" })
      assert.isBelow(took, 1000)
    }))

  test("in a finaliser of a fiber that was interrupted", () =>
    Effect.gen(function*() {
      const world = yield* make(hang)
      const { check, pass } = world
      let seen = ""
      const ask = Effect.map(check.health, ({ _tag }) => void (seen = _tag))
      const fiber = yield* Effect.fork(Effect.ensuring(Effect.never, ask))
      yield* settle
      const end = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* settle
      assert.strictEqual(seen, "")
      yield* pass(1000)
      yield* Fiber.join(end)
      assert.strictEqual(seen, "Unreachable")
    }))
})

describe("R36: health leaves nothing behind", () => {
  test("the last one who asks takes the dial along when it is interrupted", () =>
    Effect.gen(function*() {
      const { check, dials } = yield* make(hang)
      const [first, second] = [yield* Effect.fork(check.health), yield* Effect.fork(check.health)]
      yield* settle
      yield* Fiber.interrupt(first)
      yield* settle
      assert.deepInclude(dials, { dials: 1, live: 1 })
      yield* Fiber.interrupt(second)
      yield* settle
      assert.deepInclude(dials, { dials: 1, live: 0 })
      dials.connect = ok
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
    }))

  test("a dial that still goes on ends with the pool", () =>
    Effect.gen(function*() {
      const world = yield* make(hang)
      yield* timed(world)
      assert.strictEqual(world.dials.live, 1)
      yield* world.check.stop
      assert.strictEqual(world.dials.live, 0)
    }))
})

describe("R36: full", () => {
  test("only where the hard limit is reached and a caller waits for another borrower", () =>
    Effect.gen(function*() {
      const { check, pass, pool } = yield* make(ok, { maxsize: 1, maxoverflow: 2, maxwait: 0 })
      const holders = yield* Caller.askTimes(pool, 2)
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      const waiter = yield* Caller.ask(pool)
      assert.deepStrictEqual(yield* check.health, { _tag: "Full", oldestWait: 0 })
      yield* pass(700)
      assert.deepStrictEqual(yield* check.health, { _tag: "Full", oldestWait: 700 })
      assert.deepInclude(yield* pool.stats, { waiting: 1 })
      yield* holders[0].release
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      yield* Effect.all([holders[1].release, waiter.release])
    }))

  test("not while a caller waits for a connect or a check that is for it", () =>
    Effect.gen(function*() {
      const { check, fake, pass, pool } = yield* make(ok, { maxsize: 1, maxoverflow: 1 })
      fake.connect = hang
      const first = yield* Caller.ask(pool)
      assert.deepInclude(yield* pool.stats, { waiting: 1, size: 1 })
      assert.deepStrictEqual(yield* check.health, { _tag: "Up" })
      const second = yield* Caller.ask(pool)
      yield* pass(20)
      assert.deepStrictEqual(yield* check.health, { _tag: "Full", oldestWait: 20 })
      yield* Effect.all([first.interrupt, second.interrupt])
    }))
})
