/** @internal */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"

/**
 * Waits for the end of a fiber, at most `millis` by `clock`, which is the clock of I/O (R14). Whoever waits returns in
 * time even if the fiber can't be interrupted: it is only waited for, never raced. What ends on the spot needs no
 * timer.
 *
 * @internal
 */
export const awaitAtMost = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  millis: number,
  clock: Clock.Clock
): Effect.Effect<Option.Option<Exit.Exit<A, E>>> =>
  Effect.zipRight(
    Effect.yieldNow(),
    Effect.suspend(() => {
      const exit = fiber.unsafePoll()
      return exit !== null
        ? Effect.succeed(Option.some(exit))
        : Effect.withClock(Effect.timeoutOption(Fiber.await(fiber), millis), clock)
    })
  )

/**
 * Runs `effect` to its end in a fiber of its own, but waits for it no longer than `millis`: after that it is left
 * behind, still running. Gives how it ended, if that was in time.
 *
 * The waiting has a fiber of its own too, so that its deadline passes in a finaliser, and also where the fiber that
 * waits has been interrupted already.
 *
 * @internal
 */
export const leaveAfter = <A, E>(
  effect: Effect.Effect<A, E>,
  millis: number,
  clock: Clock.Clock
): Effect.Effect<Option.Option<Exit.Exit<A, E>>> =>
  Effect.forkDaemon(Effect.uninterruptible(effect)).pipe(
    Effect.flatMap((work) => Effect.forkDaemon(Effect.interruptible(awaitAtMost(work, millis, clock)))),
    Effect.flatMap(Fiber.join)
  )

/**
 * A wait that an interrupt ends also where nothing else can be interrupted: a deadline that a caller puts round it is
 * kept in a finaliser too. Whoever was interrupted before that, as most that run finalisers, waits all the same.
 *
 * @internal
 */
export const interruptibleWait = <A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(
    FiberRef.get(FiberRef.interruptedCause),
    (interrupted) => Cause.isEmpty(interrupted) ? Effect.interruptible(wait) : wait
  )
