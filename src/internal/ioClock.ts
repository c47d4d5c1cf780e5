/** @internal */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** In milliseconds: a process that does nothing for longer has stood still. */
const perLook = 100

const nanosPerMilli = 1_000_000n

/**
 * Real time for what waits for a socket (R14). It stands still while the process does: whoever had no processor, or was
 * busy with something else, has no right to say that the other side was silent. Its answer may be in the socket, or what
 * it answers to was never sent.
 *
 * And timers ring before sockets are read. So who sleeps here wakes when both have been looked at once more, and what was
 * closed then has told so.
 *
 * @internal
 */
export class IoClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly real = Clock.make()
  /** Of the time that has passed, what doesn't count. Nanoseconds. */
  private stoodStill = 0n
  private lookedAt = 0n
  private sleepers = 0
  private watch: NodeJS.Timeout | undefined = undefined

  unsafeCurrentTimeNanos(): bigint {
    return this.look() - this.stoodStill
  }

  unsafeCurrentTimeMillis(): number {
    return Number(this.unsafeCurrentTimeNanos() / nanosPerMilli)
  }

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())
  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    if (!Duration.isFinite(duration)) return Effect.never
    return Effect.suspend(() => {
      this.begin()
      const until = this.unsafeCurrentTimeNanos() + Duration.unsafeToNanos(duration)
      return Effect.ensuring(Effect.zipRight(this.sleepUntil(until), turn), Effect.sync(() => this.sleepers--))
    })
  }

  private sleepUntil(until: bigint): Effect.Effect<void> {
    return Effect.suspend(() => {
      const left = until - this.unsafeCurrentTimeNanos()
      return left <= 0n
        ? Effect.void
        : Effect.zipRight(this.real.sleep(wholeMillis(left)), this.sleepUntil(until))
    })
  }

  /** Somebody sleeps, so somebody has to look at the time. That keeps no process alive. */
  private begin(): void {
    if (this.sleepers++ > 0) return
    this.lookedAt = this.real.unsafeCurrentTimeNanos()
    // eslint-disable-next-line no-restricted-globals -- Effect's own timers keep the process alive
    this.watch ??= setInterval(() => this.sleepers > 0 ? this.look() : this.rest(), perLook).unref()
  }

  private rest(): void {
    clearInterval(this.watch)
    this.watch = undefined
  }

  /** Whoever looks first after a standstill notices it. */
  private look(): bigint {
    const now = this.real.unsafeCurrentTimeNanos()
    const missed = now - this.lookedAt - BigInt(perLook) * nanosPerMilli
    if (this.sleepers > 0 && missed > 0n) this.stoodStill += missed
    this.lookedAt = now
    return now
  }
}

/** Rounded up, as a timer does not know parts of one, and no more than it can wait. */
const wholeMillis = (nanos: bigint): Duration.Duration =>
  Duration.millis(Math.min(Number((nanos + nanosPerMilli - 1n) / nanosPerMilli), 2 ** 31 - 1))

/** The event loop reads sockets, then tells what waits here, then what was closed, and then comes round again. */
const immediate = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
const turn = Effect.zipRight(immediate, immediate)

/** The one of this process: it stands still as a whole. @internal */
export const ioClock: Clock.Clock = new IoClock()
