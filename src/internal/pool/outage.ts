/** @internal */
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Schedule from "effect/Schedule"
import type { Fork } from "./alarm.js"

/**
 * What is known of a time in which connects fail: that it lasts, the failure, and when the next connect may be tried.
 * The delays are those of `connectRetry`, which begins anew with each outage (R18).
 *
 * @internal
 */
export class Outage {
  /** Whether the last connect failed in a way that time may heal. */
  active = false
  /** A connect may be tried again: no delay of `connectRetry` is running. */
  mayRetry = true
  /** Callers that came until then outlive the outage: `Infinity` while it lasts. Policy clock. */
  until = -Infinity
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
