/** @internal */
import { Alarm } from "./alarm.js"
import type { Connections } from "./connections.js"
import type { Evictor } from "./evictor.js"
import type { WaitPolicy } from "./forecast.js"
import type { Port } from "./port.js"
import type { Timers } from "./runtime.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"

/** A sweep of so many connections is worth a millisecond: then it takes about a thousandth of the time, at most. */
const sweptPerMilli = 10

/**
 * Retires idle connections that have expired (R9), were not used for `idleTimeout` (R10) or have lingered for long
 * enough, and renews those that a quiet pool keeps, and those that are evicted (R19). It sleeps until the next one is
 * due, and rests while none can be.
 *
 * A sweep looks at all connections. All else here takes the same time however many there are, as callers wait for it.
 *
 * @internal
 */
export class Sweeper<A> {
  private readonly alarm: Alarm
  /** No sweep before that: where there are thousands, those that are due within some milliseconds have one sweep. */
  private restsUntil = -Infinity
  /** Connections that are to be renewed: those with no successor yet, and those whose successor is opening. */
  private readonly due = new Set<Slot<A>>()
  private readonly renewing = new Set<Slot<A>>()
  /** When all of those will have expired, and how many others will still be there then, without a renewal before. */
  private horizon = -Infinity
  private lasting = 0

  constructor(
    private readonly settings: Settings,
    private readonly waitPolicy: WaitPolicy,
    private readonly timers: Timers,
    private readonly connections: Connections<A>,
    private readonly evictor: Evictor<A>,
    private readonly pool: Port<A, any>
  ) {
    this.alarm = new Alarm(timers, () => this.sweep())
  }

  /** A connection has become idle. */
  watch(slot: Slot<A>): void {
    this.alarm.arm(Math.max(Math.min(slot.renewAt, this.nextUnused(slot)), this.restsUntil))
  }

  /** When this one, or one that is no longer among the `minsize` used last, will have been unused for long enough. */
  private nextUnused(slot: Slot<A>): number {
    const { first, size } = this.connections.idle
    const { idleTimeout, maxsize, minsize } = this.settings
    if (idleTimeout === Infinity && size <= maxsize) return Infinity
    return Math.min(
      this.unusedAt(slot, 0),
      first === undefined || size <= minsize ? Infinity : this.unusedAt(first, size - 1)
    )
  }

  stop(): void {
    this.alarm.stop()
    this.evictor.stop()
  }

  private sweep(): number {
    const now = this.timers.now()
    const { due, renewing } = this
    this.eachIdle(now, (slot, rank, isKept) => {
      if (isKept && slot.renewAt <= now && !renewing.has(slot)) due.add(slot)
      if (slot.expiresAt <= now) this.pool.retire(slot, slot.expiry)
      else if (!isKept && this.unusedAt(slot, rank) <= now) {
        this.pool.retire(slot, rank < this.settings.maxsize ? "idle" : "surplus")
      }
    })
    this.count()
    this.pool.serve(now)
    let next = Infinity
    this.eachIdle(now, (slot, rank, isKept) => next = Math.min(next, this.dueAt(slot, rank, isKept, now)))
    this.restsUntil = now + Math.floor(this.connections.all.size / sweptPerMilli)
    return Math.max(next, this.restsUntil)
  }

  /**
   * The idle connections, the last used first: how many were used later, and whether it is one of the `minsize` that
   * stay. Those in use are used last of all, unless they are about to end.
   */
  private eachIdle(now: number, visit: (slot: Slot<A>, rank: number, isKept: boolean) => void): void {
    let keep = this.settings.minsize
    for (const { renewAt, state } of this.connections.all) {
      if ((state === "busy" || state === "checking") && renewAt > now) keep--
    }
    let rank = 0
    let slot = this.connections.idle.last
    while (slot !== undefined) {
      const { earlier }: Slot<A> = slot
      visit(slot, rank, rank < keep)
      rank++
      slot = earlier
    }
  }

  private dueAt(slot: Slot<A>, rank: number, isKept: boolean, now: number): number {
    if (!isKept) return Math.min(slot.expiresAt, this.unusedAt(slot, rank))
    if (slot.renewAt > now) return slot.renewAt
    // A successor that opens retires it, and one that does not wakes the sweeper.
    return this.renewing.has(slot) ? Infinity : slot.expiresAt
  }

  /** When it will have been unused for as long as it may be, if `rank` others were used after it. */
  private unusedAt(slot: Slot<A>, rank: number): number {
    const { idleTimeout, maxsize } = this.settings
    return slot.lastUsedAt + (rank < maxsize ? idleTimeout : Math.min(idleTimeout, this.waitPolicy.linger))
  }

  /** Counts anew how many connections last. */
  count(): void {
    this.horizon = -Infinity
    for (const olds of [this.due, this.renewing]) {
      for (const { expiresAt } of olds) this.horizon = Math.max(this.horizon, expiresAt)
    }
    this.lasting = 0
    for (const slot of this.connections.all) if (slot.isOpen) this.joins(slot)
  }

  /** A connection is in service from now on. */
  joins({ renewAt }: Slot<A>): void {
    if (renewAt > this.horizon) this.lasting++
  }

  /** A connection is no longer in service. */
  leaves({ renewAt }: Slot<A>): void {
    if (renewAt > this.horizon) this.lasting--
  }

  /** It is lent no more, and goes as soon as no borrower uses it. */
  retireLater(slot: Slot<A>): void {
    if (slot.isOpen) this.leaves(slot)
    slot.evict(this.timers.now())
    if (slot.isOpen) this.joins(slot)
  }

  /** Opens successors, as far as they are still needed. Where no permit is free the old connection goes first. */
  renew(): void {
    for (const old of this.due) {
      if (!this.isNeeded(old)) this.due.delete(old)
      else if (this.pool.demand.mayConnect) this.connect(old)
      else {
        if (old.state === "idle" && this.pool.demand.lacksRoom) this.pool.retire(old, "renewed")
        break
      }
    }
    // Those that are evicted have theirs one after the other.
    if (this.renewing.size > 0) return
    const old = this.evictor.next()
    if (old === undefined) return
    if (this.pool.demand.mayConnect) this.connect(old)
    else this.evictor.makeRoom()
  }

  private connect(old: Slot<A>): void {
    this.due.delete(old)
    this.renewing.add(old)
    this.pool.supply.connect(old)
  }

  /** Whether this one, which has no successor, is to have one: without it fewer than `minsize` would be left. */
  private isNeeded(old: Slot<A>, renewing = this.renewing.size): boolean {
    return old.state !== "busy" && this.lasting + renewing < this.settings.minsize
  }

  /** A connection is open. Where it is a successor the old one has done its duty. */
  opened(slot: Slot<A>): void {
    const isSeenTo = this.evictor.opened(slot)
    const { successorOf: old } = slot
    if (old === undefined) return
    this.renewing.delete(old)
    if (!isSeenTo && old.state === "idle") this.pool.retire(old, "renewed")
  }

  /** Whether a successor that was not opened is to be tried again: by now that may have been given up. */
  triesAgain(old: Slot<A>): boolean {
    return this.renewing.has(old) && (this.evictor.needs(old) || this.isNeeded(old, this.renewing.size - 1))
  }

  /** A successor was not opened. Does no harm where it was. */
  failed(old: Slot<A>): void {
    if (old.state === "idle") this.alarm.arm(old.expiresAt)
    if (this.triesAgain(old) && !this.evictor.needs(old)) this.due.add(old)
    this.renewing.delete(old)
  }

  /** A connection is not in service any more, or never was. */
  closing(slot: Slot<A>): void {
    this.evictor.closing(slot)
    if (slot.successorOf !== undefined) this.failed(slot.successorOf)
  }

  /** No successor is tried again for now. */
  giveUp(): void {
    this.due.clear()
    this.renewing.clear()
    this.evictor.giveUp()
  }
}
