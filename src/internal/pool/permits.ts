/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"

/**
 * The pool counts fewer connections than it has permits in use. It would begin the same connect again and again.
 *
 * @internal
 */
export class PermitMissing extends Error {
  override readonly name = "PermitMissing"

  constructor(size: number, maxoverflow: number) {
    super(
      `effect-pgpool has a defect: it counts ${size} connections of at most ${maxoverflow}, this connect included, ` +
        "but no permit is free for it"
    )
  }
}

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

  /**
   * Runs the life of a connection while it holds a permit, and calls `back` when the permit is back: with the defect
   * that has ended the life, if there is one. That is `missing` where no permit is free.
   */
  hold(
    connection: Effect.Effect<void>,
    missing: () => PermitMissing,
    back: (defect: unknown) => void
  ): Effect.Effect<void> {
    const orElse = (other: Effect.Effect<void>) => (held: Option.Option<void>) =>
      Option.isSome(held) ? Effect.void : other
    const inOverflow = this.overflow.withPermitsIfAvailable(1)(connection)
    const held = this.kept.withPermitsIfAvailable(1)(connection).pipe(
      Effect.flatMap(orElse(Effect.flatMap(inOverflow, orElse(Effect.dieSync(missing)))))
    )
    const defect = (exit: Exit.Exit<void>) =>
      Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
    return Effect.onExit(held, (exit) => Effect.sync(() => back(defect(exit))))
  }

  /** Permits in use stay in use. At once, as nothing may come between the pool's limits and its permits. */
  resize(maxsize: number, maxoverflow: number): void {
    // eslint-disable-next-line no-restricted-properties -- it never waits
    Effect.runSync(Effect.zipRight(this.kept.resize(maxsize), this.overflow.resize(maxoverflow - maxsize)))
  }
}
