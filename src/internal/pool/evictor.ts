/** @internal */
import { oneLine, wordsOf } from "../words.js"
import { Alarm } from "./alarm.js"
import type { Connections } from "./connections.js"
import type { Port } from "./port.js"
import type { Environment } from "./settings.js"
import type { Slot } from "./slot.js"

/**
 * Which connections a soft `evict` replaces, and when each of them may go (R19). One old connection goes for each that
 * was begun and has opened since the eviction, whether as a successor or for a caller. Until then the old ones serve as
 * ever. The sweeper opens the successors one after the other. It opens none while a newer connection stands by for the
 * next old one that comes back.
 *
 * Where no permit is free an old connection goes first, and its successor is owed. While connects fail none goes.
 *
 * A shared connection takes no new borrowers and runs dry. The next old one waits for that, but no longer than
 * `cleanupTimeout` once its own successor is open.
 *
 * @internal
 */
export class Evictor<A> {
  /** The number of evictions so far. A connection keeps the number with which its connect began. */
  generation = 0
  /** The connections to be replaced now, and those whose moment is still to come, the next one first. */
  private readonly olds = new Set<Slot<A>>()
  private later = new Map<Slot<A>, number>()
  /** Newer connections that are open in the place of old ones: for each of them one old one may go. */
  private readonly standBys = new Set<Slot<A>>()
  /**
   * A connection that stood by has closed by itself. If the next one were opened at once it might close as well, and so
   * on. So it is opened when an old one can go.
   */
  private hasFaded = false
  /** Old connections that make room for their successors: one that has gone, and one that is left to run dry. */
  private readonly owed = new Set<Slot<A>>()
  /** The old connection that went last. */
  private last: Slot<A> | undefined = undefined
  /** The shared connection that is left to run dry, and until when the next one waits for that. */
  private dry: Slot<A> | undefined = undefined
  private dryUntil = Infinity
  /** No successor is tried until a connect has succeeded. */
  private hasGivenUp = false
  private hasWarned = false
  private readonly alarm: Alarm

  constructor(
    private readonly env: Environment,
    private readonly connections: Connections<A>,
    private readonly pool: Port<A, any>
  ) {
    this.alarm = new Alarm(env, () => this.ring())
  }

  /** Replaces all that are open or opening, each from a random moment of the next `over` milliseconds on. */
  evict(over: number): void {
    // A pool that is not open closes all of them anyway, and opens none without a waiter.
    if (this.pool.lifecycle.state === "open") this.env.outbox.section(() => this.beginEviction(over))
  }

  private beginEviction(over: number): void {
    // The connections that stand by are now old themselves. The old ones in whose place they opened go now.
    this.spend(() => this.find(({ isOpen }) => isOpen))
    this.standBys.clear()
    this.generation++
    this.hasGivenUp = this.hasWarned = this.hasFaded = false
    const now = this.env.now()
    const moments: Array<readonly [slot: Slot<A>, at: number]> = []
    for (const slot of this.connections.all) {
      if (slot.state === "closing") continue
      // An earlier eviction may have set an earlier moment.
      const at = Math.min(now + over * this.env.chance(), this.later.get(slot) ?? Infinity)
      if (at <= now) this.olds.add(slot)
      else moments.push([slot, at])
    }
    this.later = new Map(moments.sort(([, a], [, b]) => a - b))
    this.alarm.arm(this.nextAt)
    this.pool.serve()
  }

  private get nextAt(): number {
    for (const at of this.later.values()) return Math.min(at, this.dryUntil)
    return this.dryUntil
  }

  private ring(): number {
    const now = this.env.now()
    for (const [slot, at] of this.later) {
      if (at > now) break
      this.later.delete(slot)
      this.olds.add(slot)
    }
    if (this.dryUntil <= now) this.waitForNoneDry()
    this.pool.serve()
    return this.nextAt
  }

  /**
   * Closes all connections without successors: now, or on release, or when they have opened. Where a waiter relies on a
   * connect another one begins at once.
   */
  evictNow(): void {
    this.env.outbox.section(() => {
      this.stop()
      const now = this.env.now()
      for (const slot of this.connections.all) {
        slot.evict(now)
        if (slot.state === "opening") this.pool.demand.uncover(slot)
        else if (slot.state === "idle") this.pool.retire(slot, slot.expiry)
      }
      this.pool.sweeper.count()
      this.pool.serve()
    })
  }

  /** Ends all evictions. */
  stop(): void {
    this.alarm.stop()
    this.later.clear()
    this.waitForNoneDry()
    this.olds.clear()
    this.owed.clear()
    this.standBys.clear()
  }

  /** Whether the connection still lacks a successor. */
  needs(old: Slot<A>): boolean {
    return this.owed.has(old) || this.olds.has(old)
  }

  /** The connection whose successor is to be opened next. */
  next(): Slot<A> | undefined {
    if (!this.isAtWork) return undefined
    this.spend()
    const idle = this.find(isIdle)
    // `find` has just dropped the old ones that went by themselves.
    if (this.olds.size === 0) this.standBys.clear()
    else if (this.pool.outage.active) this.warn()
    if (this.hasGivenUp) return undefined
    const [owed] = this.owed
    if (owed !== undefined || this.standBy() !== undefined || this.isClosing) return owed
    if (this.hasFaded) return idle
    // A connection that would not be kept on its return needs no successor. But a shared one may never come back.
    const keeps = this.pool.fitness.keepsMore
    return idle ?? this.find(({ isShared }) => keeps || isShared)
  }

  /** Each caller that has to wait asks, and hardly ever anything is evicted. */
  private get isAtWork(): boolean {
    return this.olds.size > 0 || this.owed.size > 0 || this.standBys.size > 0
  }

  /** Whether the connection that went last still has its permit, and may still be open at the server. */
  private get isClosing(): boolean {
    return this.last?.state === "closing" && this.connections.all.has(this.last)
  }

  /** No permit is free: if one can, an old connection goes before its successor opens. */
  makeRoom(): void {
    if (this.hasLostRoom) this.owed.delete(this.gone!)
    const old = this.mayMakeRoom ? this.find(isIdle) ?? this.runsDryFirst() : undefined
    if (old === undefined) return
    this.owed.add(old)
    this.replace(old)
  }

  /** After a shrink: whether the permit of the one that has gone is neither free nor in use for a connect. */
  private get hasLostRoom(): boolean {
    const { all, opening } = this.connections
    return this.gone !== undefined && !all.has(this.gone) && opening.size === 0 && this.pool.demand.lacksRoom
  }

  private get mayMakeRoom(): boolean {
    const { opening } = this.connections
    return !this.hasGivenUp && opening.size === 0 && this.gone === undefined && this.pool.demand.lacksRoom
  }

  private get gone(): Slot<A> | undefined {
    for (const old of this.owed) if (!old.isOpen) return old
  }

  /** Whether this connection, which its borrower gives back, is to go. */
  claims(slot: Slot<A>): boolean {
    if (this.olds.size === 0 || slot.state === "opening" || !this.olds.has(slot)) return false
    const newer = this.standBy()
    if (newer !== undefined) this.standBys.delete(newer)
    else if (this.mayMakeRoom) this.owed.add(slot)
    else {
      this.cameBack()
      return false
    }
    this.leaves(slot)
    return true
  }

  /** It stays until it has a successor. The alarm sees to it that one is opened even if nothing else happens. */
  private cameBack(): void {
    if (!this.hasFaded) return
    this.hasFaded = false
    this.alarm.arm(this.env.now())
  }

  /** A newer connection in whose place the next old one may go. While connects fail none goes: it may be the last. */
  private standBy(): Slot<A> | undefined {
    if (this.pool.outage.active || this.hasGivenUp) return undefined
    for (const newer of this.standBys) {
      if (newer.state !== "closing") return newer
      this.closing(newer)
    }
  }

  /** A connection has left service, for whatever reason. */
  closing(slot: Slot<A>): void {
    this.later.delete(slot)
    if (this.standBys.delete(slot)) this.hasFaded = true
    if (slot === this.dry) this.waitForNoneDry()
  }

  /** A connection has opened. Returns whether it was opened for an eviction, which then needs nothing else. */
  opened(slot: Slot<A>): boolean {
    const { generation, successorOf: old } = slot
    this.hasGivenUp = false
    // The connection that it succeeds has gone by itself, or is not an evicted one.
    if (old !== undefined && !this.needs(old)) return false
    const owed = this.gone ?? [...this.owed][0]
    if (owed !== undefined && owed.generation < generation) this.owed.delete(owed)
    else if (generation < this.generation) {
      const isOlder = (old: Slot<A>) => old.isOpen && old.generation < generation
      this.replace(this.find((other) => isIdle(other) && isOlder(other)) ?? this.find(isOlder))
    } else if (old?.state === "idle") this.replace(old)
    else if (this.olds.size > 0) {
      this.standBys.add(slot)
      this.spend()
    }
    return old !== undefined
  }

  /** For each connection that stands by an old one goes, as long as one can. */
  private spend(mayGo = (): Slot<A> | undefined => this.find(isIdle) ?? this.runsDry()): void {
    for (let newer = this.standBy(); newer !== undefined; newer = this.standBy()) {
      const old = mayGo()
      if (old === undefined) return
      this.standBys.delete(newer)
      this.replace(old)
    }
  }

  /** Shared connections may always be in use. So one after the other runs dry. */
  private runsDry(): Slot<A> | undefined {
    if (this.dry?.isOpen === true) return undefined
    let last: Slot<A> | undefined
    // The one used last: a connection that is never given back may be stuck.
    for (const old of this.olds) {
      if (old.isShared && (last === undefined || old.lastUsedAt >= last.lastUsedAt)) last = old
    }
    if (last === undefined) return undefined
    this.dryUntil = this.env.now() + this.env.reach.cleanupTimeout
    this.alarm.arm(this.dryUntil)
    return this.dry = last
  }

  /** The same before its successor is open: only one at a time, however long it takes, as none serves in its place. */
  private runsDryFirst(): Slot<A> | undefined {
    return this.owed.size === 0 ? this.runsDry() : undefined
  }

  /** The use of the dry one may never end: the next one waits for it no longer. */
  private waitForNoneDry(): void {
    this.dry = undefined
    this.dryUntil = Infinity
    this.hasFaded = false
  }

  private replace(old: Slot<A> | undefined): void {
    if (old === undefined) return
    this.leaves(old)
    if (old.state === "idle") this.pool.retire(old, "evicted")
    else this.pool.sweeper.retireLater(old)
  }

  private leaves(old: Slot<A>): void {
    this.olds.delete(old)
    this.last = old
  }

  /** The first old connection for which `is` holds. Drops those before it that go anyway. */
  private find(is: (old: Slot<A>) => boolean): Slot<A> | undefined {
    for (const old of this.olds) {
      if (old.state === "closing" || old.isEvicted) this.olds.delete(old)
      else if (is(old)) return old
    }
  }

  /** Connects were given up. */
  giveUp(): void {
    this.hasGivenUp = true
    this.owed.clear()
  }

  private warn(): void {
    if (this.hasWarned) return
    this.hasWarned = true
    const n = this.olds.size
    const serve = n === 1 ? "1 connection of before it goes" : `${n} connections of before it go`
    const reason = oneLine(wordsOf(this.pool.outage.reason))
    this.env.log.warn(`evict has stopped: connects fail (${reason}). ${serve} on serving until connects succeed`)
  }
}

const isIdle = ({ state }: Slot<unknown>): boolean => state === "idle"
