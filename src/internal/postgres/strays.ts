/** @internal */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** In milliseconds: after that long a stray is taken to have ended. */
const rememberedFor = 30_000

/**
 * Sessions that may run on at the server although they were given up here: nobody heeded the cancel. The hard limit is
 * what the server feels, so such a session keeps its permit until the server has ended it. But as many as the pool may
 * have connections give it back at once, so that callers go on being served while the server does not answer: it then
 * feels twice the limit at most.
 *
 * @internal
 */
export class Strays {
  /** When each is forgotten. */
  private forgottenAt: ReadonlyArray<number> = []

  constructor(private readonly limit: () => number) {}

  /** Ends when the server has ended a session (`gone`), or when it may be left to itself. */
  leave(gone: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.forgottenAt = this.forgottenAt.filter((at) => at > now)
      if (this.forgottenAt.length < this.limit()) {
        this.forgottenAt = [...this.forgottenAt, now + rememberedFor]
        return Effect.void
      }
      return Effect.flatMap(
        Effect.timeoutTo(gone, {
          duration: this.forgottenAt[0] - now,
          onSuccess: () => Effect.void,
          onTimeout: () => this.leave(gone)
        }),
        (next) => next
      )
    })
  }
}
