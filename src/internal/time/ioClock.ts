/** @internal */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** In milliseconds. A process that has not looked at the time for longer has stood still. */
const perLook = 100

const nanosPerMilli = 1_000_000n

/**
 * Real time for deadlines on sockets (R14). It stands still while the process does: a process that had no processor, or
 * was busy with something else, can't know that the other side was silent. The answer may be in the socket, or the
 * question was never sent.
 *
 * Node's timers ring before it reads sockets. So a sleep ends only after the sockets have been read once more, and after
 * those that were closed have said so.
 *
 * @internal
 */
export class IoClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly real = Clock.make()
  /** The part of the time that does not count. Nanoseconds. */
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

  /** While a fiber sleeps, something has to look at the time. That does not keep the process alive. */
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

  /** The first look after a standstill notices it. */
  private look(): bigint {
    const now = this.real.unsafeCurrentTimeNanos()
    const missed = now - this.lookedAt - BigInt(perLook) * nanosPerMilli
    if (this.sleepers > 0 && missed > 0n) this.stoodStill += missed
    this.lookedAt = now
    return now
  }
}

/** Rounded up, since a timer waits for whole milliseconds, and no more than a timer can wait. */
const wholeMillis = (nanos: bigint): Duration.Duration =>
  Duration.millis(Math.min(Number((nanos + nanosPerMilli - 1n) / nanosPerMilli), 2 ** 31 - 1))

/** The event loop reads sockets, then runs what waits here, then says which sockets were closed, and begins again. */
// Not by `awaiting`: with it, connects that were answered while the process stood still are taken for late. An immediate
// that is not cancelled does no harm.
const immediate = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
const turn = Effect.zipRight(immediate, immediate)

/** The process has one, since it stands still as a whole. @internal */
export const ioClock: Clock.Clock = new IoClock()
