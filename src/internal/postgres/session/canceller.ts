/** @internal */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { within } from "../../time/deadline.js"
import type { Target } from "../config/target.js"
import type { Cancellable } from "../driver/cancel.js"
import { cancelRequest } from "../driver/cancel.js"
import type { Ending } from "./ending.js"
import type { Flight } from "./flight.js"

/** The session whose statements are cancelled. */
interface Session {
  readonly cancellable: Cancellable
  readonly target: Target
  readonly flight: Flight
  readonly ending: Ending
  /** Told of each statement that the server is asked to cancel. */
  readonly onCancel: () => void
  /** Nothing is left to cancel. */
  cancelled(): void
}

/** The part of `cleanupTimeout` after which the server is asked again. */
const patience = 0.2

/**
 * Stops what nobody waits for any more, one statement after the other, each by a request of its own: a cancel hits
 * whatever runs when it comes, and nothing that comes after that (R16). Within `cleanupTimeout` the server has to close
 * the request's socket and to end the statement; a session that takes longer is given up.
 *
 * With the end of one statement the next one begins. Where that must not be, the socket is reset before: a server that
 * can't send the answer of what was cancelled ends the session there.
 *
 * @internal
 */
export class Canceller {
  /** It has begun, and there may be more to cancel. */
  isAtWork = false
  /** The server was there to take a request for what runs. */
  hasReached = false
  private fiber: Fiber.RuntimeFiber<void> | undefined = undefined

  constructor(private readonly session: Session) {}

  /** Begins if nobody waits for anything that is in flight. */
  start(): void {
    const { cancellable, flight, target } = this.session
    if (this.isAtWork || !flight.runsForNobody) return
    this.isAtWork = true
    this.hasReached = cancellable.processID === null
    const work = flight.hasUnbegunWrites ? this.cutOff : this.run
    this.fiber = target.io.fork(work)
  }

  giveUp(): void {
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  /** Ends when it is not at work. */
  readonly rested: Effect.Effect<unknown> = Effect.suspend(() =>
    this.fiber === undefined ? Effect.void : Fiber.await(this.fiber)
  )

  private readonly run: Effect.Effect<void> = Effect.suspend(() => {
    if (this.session.flight.runsForNobody) {
      this.count()
      return Effect.matchEffect(this.withinCleanup(this.stop), this.next)
    }
    this.isAtWork = false
    return Effect.sync(() => this.session.cancelled())
  })

  /** A server that gave no key is asked for nothing. */
  private count(): void {
    if (this.session.cancellable.processID !== null) this.session.onCancel()
  }

  private readonly next = {
    onFailure: (why: string) => this.giveSessionUp(why),
    onSuccess: () => this.run
  }

  /**
   * Asks the server to stop what runs. A server that had not begun with it has ignored the request: after a while it is
   * asked again.
   *
   * What ran may have ended since it was last looked at, and somebody else's statement may have come. So the last look and
   * the step that closes the session to everybody are one.
   */
  private readonly stop: Effect.Effect<void, string> = Effect.suspend(() => {
    const { cancellable, flight, target: { io, reach } } = this.session
    if (!flight.runsForNobody) return Effect.void
    if (cancellable.processID !== null) flight.cancelSent()
    return Effect.zipRight(
      this.request,
      within(this.readyAfter(flight.readies), {
        millis: reach.cleanupTimeout * patience,
        clock: io.clock,
        onTimeout: () => this.stop
      })
    )
  })

  private readonly cutOff: Effect.Effect<void> = Effect.suspend(() => {
    this.count()
    this.session.ending.cut("nobody waits for its statements any more")
    return Effect.catchAll(this.withinCleanup(this.request), (why) => this.giveSessionUp(why))
  })

  /** If the server is there, it may well go on with what it was asked for. */
  private giveSessionUp(why: string): Effect.Effect<void> {
    return Effect.sync(() => this.session.ending.giveUp(why, this.hasReached))
  }

  private withinCleanup(work: Effect.Effect<void, string>): Effect.Effect<void, string> {
    const { io, reach: { cleanupTimeout } } = this.session.target
    const late = `what ran was not cancelled within cleanupTimeout (${Math.round(cleanupTimeout)} ms)`
    return within(work, { millis: cleanupTimeout, clock: io.clock, onTimeout: () => Effect.fail(late) })
  }

  /** Ends when the request can hit nothing any more. A server that gave no key for it is waited for instead. */
  private readonly request: Effect.Effect<void, string> = Effect.suspend(() => {
    const { cancellable, flight, target } = this.session
    if (cancellable.processID === null) return Effect.void
    return cancelRequest(cancellable, target, () => this.hasReached = true).pipe(
      // A user's `stream` may throw.
      Effect.catchAllCause(() => Effect.succeed(false)),
      Effect.filterOrFail((isDone) => isDone, () => "the server did not take the request to cancel what ran"),
      Effect.andThen(() => flight.cancelTaken())
    )
  })

  private readyAfter(readies: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const { flight } = this.session
      const look = () => {
        if (flight.hasEnded || flight.readies > readies) resume(Effect.void)
        else flight.onceReady(look)
      }
      look()
    })
  }
}
