/** @internal */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"

/** How long something may take, and what is done instead after that. @internal */
export interface Deadline<A, E, R> {
  /** `Infinity`: there is no deadline, and no timer. */
  readonly millis: number
  readonly clock: Clock.Clock
  readonly onTimeout: () => Effect.Effect<A, E, R>
}

/**
 * Interrupts what takes longer than a deadline, also in a finaliser, where nothing else can be interrupted. Only the
 * deadline is counted by its clock: the effect keeps the clock that it runs with.
 *
 * This waits until the interrupted effect has ended. For one that the user has made, and that may refuse to end, there
 * is `leaveAfter`.
 *
 * @internal
 */
export const within = <A, E, R, A2, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  { clock, millis, onTimeout }: Deadline<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> =>
  millis === Infinity ? effect : Effect.clockWith((own) => {
    const inTime = Effect.timeoutTo(Effect.withClock(Effect.interruptible(effect), own), {
      duration: Math.max(0, millis),
      onSuccess: (a): Effect.Effect<A | A2, E2, R2> => Effect.succeed(a),
      onTimeout
    })
    return Effect.flatten(Effect.withClock(inTime, clock))
  })

/**
 * Waits for the end of a fiber, at most `millis` by `clock`, which is the clock of I/O (R14). The wait ends in time even
 * if the fiber can't be interrupted: it is only waited for, never raced. A fiber that ends on the spot needs no timer.
 *
 * @internal
 */
export const awaitAtMost = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  millis: number,
  clock: Clock.Clock
): Effect.Effect<Option.Option<Exit.Exit<A, E>>> => onceDone(fiber, () => awaitWithin(fiber, millis, clock))

/** How a fiber ended that ends on the spot, or else what `orElse` gives. */
const onceDone = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  orElse: () => Effect.Effect<Option.Option<Exit.Exit<A, E>>>
): Effect.Effect<Option.Option<Exit.Exit<A, E>>> =>
  Effect.zipRight(
    Effect.yieldNow(),
    Effect.suspend(() => {
      const exit = fiber.unsafePoll()
      return exit !== null ? Effect.succeed(Option.some(exit)) : orElse()
    })
  )

const awaitWithin = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  millis: number,
  clock: Clock.Clock
): Effect.Effect<Option.Option<Exit.Exit<A, E>>> =>
  within(Effect.asSome(Fiber.await(fiber)), { millis, clock, onTimeout: () => Effect.succeedNone })

/**
 * Runs `effect` to its end in a fiber of its own, but waits for it no longer than `millis`: after that it is left
 * behind, still running. Gives how it ended, if that was in time.
 *
 * The wait has a fiber of its own too, so that its deadline passes in a finaliser, and also where the fiber that waits
 * has been interrupted already. What ends on the spot needs neither that nor a deadline.
 *
 * @internal
 */
export const leaveAfter = <A, E>(
  effect: Effect.Effect<A, E>,
  millis: number,
  clock: Clock.Clock
): Effect.Effect<Option.Option<Exit.Exit<A, E>>> =>
  Effect.flatMap(
    Effect.forkDaemon(Effect.uninterruptible(effect)),
    (work) =>
      onceDone(work, () =>
        Effect.flatMap(Effect.forkDaemon(Effect.interruptible(awaitWithin(work, millis, clock))), Fiber.join))
  )

/**
 * A wait that an interrupt ends also where nothing else can be interrupted: a deadline that a caller puts round it is
 * kept in a finaliser too. A fiber that was interrupted before, as most that run finalisers, waits all the same.
 *
 * @internal
 */
export const interruptibleWait = <A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(
    FiberRef.get(FiberRef.interruptedCause),
    (interrupted) => Cause.isEmpty(interrupted) ? Effect.interruptible(wait) : wait
  )
