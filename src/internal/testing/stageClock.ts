/** @internal */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/**
 * The clock of deadlines in a test that moves its clock by hand. Once the test is over nobody moves it any more, so time
 * runs by itself: each sleep ends at once, and the time is then as if it had passed. Else a pool would wait for ever for
 * borrowers that the test has left behind.
 *
 * @internal
 */
export class StageClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly over = Deferred.unsafeMake<void>(FiberId.none)
  /** Slept since the test is over. Nanoseconds. */
  private slept = 0n

  constructor(private readonly clock: Clock.Clock) {}

  /** The test is over. */
  readonly end: Effect.Effect<void> = Effect.asVoid(Deferred.succeed(this.over, undefined))

  unsafeCurrentTimeNanos(): bigint {
    return this.clock.unsafeCurrentTimeNanos() + this.slept
  }

  unsafeCurrentTimeMillis(): number {
    return this.clock.unsafeCurrentTimeMillis() + Number(this.slept / 1_000_000n)
  }

  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.unsafeCurrentTimeNanos())
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.unsafeCurrentTimeMillis())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    if (!Duration.isFinite(duration)) return Effect.never
    const atOnce = Effect.zipRight(
      Deferred.await(this.over),
      Effect.sync(() => void (this.slept += Duration.unsafeToNanos(duration)))
    )
    return Effect.raceFirst(this.clock.sleep(duration), atOnce)
  }
}
