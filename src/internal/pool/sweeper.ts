/** @internal */
import type { CloseReason } from "../../PoolStats.js"
import type { Time } from "./alarm.js"
import { Alarm } from "./alarm.js"
import type { Patience } from "./forecast.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"

/** What the sweeper asks of the pool. */
interface Pool<A> {
  /** The idle connections; the last was used last. */
  readonly idle: ReadonlyArray<Slot<A>>
  /** Those in service besides them: busy or checking. */
  readonly inUse: () => ReadonlyArray<Slot<A>>
  readonly retire: (slot: Slot<A>, reason: CloseReason) => void
  readonly serve: (now: number) => void
  readonly hasPermit: () => boolean
  readonly mayConnect: () => boolean
  readonly connect: (successorOf: Slot<A>) => Slot<A>
}

interface Idle<A> {
  readonly slot: Slot<A>
  /** How many of the idle ones were used later. */
  readonly rank: number
  /** Whether it is one of the `minsize` that stay. */
  readonly isKept: boolean
}

/**
 * Retires idle connections that have expired (R9), were not used for `idleTimeout` (R10) or have lingered for long
 * enough, and renews those that a quiet pool keeps. It sleeps until the next one is due, and rests while none can be.
 *
 * @internal
 */
export class Sweeper<A> {
  private readonly alarm: Alarm
  /** Connections to be renewed, each with the successor that is opening, if any. */
  private readonly renewals = new Map<Slot<A>, Slot<A> | undefined>()

  constructor(
    private readonly settings: Settings,
    private readonly patience: Patience,
    private readonly time: Time,
    private readonly pool: Pool<A>
  ) {
    this.alarm = new Alarm(time, () => this.sweep())
  }

  /** A connection has become idle. */
  watch(slot: Slot<A>): void {
    this.alarm.arm(Math.min(slot.renewAt, this.nextUnused()))
  }

  /** When the next one will have been unused for long enough. */
  private nextUnused(): number {
    const { idle } = this.pool
    const { idleTimeout, maxsize, minsize } = this.settings
    if (idleTimeout === Infinity && idle.length <= maxsize) return Infinity
    // The one used last, and those that are no longer among the `minsize`, or the `maxsize`, that were used last.
    return Math.min(
      ...[0, minsize, maxsize].filter((rank) => rank < idle.length).map((rank) =>
        this.unusedAt(idle[idle.length - 1 - rank], rank)
      )
    )
  }

  stop(): void {
    this.alarm.stop()
  }

  private sweep(): number {
    const now = this.time.now()
    for (const { isKept, rank, slot } of this.byLastUse(now)) {
      if (isKept && slot.renewAt <= now && !this.renewals.has(slot)) this.renewals.set(slot, undefined)
      if (slot.expiresAt <= now) this.pool.retire(slot, slot.expiry)
      else if (!isKept && this.unusedAt(slot, rank) <= now) {
        this.pool.retire(slot, rank < this.settings.maxsize ? "idle" : "surplus")
      }
    }
    this.pool.serve(now)
    return this.byLastUse(now).reduce((next, idle) => Math.min(next, this.dueAt(idle, now)), Infinity)
  }

  /**
   * The idle connections, the last used first, and whether each is one of the `minsize` that stay. Those in use are
   * used last of all, unless they are about to end.
   */
  private byLastUse(now: number): ReadonlyArray<Idle<A>> {
    const keep = this.settings.minsize - this.pool.inUse().filter((slot) => slot.renewAt > now).length
    return [...this.pool.idle].reverse().map((slot, rank) => ({ slot, rank, isKept: rank < keep }))
  }

  private dueAt({ isKept, rank, slot }: Idle<A>, now: number): number {
    if (!isKept) return Math.min(slot.expiresAt, this.unusedAt(slot, rank))
    if (slot.renewAt > now) return slot.renewAt
    // A successor that opens retires it, and one that does not wakes the sweeper.
    return this.renewals.get(slot) === undefined ? slot.expiresAt : Infinity
  }

  /** When it will have been unused for as long as one may be after which `rank` others were used. */
  private unusedAt(slot: Slot<A>, rank: number): number {
    const { idleTimeout, maxsize } = this.settings
    return slot.lastUsedAt + (rank < maxsize ? idleTimeout : Math.min(idleTimeout, this.patience.linger))
  }

  /** Opens successors, as far as they are still needed. Where no permit is free the old connection goes first. */
  renew(): void {
    if (this.renewals.size === 0) return
    for (const [old, successor] of this.renewals) {
      if (old.state === "busy" || this.outliving(old) >= this.settings.minsize) this.renewals.delete(old)
      else if (successor !== undefined) continue
      else if (!this.pool.hasPermit()) {
        if (old.state === "idle") this.pool.retire(old, "renewed")
      } else if (this.pool.mayConnect()) this.renewals.set(old, this.pool.connect(old))
    }
  }

  /** How many connections will be there when this one has expired, other successors included. */
  private outliving(old: Slot<A>): number {
    const others = [...this.pool.inUse(), ...this.pool.idle].filter((slot) => slot.renewAt > old.expiresAt)
    const successors = [...this.renewals].filter(([slot, successor]) => slot !== old && successor !== undefined)
    return others.length + successors.length
  }

  /** A successor is open: the old connection has done its duty. */
  renewed(old: Slot<A>): void {
    this.renewals.delete(old)
    if (old.state === "idle") this.pool.retire(old, "renewed")
  }

  /** A successor could not be opened. Gives whether it is to be tried again: by now it may have been given up. */
  failed(old: Slot<A>): boolean {
    if (old.state === "idle") this.alarm.arm(old.expiresAt)
    if (!this.renewals.has(old)) return false
    this.renewals.set(old, undefined)
    return true
  }

  /** No successor is tried again for now. */
  giveUp(): void {
    this.renewals.clear()
  }
}
