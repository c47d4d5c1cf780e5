/** @internal */
import type { Outage } from "./outage.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"
import type { Tally } from "./tally.js"
import type { Waiters } from "./waiters.js"

/** So many connects at once, until one has succeeded: a wrong password is not to be tried once for each waiter. */
const firstConnects = 4

/**
 * Why a caller waits: connects fail; or a connection is opened or checked for it; or all are in use that the pool opens
 * without hesitation.
 *
 * @internal
 */
export type WaitReason = "outage" | "opening" | "full"

/** How many connections may be missing at the same time because their successors need their permits. */
const mostReplaced = 4

/**
 * Which connects are wanted, and which may be begun.
 *
 * @internal
 */
export class Demand<A, E> {
  /** Connects in flight that a due waiter can rely on. */
  private cover = 0
  /** Whether connections are opened for `warm`. */
  private isWarming: boolean

  constructor(
    private readonly settings: Settings,
    private readonly waiters: Waiters<A, E>,
    private readonly tally: Tally,
    private readonly outage: Outage<unknown>
  ) {
    this.isWarming = settings.warm > 0
  }

  /** How many connections there will be without a wait for other borrowers, if up to `limit` are opened. */
  room(limit: number): number {
    const { checking, opening } = this.tally.in
    return opening + checking + Math.max(0, limit - this.tally.size)
  }

  /** How many connections the pool can give to waiters before a borrower gives one back. */
  get owed(): number {
    return Math.max(0, this.settings.maxoverflow - this.tally.in.busy)
  }

  /** How many waiters have to wait for other borrowers, if `room` connections serve as many as they can. */
  unserved(room: number): number {
    const { alone, sharers } = this.waiters
    const { share } = this.settings
    const sharing = Math.min(sharers, room * share)
    return alone + sharers - sharing - Math.min(alone, room - Math.ceil(sharing / share))
  }

  /**
   * Below `maxsize` a waiter is due at once (R3), not counting connects on which no waiter relies any more, unless a
   * check is under way that will have a connection ready sooner than a connect would: then only `maxwait` makes it due.
   * Else each check of a lone caller's connection would open a second one.
   */
  markDue(): void {
    const { settings, tally, waiters } = this
    while (
      waiters.neededByDue <= this.cover && tally.size - this.stuck < settings.maxsize &&
      waiters.needed - waiters.neededByDue > tally.in.checking
    ) waiters.makeNextDue()
  }

  /** Whether due waiters outnumber the connects that cover them (R6), or `warm` asks for a connection. */
  get wantsConnect(): boolean {
    const { tally, waiters } = this
    return waiters.neededByDue > this.cover || (this.isWarming && tally.size < this.warm)
  }

  /** Why the caller that has come last has to wait. */
  get waitReason(): WaitReason {
    if (this.outage.active) return "outage"
    return this.unserved(this.room(this.settings.maxsize)) > 0 ? "full" : "opening"
  }

  get hasPermit(): boolean {
    return this.tally.size < this.settings.maxoverflow
  }

  /** Whether the hard limit is reached, and a waiter has to wait for another borrower. */
  get isExceeded(): boolean {
    return !this.hasPermit && this.unserved(this.room(this.settings.maxoverflow)) > 0
  }

  /** After a shrink: so many more connections are in service than the hard limit allows. */
  get surplus(): number {
    return Math.max(0, this.tally.size - this.tally.in.closing - this.settings.maxoverflow)
  }

  get mayConnect(): boolean {
    return this.hasPermit && this.mayDial
  }

  private get mayDial(): boolean {
    const { connectConcurrency } = this.settings
    return this.outage.active
      ? this.outage.mayRetry && this.cover === 0
      : this.cover < (this.tally.opened > 0 ? connectConcurrency : Math.min(firstConnects, connectConcurrency))
  }

  /** Whether a connection may go only to make room for its successor: not for many at once, nor while connects fail. */
  get lacksRoom(): boolean {
    const { closing, opening } = this.tally.in
    const atOnce = Math.min(this.settings.connectConcurrency, mostReplaced)
    return !this.hasPermit && !this.outage.active && opening + closing < atOnce
  }

  /** Connects in flight on which no waiter relies any more. */
  private get stuck(): number {
    return this.tally.in.opening - this.cover
  }

  /** Whether a connect is wanted that can only have the permit of one on which no waiter relies any more. */
  get lacksPermit(): boolean {
    return this.stuck > 0 && this.tally.in.closing === 0 && !this.hasPermit && this.mayDial && this.wantsConnect
  }

  /** How many `warm` asks for. It can't be more than are kept, also after a shrink. */
  private get warm(): number {
    return Math.min(this.settings.warm, this.settings.maxsize)
  }

  dialled(): void {
    this.cover++
  }

  /** No waiter can rely on this connect any more. */
  uncover(slot: Slot<A>): void {
    if (slot.stale) return
    slot.leftAlone()
    this.cover--
    this.waiters.uncover(slot)
  }

  opened(): void {
    if (this.tally.open >= this.warm) this.isWarming = false
  }

  /** No more connections are opened for `warm`. */
  stopWarming(): void {
    this.isWarming = false
  }
}
