/** @internal */
import type { PoolError } from "../../PoolError.js"
import { Alarm } from "./alarm.js"
import type { WaitPolicy } from "./forecast.js"
import type { Outage } from "./outage.js"
import type { Port } from "./port.js"
import type { Timers } from "./runtime.js"
import type { Settings } from "./settings.js"
import type { Waiter, Waiters } from "./waiters.js"

/**
 * Watches how long waiters have waited: for `maxwait`, and for the longest that they may (R4). All waiters have the
 * same limits, so the oldest one is first, and one sleeping fiber serves all of them.
 *
 * @internal
 */
export class Timekeeper<A, E> {
  private readonly alarm: Alarm
  /**
   * Before this time no caller has waited for too long, unless the pool owes fewer connections than `owed` meanwhile.
   */
  private nextLateAt = Infinity
  private owed = 0

  constructor(
    private readonly waiters: Waiters<A, E | PoolError>,
    private readonly outage: Outage<unknown>,
    private readonly waitPolicy: WaitPolicy,
    private readonly settings: Settings,
    private readonly timers: Timers,
    private readonly pool: Port<A, E>
  ) {
    this.alarm = new Alarm(timers, () => this.ring())
  }

  /** Watches over a new waiter. */
  watch(waiter: Waiter<A, E | PoolError>): void {
    const { limits: { full, owed }, share } = this.settings
    const { alone, sharers } = this.waiters
    // The new waiter is the last in the queue. This saves a look at all waiters before it when 20,000 callers come at
    // once.
    const isOwed = this.pool.demand.owed * share >= alone * share + sharers
    const lateAt = waiter.since + (isOwed ? owed : full).limitMillis
    this.nextLateAt = Math.min(this.nextLateAt, lateAt)
    this.alarm.arm(waiter.due ? lateAt : Math.min(lateAt, this.nextLook))
  }

  stop(): void {
    this.alarm.stop()
  }

  /** Some waiters may have less time than before. */
  lookAgain(): void {
    this.nextLateAt = -Infinity
  }

  /** Goes on at `now`, also with the callers that came meanwhile. */
  start(now: number): void {
    this.lookAgain()
    if (this.waiters.size > 0) this.alarm.arm(now)
  }

  private ring(): number {
    this.pool.serve(this.timers.now())
    return Math.min(this.nextLateAt, this.nextLook)
  }

  /** Those that have waited for `maxwait` are due. */
  markDue(now: number): void {
    while (this.nextDueAt <= now) this.waiters.makeNextDue()
  }

  /**
   * The time when a waiter will be due, or may be, and the pool can do something for it. While all that it may open is
   * in use, it can't before a borrower gives back: it looks then. A queue before a full pool would wake it every few
   * milliseconds, for nothing.
   */
  private get nextLook(): number {
    return this.waiters.patient === undefined || this.pool.demand.owed === 0
      ? Infinity
      : Math.min(this.nextDueAt, this.waitPolicy.dueAt(this.timers.now()))
  }

  private get nextDueAt(): number {
    const { patient } = this.waiters
    return patient === undefined ? Infinity : patient.since + this.waitPolicy.maxwait
  }

  /**
   * Refuses waiters that have waited for too long. Returns whether there were any, because others may be served now.
   */
  refuseLate(now: number): boolean {
    const { limits: { full, outage, owed }, share } = this.settings
    const before = this.owed
    this.owed = this.pool.demand.owed
    // The pool can do something for them again, and nobody has looked after them meanwhile.
    if (before === 0 && this.owed > 0) this.alarm.arm(this.nextLook)
    // A waiter that was served stood before all others, so the others have no less time than before. But if a sharer
    // was owed only a part of a connection, it leaves fewer connections to the others when it is served.
    const haveLess = share > 1 && this.owed < before
    if (now < this.nextLateAt && !haveLess) return false
    // If an outage gives waiters no more time, there is no need to look for waiters that came during it.
    const outageUntil = outage.limitMillis > full.limitMillis ? this.outage.until : -Infinity
    let places = this.owed * share
    let next = Infinity
    let hasRefused = false
    let behind: Waiter<A, E | PoolError> | undefined
    for (let waiter = this.waiters.first; waiter !== undefined; waiter = behind) {
      behind = waiter.later
      const takes = waiter.shares ? 1 : share
      const wasOwed = places >= takes
      const sawOutage = waiter.since <= outageUntil
      const limit = sawOutage ? outage : wasOwed ? owed : full
      const lateAt = waiter.since + limit.limitMillis
      if (lateAt <= now) {
        hasRefused = true
        this.pool.refusals.exhausted(waiter, now, { ...limit, wasOwed })
      } else {
        next = Math.min(next, lateAt)
        if (wasOwed) places -= takes
        // All waiters behind this one are younger and have no more time than it has.
        if (!wasOwed && (!sawOutage || this.outage.active)) break
      }
    }
    this.nextLateAt = next
    this.alarm.arm(next)
    return hasRefused
  }
}
