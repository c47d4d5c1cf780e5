/** @internal */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { PoolExhausted } from "../../PoolError.js"
import type { PoolStats } from "../../PoolStats.js"
import type { Fork } from "./alarm.js"
import type { Resource } from "./settings.js"
import { connectTimedOut } from "./slot.js"

/**
 * What is known of a time in which connects fail: that it lasts, the failure, and when the next connect may be tried.
 * The delays are those of `connectRetry`, which begins anew with each outage (R18).
 *
 * @internal
 */
export class Outage<E> {
  /** Whether the last connect failed in a way that time may heal. */
  active = false
  /** A connect may be tried again: no delay of `connectRetry` is running. */
  mayRetry = true
  /** Callers that came until then outlive the outage: `Infinity` while it lasts. Policy clock. */
  until = -Infinity
  /** Of the connects since the last one that succeeded. */
  lastFailure: Cause.Cause<E> | undefined = undefined
  private retry: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private delays: Schedule.ScheduleDriver<unknown, unknown> | undefined = undefined

  constructor(
    private readonly connectRetry: Schedule.Schedule<unknown, unknown>,
    private readonly ioClock: Clock.Clock,
    private readonly fork: Fork,
    private readonly tryAgain: () => void,
    private readonly giveUp: () => void
  ) {}

  /** A connect failed: the next one is tried after a delay. */
  begin(cause: Cause.Cause<unknown> | undefined): void {
    this.active = true
    this.until = Infinity
    if (!this.mayRetry) return
    this.mayRetry = false
    this.retry = this.fork(
      Effect.suspend(() =>
        this.delays === undefined
          ? Effect.map(Schedule.driver(this.connectRetry), (delays) => this.delays = delays)
          : Effect.succeed(this.delays)
      ).pipe(
        Effect.flatMap((delays) => delays.next(cause)),
        // Where the schedule has no delays, and connects fail on the spot, timers must have their turn all the same.
        Effect.zipRight(Effect.sleep(0)),
        Effect.withClock(this.ioClock),
        Effect.matchCause({
          onSuccess: () => this.resume(this.tryAgain),
          onFailure: () => this.resume(this.giveUp)
        })
      )
    )
  }

  /** A connect succeeded at `now`. */
  healed(now: number): void {
    this.lastFailure = undefined
    this.end(now)
  }

  /** What a caller hears who has waited for too long: while connects fail that says more than that the pool has nothing. */
  refusal(exhausted: { readonly stats: PoolStats; readonly waited: number }): Cause.Cause<E | PoolExhausted> {
    const failure = this.lastFailure
    if (this.active && failure !== undefined && failure !== connectTimedOut) return failure
    const cause = failure === undefined ? undefined : Cause.squash(failure)
    return Cause.fail(new PoolExhausted({ ...exhausted, cause }))
  }

  /** It is taken for over. */
  end(now: number): void {
    if (!this.active) return
    this.active = false
    this.until = now
    this.delays = undefined
  }

  stop(): void {
    this.retry?.unsafeInterruptAsFork(FiberId.none)
  }

  private resume(next: () => void): void {
    this.mayRetry = true
    next()
  }
}

/**
 * Why a connect failed, and whether time may heal it.
 *
 * @internal
 */
export const classify = <E>(
  cause: Cause.Cause<E>,
  { isTransient }: Pick<Resource<never, E>, "isTransient">
): { readonly failure: Cause.Cause<E>; readonly isTransient: boolean } => {
  const failure = withoutInterrupts(cause)
  const error = Cause.failureOption(failure)
  if (Option.isNone(error)) return { failure, isTransient: failure === connectTimedOut }
  try {
    return { failure, isTransient: isTransient(error.value) }
  } catch (defect) {
    return { failure: Cause.die(defect), isTransient: false }
  }
}

/** An `acquire` that interrupts itself must not look like an interrupt of the caller. */
const withoutInterrupts = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.isInterruptedOnly(cause) ? Cause.die(new Cause.InterruptedException("acquire interrupted itself")) : cause
