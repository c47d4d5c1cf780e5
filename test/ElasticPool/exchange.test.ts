import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, TestClock } from "effect"
import { use } from "../../src/internal/borrow.js"
import type { Borrowing } from "../../src/internal/borrow.js"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { Caller, FakeResource, settle, slow } from "../support/fakeResource.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"

const make = (limits = { maxsize: 1, maxoverflow: 1 }, fake = new FakeResource()) =>
  Effect.gen(function*() {
    const state = yield* makeState<Fake, FakeFailure, never>({ ...fake.options, expiresJitter: 0, ...limits })
    const lendTo = <B, E2>(f: (a: Fake, another: Effect.Effect<Fake, unknown>) => Effect.Effect<B, E2>) =>
      use(state, (a, loan, borrowing: Borrowing<Fake, unknown>) => {
        let got = a
        const another = Effect.suspend(() => {
          state.invalidate(got)
          return Effect.map(borrowing.exchange((next) => got = next), () => got)
        })
        return f(a, another)
      })
    return { fake, lendTo, pool: fromState(state), state }
  })

const quiet = { busy: 0, waiting: 0, opening: 0, closing: 0 }

describe("R7: a resource is exchanged for another one while it is used", () => {
  it.scoped("R7: the caller goes on with that, and both go back: the lost one is closed", () =>
    Effect.gen(function*() {
      const { fake, lendTo, state } = yield* make()
      const ids = yield* lendTo((a, another) => Effect.map(another, ({ id }) => [a.id, id]))
      yield* settle
      assert.deepStrictEqual(ids, [1, 2])
      assert.deepStrictEqual(fake.closed, [1])
      assert.deepInclude(state.stats(), { ...quiet, idle: 1, size: 1, opened: 2 })
    }))

  it.scoped("R7: it counts as one caller who was served", () =>
    Effect.gen(function*() {
      const { lendTo, state } = yield* make()
      yield* lendTo((_, another) => another)
      yield* settle
      assert.deepInclude(state.stats(), { acquired: 1 })
    }))

  it.scoped("R12: interrupted while it waits for the other one, nothing is left", () =>
    Effect.gen(function*() {
      const { lendTo, state } = yield* make(undefined, new FakeResource({ connect: slow("1 second") }))
      const fiber = yield* Effect.fork(lendTo((_, another) => another))
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepInclude(state.stats(), { busy: 0, waiting: 1 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(state.stats(), { busy: 0, waiting: 0 })
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepInclude(state.stats(), quiet)
    }))

  it.scoped("R12: interrupted at each of its steps, all permits are back", () =>
    Effect.gen(function*() {
      const { lendTo, state } = yield* make()
      for (let steps = 0; steps < 60; steps++) {
        const fiber = yield* Effect.fork(lendTo((_, another) => Effect.zipRight(another, Effect.yieldNow())))
        for (let step = 0; step < steps % 20; step++) yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        yield* settle
        assert.deepInclude(state.stats(), quiet)
      }
    }))

  it.scoped("I4: a fiber that goes on after its use gets none: what comes for it goes back", () =>
    Effect.gen(function*() {
      const { lendTo, pool, state } = yield* make()
      const ended = yield* Deferred.make<void>()
      const late = yield* lendTo((_, another) => Effect.forkDaemon(Effect.zipRight(Deferred.await(ended), another)))
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(late)
      yield* settle
      assert.deepInclude(state.stats(), quiet)
      assert.isDefined(yield* pool.use((a) => Effect.succeed(a)))
    }))

  it.scoped("I4: also where it waits for it when its use ends", () =>
    Effect.gen(function*() {
      const { lendTo, pool, state } = yield* make({ maxsize: 2, maxoverflow: 2 })
      const holder = yield* Caller.ask(pool)
      const use = yield* Effect.fork(lendTo((_, another) =>
        Effect.gen(function*() {
          const late = yield* Effect.forkDaemon(another)
          yield* settle
          return late
        })
      ))
      const late = yield* Fiber.join(use)
      yield* Fiber.join(late)
      yield* holder.release
      yield* settle
      assert.deepInclude(state.stats(), quiet)
    }))

  it.scoped("I7: where each one is lost it fails typed after eleven", () =>
    Effect.gen(function*() {
      const { fake, lendTo, state } = yield* make()
      const exit = yield* Effect.exit(lendTo((_, another) => Effect.forever(another)))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(fake.dials, 11)
      yield* settle
      assert.deepInclude(state.stats(), quiet)
    }))

  it.scoped("R13: a pool that closes refuses the other one, and the caller ends", () =>
    Effect.gen(function*() {
      const { lendTo, pool, state } = yield* make()
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(lendTo((_, another) =>
        Effect.zipRight(Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(go)), another)
      ))
      yield* Deferred.await(begun)
      const drained = yield* Effect.fork(pool.drain)
      yield* settle
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.await(fiber)
      yield* Fiber.join(drained)
      assert.deepInclude(state.stats(), quiet)
    }))
})
