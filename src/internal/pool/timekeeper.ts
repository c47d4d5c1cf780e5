/** @internal */
import type { Time } from "./alarm.js"
import { Alarm } from "./alarm.js"
import type { Patience } from "./forecast.js"
import type { Outage } from "./outage.js"
import type { Settings } from "./settings.js"
import type { Waiter, Waiters } from "./waiters.js"

/** What the timekeeper asks of the pool. */
interface Pool<A, E> {
  readonly serve: (now: number) => void
  /** How many connections are opening or checked for the oldest waiters, or have a free permit. */
  readonly owed: () => number
  readonly refuse: (waiter: Waiter<A, E>, now: number) => void
}

/**
 * Tells when waiters have waited for `maxwait` and for as long as they may (R4). All wait for the same times, so the
 * oldest is first, and one sleeping fiber does for all of them.
 *
 * @internal
 */
export class Timekeeper<A, E> {
  private readonly alarm: Alarm

  constructor(
    private readonly waiters: Waiters<A, E>,
    private readonly outage: Outage<unknown>,
    private readonly patience: Patience,
    private readonly settings: Settings,
    private readonly time: Time,
    private readonly pool: Pool<A, E>
  ) {
    this.alarm = new Alarm(time, () => this.ring())
  }

  /** Watches over a new waiter. */
  watch(waiter: Waiter<A, E>): void {
    const { acquireTimeout } = this.settings
    this.alarm.arm(waiter.since + (waiter.due ? acquireTimeout : Math.min(this.patience.maxwait, acquireTimeout)))
  }

  stop(): void {
    this.alarm.stop()
  }

  /** Goes on at `now`. */
  start(now: number): void {
    if (this.waiters.size > 0) this.alarm.arm(now)
  }

  private ring(): number {
    const now = this.time.now()
    while (this.nextDueAt <= now) this.waiters.makeNextDue()
    this.pool.serve(now)
    return Math.min(this.refuseLate(now), this.nextDueAt)
  }

  private get nextDueAt(): number {
    const { patient } = this.waiters
    return patient === undefined ? Infinity : patient.since + this.patience.maxwait
  }

  /** Refuses those who have waited for too long, and gives when the next one will have. */
  private refuseLate(now: number): number {
    const { acquireTimeout, outageTimeout, owedTimeout, share } = this.settings
    // Nobody has less time than the oldest: those that are owed something need not be looked through.
    const soonest = (this.waiters.head?.since ?? Infinity) + acquireTimeout
    if (soonest > now) return soonest
    // Where an outage gives nobody more time, nobody need be looked for who came after it.
    const outageUntil = outageTimeout > acquireTimeout ? this.outage.until : -Infinity
    let places = this.pool.owed() * share
    let next = Infinity
    let hasRefused = false
    let behind: Waiter<A, E> | undefined
    for (let waiter = this.waiters.head; waiter !== undefined; waiter = behind) {
      behind = waiter.next
      const takes = waiter.shares ? 1 : share
      const isOwed = places >= takes
      const sawOutage = waiter.since <= outageUntil
      const limit = Math.max(isOwed ? owedTimeout : acquireTimeout, sawOutage ? outageTimeout : 0)
      if (waiter.since + limit <= now) {
        hasRefused = true
        this.pool.refuse(waiter, now)
      } else {
        next = Math.min(next, waiter.since + limit)
        if (isOwed) places -= takes
        // All behind it are younger and have no more time than this one.
        if (!isOwed && (!sawOutage || this.outage.active)) break
      }
    }
    if (!hasRefused) return next
    // Those behind may be served now, and others may have come when these were told.
    this.pool.serve(now)
    return this.refuseLate(now)
  }
}
