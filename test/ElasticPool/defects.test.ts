import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Logger, Random, Schedule, Scope, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import type { ElasticPoolState } from "../../src/internal/pool/pool.js"
import type { State } from "../../src/internal/pool/slot.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { Caller, FakeResource, settle, slow } from "../support/fakeResource.js"

const options = {
  maxsize: 2,
  maxoverflow: 3,
  maxwait: "10 millis",
  acquireTimeout: "20 seconds",
  connectRetry: Schedule.spaced(5)
} as const

type State_ = ElasticPoolState<Fake, FakeFailure>

/** The pool serves `maxoverflow` at once (I8), never more (I1), and nothing is left when it is closed (I5). */
const isWhole = (fake: FakeResource, pool: ElasticPool.ElasticPool<Fake, FakeFailure>, close: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const callers = yield* Caller.askTimes(pool, 3)
    yield* Effect.forEach(callers, ({ fiber }) => Fiber.join(fiber), { concurrency: "unbounded" })
    assert.deepInclude(yield* pool.stats, { busy: 3, size: 3, waiting: 0 })
    for (const caller of callers) yield* caller.release
    // Also what the closed ones have left: they count until their finaliser has run.
    assert.isAtMost(fake.highest, 3)
    yield* close
    assert.deepInclude(yield* pool.stats, { size: 0, waiting: 0 })
    assert.strictEqual(fake.live, 0)
  })

/** A pool in real time, with a check and a reset, on which something is tried; afterwards it must be whole. */
const tried = (
  attempt: (
    pool: ElasticPool.ElasticPool<Fake, FakeFailure>,
    state: State_,
    fake: FakeResource
  ) => Effect.Effect<unknown, unknown>,
  fake = new FakeResource({ check: slow(2), reset: slow(2) })
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const state = yield* Scope.extend(
      makeState({ ...fake.withReset, check: fake.withCheck.check, ...options }),
      scope
    )
    const pool = fromState(state)
    yield* attempt(pool, state, fake)
    yield* isWhole(fake, pool, Scope.close(scope, Exit.void))
  }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))

/** Something of everything: connects, a wait, resets, checks, an eviction. */
const use = (pool: ElasticPool.ElasticPool<Fake, FakeFailure>) =>
  Effect.gen(function*() {
    for (let i = 0; i < 2; i++) {
      yield* Effect.forEach(
        Array.from({ length: 4 }),
        () => Effect.exit(pool.use(() => Effect.sleep(15))),
        { concurrency: "unbounded" }
      )
      yield* Effect.exit(pool.evict())
    }
  })

const bug = () => {
  throw new Error("a bug")
}

describe("R6, I8: a defect in a connection's fiber costs one connection and no more", () => {
  const sources = {
    "dies": () => Effect.die("no dice"),
    "throws": bug,
    "never comes": () => Effect.never
  } as const
  for (const [how, next] of Object.entries(sources)) {
    for (const times of [1, Infinity]) {
      it.live(`chance that ${how}, ${times === 1 ? "once" : "always"}`, () =>
        Effect.gen(function*() {
          let left = times
          const random = Random.make("seed")
          const broken: Random.Random = Object.create(random, {
            next: { get: () => left-- > 0 ? Effect.suspend(next) : random.next }
          })
          yield* Effect.withRandom(tried((pool) => use(pool)), broken)
        }))
    }
  }

  for (let n = 0; n < 12; n++) {
    it.live(`a clock whose sleep number ${n} dies`, () => {
      let left = n
      return Effect.withClock(
        tried((pool) => use(pool)),
        brokenClock({ sleep: () => left-- === 0 })
      )
    })

    it.live(`a clock whose reading number ${n * 5} throws`, () => {
      // The pool can't be made without one.
      let left = n * 5 + 2
      return Effect.withClock(
        tried((pool) => use(pool)),
        brokenClock({ read: () => left-- === 0 })
      )
    })
  }

  for (const callback of ["opened", "openFailed", "ready", "lost", "closing"] as const) {
    for (const when of ["before", "after"] as const) {
      it.live(`${callback} throws ${when} it has done its work`, () => {
        const fake = new FakeResource({
          connect: (id) => id === 2 && callback === "openFailed" ? Effect.fail("transient" as const) : Effect.void,
          check: slow(2),
          reset: (id) => id === 1 && callback === "lost" ? Effect.never : slow(2)
        })
        let thrown = 0
        return Effect.zipRight(
          tried((pool, state) => {
            const owner: { [name in typeof callback]?: (...args: ReadonlyArray<any>) => void } =
              callback === "ready" || callback === "lost" ? state : state.supply
            const original = owner[callback]!.bind(owner)
            Object.assign(owner, {
              [callback]: (...args: ReadonlyArray<unknown>) => {
                if (thrown++ > 0) return original(...args)
                if (when === "after") original(...args)
                bug()
              }
            })
            return use(pool)
          }, fake),
          Effect.sync(() => assert.isAbove(thrown, 0))
        )
      })
    }
  }

  const states: ReadonlyArray<Exclude<State, "closing">> = ["opening", "idle", "busy", "checking"]
  for (const interrupted of states) {
    it.live(`a fiber that is interrupted by somebody else while its connection is ${interrupted}`, () =>
      tried((pool, state, fake) =>
        Effect.gen(function*() {
          if (interrupted === "opening") fake.connect = slow(50)
          fake.reset = slow(50)
          const caller = yield* Caller.ask(pool)
          if (interrupted !== "opening") yield* Fiber.join(caller.fiber)
          if (interrupted === "idle") fake.reset = Effect.void
          if (interrupted === "checking" || interrupted === "idle") yield* caller.release
          const [slot] = state["connections"].all
          assert.strictEqual(slot.state, interrupted)
          yield* Fiber.interrupt(slot.fiber!)
          yield* settle
          // The caller has never heard of it: it is served by another dial.
          if (interrupted === "opening") assert.deepStrictEqual((yield* Fiber.join(caller.fiber)).id, 2)
          yield* caller.release
          assert.deepInclude(fake.closed.concat(interrupted === "opening" ? [1] : []), 1)
        })
      ))
  }

  it.scoped("R18: where each one ends in a defect, nobody is failed for it, and the dials have their delays", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const state = yield* makeState({ ...fake.options, acquireTimeout: "20 seconds" })
      const { opened } = state.supply
      state.supply.opened = bug
      const caller = yield* Caller.ask(fromState(state))
      assert.strictEqual(fake.dials, 1)
      for (let i = 0; i < 10; i++) yield* Effect.zipRight(TestClock.adjust("1 second"), settle)
      assert.isTrue(caller.isWaiting)
      assert.isAbove(fake.dials, 3)
      assert.isBelow(fake.dials, 100)
      assert.strictEqual(fake.live, 0)
      state.supply.opened = opened
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.isDefined(caller.value)
      yield* caller.release
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))
})

/** Real time, but for a reading or a sleep that fails. */
const brokenClock = ({ read = () => false, sleep = () => false }: {
  readonly read?: () => boolean
  readonly sleep?: () => boolean
}): Clock.Clock => {
  const clock = Clock.make()
  return Object.create(clock, {
    unsafeCurrentTimeNanos: { value: () => read() ? bug() : clock.unsafeCurrentTimeNanos() },
    unsafeCurrentTimeMillis: { value: () => read() ? bug() : clock.unsafeCurrentTimeMillis() },
    sleep: {
      value: (...args: Parameters<Clock.Clock["sleep"]>) => sleep() ? Effect.die("no timer") : clock.sleep(...args)
    }
  })
}
