import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, FiberId, Option, TestClock } from "effect"
import { awaiting } from "../src/internal/effects.js"
import { leaveAfter, within } from "../src/internal/time/deadline.js"
import { after, timeOf } from "../src/internal/time/time.js"

const late = () => Effect.fail("late")

describe("R14: a deadline", () => {
  it.effect("R14: what ends in time keeps its own end", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const deadline = { millis: 100, clock, onTimeout: late }
      assert.strictEqual(yield* within(Effect.succeed(1), deadline), 1)
      assert.strictEqual(yield* Effect.flip(within(Effect.fail("bad"), deadline)), "bad")
    }))

  it.effect("R14: what takes longer is interrupted, and the deadline says what then", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      let isInterrupted = false
      const forever = Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (isInterrupted = true)))
      const fiber = yield* Effect.fork(Effect.flip(within(forever, { millis: 100, clock, onTimeout: late })))
      yield* TestClock.adjust(99)
      assert.isFalse(isInterrupted)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(fiber), "late")
      assert.isTrue(isInterrupted)
    }))

  it.effect("R14: it passes where nothing can be interrupted", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const wait = within(Effect.never, { millis: 100, clock, onTimeout: () => Effect.succeed("late") })
      const fiber = yield* Effect.fork(Effect.uninterruptible(wait))
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(fiber), "late")
    }))

  it.effect("R14: only the deadline counts by its clock, and what it watches over keeps its own", () =>
    Effect.gen(function*() {
      const policy = yield* Effect.clock
      const io = Clock.make()
      const onTimeout = () => Effect.clock
      assert.strictEqual(yield* within(Effect.clock, { millis: 1000, clock: io, onTimeout }), policy)
      // Nobody moves the policy clock.
      assert.strictEqual(yield* within(Effect.never, { millis: 1, clock: io, onTimeout }), policy)
    }))

  it.effect("R14: without an end there is no timer", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const wait = Deferred.unsafeMake<void>(FiberId.none)
      const fiber = yield* Effect.fork(within(Deferred.await(wait), { millis: Infinity, clock, onTimeout: late }))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(Array.from(yield* TestClock.sleeps()), [])
      yield* Deferred.succeed(wait, undefined)
      yield* Fiber.join(fiber)
    }))

  it.effect("R13: what can't be interrupted is left behind, and goes on", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const gate = Deferred.unsafeMake<void>(FiberId.none)
      let hasEnded = false
      const work = Effect.zipRight(Deferred.await(gate), Effect.sync(() => void (hasEnded = true)))
      const fiber = yield* Effect.fork(leaveAfter(work, 100, clock))
      yield* TestClock.adjust(100)
      assert.isTrue(Option.isNone(yield* Fiber.join(fiber)))
      assert.isFalse(hasEnded)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.yieldNow()
      assert.isTrue(hasEnded)
    }))

  it.effect("R14: what is to happen later happens once, unless it is called off", () =>
    Effect.gen(function*() {
      const time = timeOf(yield* Effect.runtime<never>(), yield* Effect.clock)
      const happened: Array<string> = []
      after(time, 50, () => happened.push("kept"))
      const callOff = after(time, 50, () => happened.push("called off"))
      yield* TestClock.adjust(49)
      assert.deepStrictEqual(happened, [])
      callOff()
      yield* TestClock.adjust(Duration.seconds(1))
      assert.deepStrictEqual(happened, ["kept"])
    }))
})

describe("R12: a wait for a callback", () => {
  /** Interrupts its own fiber while it registers: the interrupt is there before the next step. */
  const interruptMe = () => Option.getOrThrow(Fiber.getCurrentFiber()).unsafeInterruptAsFork(FiberId.none)

  it.effect("R12: an interrupt that comes just after it has registered cancels it", () =>
    Effect.gen(function*() {
      const cancelled: Array<string> = []
      const register = (name: string) => () => {
        interruptMe()
        return () => void cancelled.push(name)
      }
      const ours = yield* Effect.fork(awaiting<never, never>(register("awaiting")))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(ours)))
      // This is why there is one of our own.
      const theirs = yield* Effect.fork(Effect.async<never>(() => Effect.sync(register("async")())))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(theirs)))
      assert.deepStrictEqual(cancelled, ["awaiting"])
    }))

  it.effect("R12: one that is interrupted before it begins does not begin", () =>
    Effect.gen(function*() {
      let hasBegun = false
      const wait = Effect.zipRight(
        Effect.sync(interruptMe),
        awaiting<never, never>(() => {
          hasBegun = true
          return undefined
        })
      )
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(yield* Effect.fork(wait))))
      assert.isFalse(hasBegun)
    }))
})
