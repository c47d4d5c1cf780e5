/** @internal */
import { wordsOf } from "../words.js"
import { Incidents } from "./incidents.js"
import { ConnectTimedOut } from "./life.js"
import type { Port } from "./port.js"
import type { Delays, Failure, Log, RetryPolicy, Sleeper, Timers } from "./runtime.js"
import { defect, defectOf, errorOf, reasonOf, withoutInterrupts } from "./runtime.js"
import type { Resource } from "./settings.js"

/** In milliseconds. No more than two logins a second are made while logins are refused permanently (R18). */
const perRefusedLogin = 500

const inTheLog = {
  fails: "Connects fail, and another one is tried whenever one is needed",
  stillFails: "Connects still fail",
  worksAgain: "Connects succeed again"
}

/**
 * A time in which connects fail: whether it lasts, the last failure, and when the next connect may be tried. The delays
 * are those of `connectRetry`, which begins anew with each outage (R18).
 *
 * @internal
 */
export class Outage<E> {
  /** Whether the last connect failed in such a way that the next one has to wait. */
  active = false
  /** When it began, by the clock of I/O. */
  since = -Infinity
  /** When a connect has failed last, by the policy clock. */
  failedAt = -Infinity
  /** Whether a connect may be tried again: no delay of `connectRetry` is running. */
  mayRetry = true
  /**
   * Callers that came until this time have the wait limit of an outage: `Infinity` while it lasts. It is a time of the
   * policy clock.
   */
  until = -Infinity
  /** The last failure since the last connect that succeeded. */
  lastFailure: Failure<E> | undefined = undefined
  /** The last failure, if it is permanent. */
  private permanent: Failure<E> | undefined = undefined
  /** The log of the outage. As long as good connections serve the callers, the log alone shows the outage. */
  private readonly incidents: Incidents
  /** The number of logins that were refused since the last delay began. */
  private refusedLogins = 0
  private retry: Sleeper | undefined = undefined
  private delays: Delays | undefined = undefined

  constructor(
    private readonly connectRetry: RetryPolicy,
    private readonly io: Timers,
    log: Log,
    private readonly pool: Port<any, any>
  ) {
    this.incidents = new Incidents(inTheLog, io, log)
  }

  /** A connect failed: the next one is tried after a delay. */
  begin(cause: Failure<E>, isPermanent: boolean): void {
    this.incidents.failed(wordsOf(reasonOf(cause)))
    if (!this.active) this.starts(cause)
    this.failedAt = this.pool.env.now()
    this.until = Infinity
    this.permanent = isPermanent ? cause : undefined
    if (isPermanent) this.refusedLogins++
    if (!this.mayRetry) return
    this.mayRetry = false
    const delays = this.delays ??= this.io.delays(this.connectRetry)
    this.io.outbox.post(() => this.retry = delays.next(cause, this.quiet, this.resume))
  }

  private starts(cause: Failure<E>): void {
    this.active = true
    this.since = this.io.now()
    this.pool.news.outageBegan(reasonOf(cause))
  }

  /**
   * The time for which no connect is tried, whatever the policy says. It depends on the number of logins that were
   * refused since the last call.
   */
  private readonly quiet = (): number => {
    const millis = this.refusedLogins * perRefusedLogin
    this.refusedLogins = 0
    return millis
  }

  private readonly resume = (goesOn: boolean): void => {
    this.mayRetry = true
    // A connect that was under way may have succeeded.
    if (goesOn || !this.active) this.pool.serve()
    else this.pool.supply.giveUp()
  }

  /** A connect succeeded at `now`. */
  healed(now: number): void {
    this.lastFailure = undefined
    this.incidents.worked()
    this.end(now)
  }

  /** The reason why the last connect failed, if none has succeeded since. */
  get reason(): unknown {
    return this.lastFailure === undefined ? undefined : reasonOf(this.lastFailure)
  }

  /**
   * The failure for which no caller needs to wait for a connect now: the last connect was refused permanently, a moment
   * ago.
   */
  get verdict(): Failure<E> | undefined {
    return this.mayRetry ? undefined : this.permanent
  }

  /** Ends the outage. */
  end(now: number): void {
    if (!this.active) return
    this.active = false
    this.pool.news.outageEnded(this.io.now() - this.since)
    this.until = now
    this.permanent = undefined
    this.delays = undefined
  }

  /** Adjusts `until` after a time that does not count for the waiters. */
  stoodStill(from: number, to: number): void {
    if (this.until < Infinity) this.until += to - Math.max(from, Math.min(this.until, to))
  }

  /** The pool comes to its end, and tries no connect any more. */
  stop(): void {
    this.end(this.pool.env.now())
    this.io.outbox.post(() => this.retry === undefined ? undefined : this.io.interrupt(this.retry))
    this.incidents.stop()
  }
}

/** The reason why a connect failed, and the kind of failure, which decides on the next connect (R18). @internal */
export interface ConnectFailure<E> {
  readonly failure: Failure<E>
  readonly kind: "transient" | "permanent" | "other"
}

/** @internal */
export const classify = <E>(
  cause: Failure<E>,
  { isPermanent, isTransient }: Pick<Resource<never, E>, "isPermanent" | "isTransient">
): ConnectFailure<E> => {
  const failure = withoutInterrupts(cause)
  const known = errorOf(failure)
  if (known === undefined) return { failure, kind: isTimeout(failure) ? "transient" : "other" }
  try {
    const kind = isTransient(known.error) ? "transient" : isPermanent(known.error) ? "permanent" : "other"
    return { failure, kind }
  } catch (bug) {
    return { failure: defect(bug), kind: "other" }
  }
}

const isTimeout = (failure: Failure<unknown>): boolean => defectOf(failure) instanceof ConnectTimedOut
