/** @internal */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import { monotonic } from "./monotonic.js"

/** Starts a fiber on the spot. @internal */
export type Fork = <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>

/** All that is needed to wait for a time. @internal */
export interface Time {
  readonly clock: Clock.Clock
  /** The time of `clock` in milliseconds. It never goes back. */
  readonly now: () => number
  /** The time of day, in milliseconds since 1970, as the clock that was given says it. */
  readonly date: () => number
  readonly fork: Fork
}

/**
 * The time of a clock, for fibers of the pool's own: they have the runtime that the pool was made in, with its loggers and
 * its tracer. The pool may be made where nothing can be interrupted, but its fibers can always be interrupted.
 *
 * @internal
 */
export const timeOf = <R>(runtime: Runtime.Runtime<R>, clock: Clock.Clock): Time => {
  const steady = monotonic(clock)
  const runFork = Runtime.runFork(runtime)
  let latest = 0
  return {
    clock: steady,
    now: () => steady.unsafeCurrentTimeMillis(),
    date: () => {
      try {
        latest = clock.unsafeCurrentTimeMillis()
      } catch {
        // The next reading may be better. It is asked within a section, where nothing may throw.
      }
      return latest
    },
    fork: (effect) => runFork(Effect.interruptible(effect))
  }
}

/** Calls `act` after `millis`. The result calls it off. @internal */
export const after = ({ clock, fork }: Time, millis: number, act: () => void): () => void => {
  const fiber = fork(Effect.zipRight(clock.sleep(Duration.millis(millis)), Effect.sync(act)))
  return () => fiber.unsafeInterruptAsFork(FiberId.none)
}
