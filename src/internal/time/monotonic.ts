/** @internal */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * The clock, with milliseconds that come from its nanoseconds. The milliseconds of Effect's own clock jump when somebody
 * sets the system's clock, and waits would become longer or shorter. It does not tell the time of day.
 *
 * The pool can rely on it even if it is given a bad clock: one that goes back, or fails, stands still at worst. A sleep
 * that fails is replaced by one in real time.
 *
 * @internal
 */
export const monotonic = (clock: Clock.Clock): Clock.Clock => new MonotonicClock(clock)

class MonotonicClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private offset = 0
  private latest: number

  constructor(private readonly clock: Clock.Clock) {
    this.latest = millisOf(clock)
  }

  unsafeCurrentTimeMillis(): number {
    try {
      const time = millisOf(this.clock) + this.offset
      if (time < this.latest) this.offset += this.latest - time
      else this.latest = time
    } catch {
      // The next reading may be better.
    }
    return this.latest
  }

  unsafeCurrentTimeNanos(): bigint {
    return this.clock.unsafeCurrentTimeNanos()
  }

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.catchAllCause(Effect.suspend(() => this.clock.sleep(duration)), () => systemClock.sleep(duration))
  }
}

const systemClock = Clock.make()

/** Whole milliseconds: sums of fractions are not exact, and a deadline might never quite be reached. */
const millisOf = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
