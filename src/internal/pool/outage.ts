/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Time } from "../time/time.js"
import { wordsOf } from "../words.js"
import { Incidents } from "./incidents.js"
import { ConnectTimedOut } from "./life.js"
import type { Resource } from "./settings.js"

/** In milliseconds: no more than two logins a second that are refused for good (R18). */
const perRefusedLogin = 500

const inTheLog = {
  fails: "Connects fail, and another one is tried whenever one is needed",
  stillFails: "Connects still fail",
  worksAgain: "Connects succeed again"
}

/**
 * What is known of a time in which connects fail: that it lasts, the failure, and when the next connect may be tried.
 * The delays are those of `connectRetry`, which begins anew with each outage (R18).
 *
 * @internal
 */
export class Outage<E> {
  /** Whether the last connect failed in a way that the next one has to wait for. */
  active = false
  /** A connect may be tried again: no delay of `connectRetry` is running. */
  mayRetry = true
  /** Callers that came until then outlive the outage: `Infinity` while it lasts. Policy clock. */
  until = -Infinity
  /** Of the connects since the last one that succeeded. */
  lastFailure: Cause.Cause<E> | undefined = undefined
  /** The last failure, if time does not heal it. */
  private permanent: Cause.Cause<E> | undefined = undefined
  /** Where good connections serve, nobody else would hear of it. */
  private readonly incidents: Incidents
  /** Logins that were refused since the last delay began. */
  private refusedLogins = 0
  private retry: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private delays: Schedule.ScheduleDriver<unknown, unknown> | undefined = undefined

  constructor(
    private readonly connectRetry: Schedule.Schedule<unknown, unknown>,
    private readonly io: Time,
    private readonly tryAgain: () => void,
    private readonly giveUp: () => void
  ) {
    this.incidents = new Incidents(inTheLog, io)
  }

  /** A connect failed: the next one is tried after a delay. */
  begin(cause: Cause.Cause<E>, isPermanent: boolean): void {
    this.incidents.failed(wordsOf(Cause.squash(cause)))
    this.active = true
    this.until = Infinity
    this.permanent = isPermanent ? cause : undefined
    if (isPermanent) this.refusedLogins++
    if (!this.mayRetry) return
    this.mayRetry = false
    this.retry = this.io.fork(
      Effect.suspend(() =>
        this.delays === undefined
          ? Effect.map(Schedule.driver(this.connectRetry), (delays) => this.delays = delays)
          : Effect.succeed(this.delays)
      ).pipe(
        Effect.flatMap((delays) => Effect.zip(Effect.exit(delays.next(cause)), this.quiet, { concurrent: true })),
        // More may have been refused since.
        Effect.flatMap(([delay]) => Effect.zipRight(this.quiet, delay)),
        // Where the schedule has no delays, and connects fail on the spot, timers must have their turn all the same.
        Effect.zipRight(Effect.sleep(0)),
        Effect.withClock(this.io.clock),
        Effect.matchCause({
          onSuccess: () => this.resume(this.tryAgain),
          // A dial that was under way may have succeeded.
          onFailure: () => this.resume(this.active ? this.giveUp : this.tryAgain)
        })
      )
    )
  }

  /** A connect succeeded at `now`. */
  healed(now: number): void {
    this.lastFailure = undefined
    this.incidents.worked()
    this.end(now)
  }

  /** Why the last connect failed, if none has succeeded since. */
  get reason(): unknown {
    return this.lastFailure === undefined ? undefined : Cause.squash(this.lastFailure)
  }

  /** Why nobody needs to wait for a connect now: it was refused for good, a moment ago. */
  get verdict(): Cause.Cause<E> | undefined {
    return this.mayRetry ? undefined : this.permanent
  }

  private readonly quiet: Effect.Effect<void> = Effect.suspend(() => {
    const millis = this.refusedLogins * perRefusedLogin
    this.refusedLogins = 0
    return millis === 0 ? Effect.void : Effect.zipRight(Effect.sleep(millis), this.quiet)
  })

  /** It is taken for over. */
  end(now: number): void {
    if (!this.active) return
    this.active = false
    this.until = now
    this.permanent = undefined
    this.delays = undefined
  }

  /** For those who wait, time has stood still. */
  stoodStill(from: number, to: number): void {
    if (this.until < Infinity) this.until += to - Math.max(from, Math.min(this.until, to))
  }

  stop(): void {
    this.retry?.unsafeInterruptAsFork(FiberId.none)
    this.incidents.stop()
  }

  private resume(next: () => void): void {
    this.mayRetry = true
    next()
  }
}

/** Why a connect failed, and what becomes of the next one (R18). */
interface ConnectFailure<E> {
  readonly failure: Cause.Cause<E>
  readonly kind: "transient" | "permanent" | "other"
}

/** @internal */
export const classify = <E>(
  cause: Cause.Cause<E>,
  { isPermanent, isTransient }: Pick<Resource<never, E>, "isPermanent" | "isTransient">
): ConnectFailure<E> => {
  const failure = withoutInterrupts(cause)
  const error = Cause.failureOption(failure)
  if (Option.isNone(error)) return { failure, kind: isTimeout(failure) ? "transient" : "other" }
  try {
    const kind = isTransient(error.value) ? "transient" : isPermanent(error.value) ? "permanent" : "other"
    return { failure, kind }
  } catch (defect) {
    return { failure: Cause.die(defect), kind: "other" }
  }
}

const isTimeout = (failure: Cause.Cause<unknown>): boolean =>
  Option.exists(Cause.dieOption(failure), (defect) => defect instanceof ConnectTimedOut)

/** An `acquire` that interrupts itself must not look like an interrupt of the caller. */
const withoutInterrupts = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.isInterruptedOnly(cause) ? Cause.die(new Cause.InterruptedException("acquire interrupted itself")) : cause
