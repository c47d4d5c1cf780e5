/** @internal */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { within } from "../../time/deadline.js"
import { ioClock } from "../../time/ioClock.js"
import type { Target } from "../config/target.js"
import type { Cancellable } from "../driver/cancel.js"
import { cancelRequest } from "../driver/cancel.js"

/** What a canceller asks of its session. */
interface Session {
  readonly cancellable: Cancellable
  readonly target: Target
  /** Whether something runs, and nobody waits for anything that runs or is to run. */
  readonly runsForNobody: boolean
  /** How often the server has been ready for what comes next. */
  readonly readies: number
  /** Whether it has ended, for whatever reason. */
  readonly ended: boolean
  /** Whether something waits behind what runs that must not begin, as nobody can tell any more what it would do. */
  readonly hasUnbegunWrites: boolean
  /** Calls back when it is ready again, or has ended. */
  onceReady(listener: () => void): void
  /** Somebody may wait until it can use the session: no request is on its way, or none will be. */
  settle(): void
  cancelled(): void
  /** `mayRunOn`: the server is there, so it may well go on with what it was asked for. */
  giveUp(why: string, mayRunOn: boolean): void
  /** Ends it so that the server can send nothing more to it. */
  cut(why: string): void
}

/** The part of `cleanupTimeout` after which it is asked again. */
const patience = 0.2

/**
 * Stops what nobody waits for any more, one statement after the other, each by a request of its own: a cancel hits
 * whatever runs when it comes, and nothing that comes after that (R16). Each has `cleanupTimeout`, until the server has
 * closed the request's socket and what it was for has ended; a session that does not keep to that is given up.
 *
 * With the end of one statement the next one begins. Where that must not be, the socket is reset before: a server that
 * can't send the answer of what was cancelled ends the session there.
 *
 * @internal
 */
export class Canceller {
  /** A request is on its way: it could hit what is sent now. */
  isSending = false
  /** It has begun, and there may be more to cancel. */
  isAtWork = false
  private fiber: Fiber.RuntimeFiber<void> | undefined = undefined
  /** Whether the server was there to take a request for what runs. */
  hasReached = false

  constructor(private readonly session: Session) {}

  start(): void {
    if (this.isAtWork || !this.session.runsForNobody) return
    this.isAtWork = true
    this.hasReached = this.session.cancellable.processID === null
    const work = this.session.hasUnbegunWrites ? this.cutOff : this.run
    this.fiber = this.session.target.io.fork(work)
  }

  giveUp(): void {
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  /** Ends when it is not at work. */
  readonly rested: Effect.Effect<unknown> = Effect.suspend(() =>
    this.fiber === undefined ? Effect.void : Fiber.await(this.fiber)
  )

  private readonly run: Effect.Effect<void> = Effect.suspend(() => {
    const { session } = this
    if (!session.runsForNobody) {
      this.isAtWork = false
      return Effect.sync(() => session.cancelled())
    }
    return Effect.matchEffect(this.inTime(this.stop), {
      onFailure: (why) => Effect.sync(() => session.giveUp(why, this.hasReached)),
      onSuccess: () => this.run
    })
  })

  /**
   * Asks the server to stop what runs. One that has not begun that has ignored the request: after a while it is asked
   * again. Since somebody has last looked what ran may have ended, and an innocent may have come: in the step in which it
   * is seen that nobody has, the session is closed to all.
   */
  private readonly stop: Effect.Effect<void, string> = Effect.suspend(() => {
    const { cancellable, readies, runsForNobody, target: { reach } } = this.session
    if (!runsForNobody) return Effect.void
    this.isSending = cancellable.processID !== null
    return Effect.zipRight(
      this.request,
      within(this.readyAfter(readies), {
        millis: reach.cleanupTimeout * patience,
        clock: ioClock,
        onTimeout: () => this.stop
      })
    )
  })

  private readonly cutOff: Effect.Effect<void> = Effect.suspend(() => {
    const { session } = this
    session.cut("nobody waits for its statements any more")
    return Effect.catchAll(
      this.inTime(this.request),
      (why) => Effect.sync(() => session.giveUp(why, this.hasReached))
    )
  })

  private inTime(work: Effect.Effect<void, string>): Effect.Effect<void, string> {
    const { cleanupTimeout } = this.session.target.reach
    const late = `what ran was not cancelled within cleanupTimeout (${Math.round(cleanupTimeout)} ms)`
    return within(work, { millis: cleanupTimeout, clock: ioClock, onTimeout: () => Effect.fail(late) })
  }

  /** Ends when the request can hit nothing any more. Servers that gave no key for it have to end by themselves. */
  private readonly request: Effect.Effect<void, string> = Effect.suspend(() => {
    const { cancellable, target } = this.session
    if (cancellable.processID === null) return Effect.void
    return cancelRequest(cancellable, target, () => this.hasReached = true).pipe(
      // A user's `stream` may throw.
      Effect.catchAllCause(() => Effect.succeed(false)),
      Effect.filterOrFail((isDone) => isDone, () => "the server did not take the request to cancel what ran"),
      Effect.andThen(() => {
        this.isSending = false
        this.session.settle()
      })
    )
  })

  private readyAfter(readies: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = () => {
        if (this.session.ended || this.session.readies > readies) resume(Effect.void)
        else this.session.onceReady(look)
      }
      look()
    })
  }
}
