/** @internal */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/**
 * The rights to have a connection open: `maxsize` for kept connections, and the overflow budget. No fiber ever waits
 * for one: the pool starts a connect only where a permit is free. Which of the two it comes from never shows.
 *
 * @internal
 */
export class Permits {
  private readonly kept: Effect.Semaphore
  private readonly overflow: Effect.Semaphore

  constructor(maxsize: number, maxoverflow: number) {
    this.kept = Effect.unsafeMakeSemaphore(maxsize)
    this.overflow = Effect.unsafeMakeSemaphore(maxoverflow - maxsize)
  }

  /** Runs the life of a connection while it holds a permit, and calls `back` when the permit is back. */
  hold(connection: Effect.Effect<void>, back: () => void): Effect.Effect<unknown> {
    const held = Effect.flatMap(
      this.kept.withPermitsIfAvailable(1)(connection),
      (held) => Option.isSome(held) ? Effect.void : this.overflow.withPermitsIfAvailable(1)(connection)
    )
    return Effect.ensuring(held, Effect.sync(back))
  }

  /** Permits in use stay in use. At once, as nothing may come between the pool's limits and its permits. */
  resize(maxsize: number, maxoverflow: number): void {
    // eslint-disable-next-line no-restricted-properties -- it never waits
    Effect.runSync(Effect.zipRight(this.kept.resize(maxsize), this.overflow.resize(maxoverflow - maxsize)))
  }
}
