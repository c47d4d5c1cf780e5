/** @internal */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Schedule from "effect/Schedule"
import type { Time } from "../time/time.js"

/** Past 2^31 ms a timer of JavaScript does not wait at all; it is enough to look again then. */
const longestTimer = 2 ** 31 - 1

/**
 * One fiber that sleeps until something is due, whatever the number of things that can become due. It isn't woken when
 * they go away: it looks again when it rings. While nothing is due it rests, and there is no fiber at all.
 *
 * `ring` does what is due and returns when it wants to ring next, in milliseconds (`Infinity`: rest).
 *
 * @internal
 */
export class Alarm {
  private at = Infinity
  private fiber: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private readonly sleeper: Effect.Effect<unknown>

  constructor(
    private readonly time: Time,
    ring: () => number
  ) {
    const untilDue = Schedule.forever.pipe(
      Schedule.delayed(() => {
        // Whole milliseconds, rounded up: a timer that rings too early would ring again and again until it is time.
        const delay = Math.ceil(this.at - time.now())
        return Math.min(Math.max(0, delay), longestTimer)
      }),
      Schedule.whileOutput(() => this.at < Infinity)
    )
    this.sleeper = Effect.sync(() => {
      // What is armed while it rings is part of what `ring` returns.
      this.at = -Infinity
      this.at = ring()
    }).pipe(Effect.schedule(untilDue), Effect.withClock(time.clock))
  }

  /** Makes sure that it rings at `at` or before. */
  arm(at: number): void {
    if (at >= this.at) return
    this.stop()
    this.at = at
    this.fiber = this.time.fork(this.sleeper)
  }

  stop(): void {
    this.at = Infinity
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
    this.fiber = undefined
  }
}
