/** @internal */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { within } from "../../time/deadline.js"
import type { Time } from "../../time/time.js"
import type { Session } from "./session.js"

/** In milliseconds. After that long a stray is taken to have ended. */
const rememberedFor = 30_000

/** How often the server is asked about one that keeps its permit. */
const looks = Schedule.union(Schedule.exponential("250 millis"), Schedule.spaced("2 seconds"))

/**
 * Sessions that may run on at the server although they were given up here: the server did not heed the cancel. The hard
 * limit is what the server feels. So such a session keeps its permit until the server has ended it, or has told another
 * session that this one runs nothing: where the network has lost a session, nobody hears of its end.
 *
 * But almost as many sessions as the pool may have connections give their permit back at once, so that callers are served
 * while the server does not answer. With the session that asks, the server then feels twice the limit at most.
 *
 * @internal
 */
export class Strays {
  /** When each is forgotten. */
  private forgottenAt: ReadonlyArray<number> = []
  private readonly turn = Effect.unsafeMakeSemaphore(1)

  constructor(
    private readonly io: Time,
    private readonly maxoverflow: () => number,
    /** What the server says of it to a session that was opened to ask. */
    private readonly stillRuns: (session: Session) => Effect.Effect<boolean>
  ) {}

  /** Ends when the server has ended the session (`gone`) or its work, or when the session may be left to itself. */
  leave(session: Session, gone: Effect.Effect<void>): Effect.Effect<unknown> {
    return Effect.suspend((): Effect.Effect<unknown> => {
      const now = this.io.now()
      this.forgottenAt = this.forgottenAt.filter((at) => at > now)
      if (this.forgottenAt.length < Math.max(1, this.maxoverflow() - 1)) {
        this.forgottenAt = [...this.forgottenAt, now + rememberedFor]
        return Effect.void
      }
      return within(Effect.raceFirst(gone, this.idle(session)), {
        millis: this.forgottenAt[0] - now,
        clock: this.io.clock,
        onTimeout: () => this.leave(session, gone)
      })
    })
  }

  private idle(session: Session): Effect.Effect<unknown> {
    const stillRuns = this.turn.withPermits(1)(this.stillRuns(session))
    return Effect.zipRight(
      Effect.sync(() => session.ending.letGo()),
      Effect.repeat(stillRuns, { while: (runs) => runs, schedule: looks })
    )
  }
}
