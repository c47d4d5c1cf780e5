/** @internal */
import { oneLine, wordsOf } from "../words.js"
import { Alarm } from "./alarm.js"
import type { Connections } from "./connections.js"
import type { Port } from "./port.js"
import type { Environment } from "./settings.js"
import type { Slot } from "./slot.js"

/**
 * Which connections a soft `evict` replaces, and when each of them may go (R19): one for each connection that was begun and
 * has opened since, whether for that or for a caller. Until then they serve as ever. The sweeper opens the successors, one
 * after the other, and none while a newer connection stands by for the next old one that comes back.
 *
 * Where no permit is free one of them goes first, and its successor is owed. While connects fail none goes.
 *
 * One that is shared takes nobody new and runs dry. The next one waits for that, but no longer than `cleanupTimeout` if its
 * own successor is open.
 *
 * @internal
 */
export class Evictor<A> {
  /** How often all that there was was to be replaced. A connection has the number with which its connect began. */
  generation = 0
  /** Those that are to be replaced now, and those whose moment is to come, the next one first. */
  private readonly olds = new Set<Slot<A>>()
  private later = new Map<Slot<A>, number>()
  /** Newer ones that are open in the place of old ones: for each of them one may go. */
  private readonly standBys = new Set<Slot<A>>()
  /**
   * One of these has left by itself. Were the next one opened at once, it might be closed as well, and so on: it is opened
   * when an old one can go.
   */
  private hasFaded = false
  /** Those that make room for their successors: one that has gone, and one that is left to run dry. */
  private readonly owed = new Set<Slot<A>>()
  /** The last that went. */
  private last: Slot<A> | undefined = undefined
  /** The one that is shared and left to run dry, and until when the next one waits for that. */
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

  /** All that are open or opening are to be replaced, each from a random moment of the next `over` milliseconds on. */
  evict(over: number): void {
    // Else all of them go anyway, and nothing is opened that nobody waits for.
    if (this.pool.lifecycle.state === "open") this.env.outbox.section(() => this.beginEviction(over))
  }

  private beginEviction(over: number): void {
    // Those that stand by are now old themselves: what they are there for goes without a newer one.
    this.spend(() => this.find(({ isOpen }) => isOpen))
    this.standBys.clear()
    this.generation++
    this.hasGivenUp = this.hasWarned = this.hasFaded = false
    const now = this.env.now()
    const moments: Array<readonly [slot: Slot<A>, at: number]> = []
    for (const slot of this.connections.all) {
      if (slot.state === "closing") continue
      // None goes later than it was to go already.
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
   * All go, and nobody looks whether there will be new ones: now, or on release, or when they have opened. What is opening for
   * who waits is made up for at once.
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

  /** Nothing is replaced any more. */
  stop(): void {
    this.alarm.stop()
    this.later.clear()
    this.waitForNoneDry()
    this.olds.clear()
    this.owed.clear()
    this.standBys.clear()
  }

  /** Whether it is to have a successor that has not opened yet. */
  needs(old: Slot<A>): boolean {
    return this.owed.has(old) || this.olds.has(old)
  }

  /** The connection whose successor is to be opened next. */
  next(): Slot<A> | undefined {
    this.spend()
    const idle = this.find(isIdle)
    // Those that have gone by themselves were just left out.
    if (this.olds.size === 0) this.standBys.clear()
    else if (this.pool.outage.active) this.warn()
    if (this.hasGivenUp) return undefined
    const [owed] = this.owed
    if (owed !== undefined || this.standBy() !== undefined || this.isClosing) return owed
    if (this.hasFaded) return idle
    // One that is not kept when it comes back needs none. But one that is shared may never come back.
    const keeps = this.pool.keepsMore
    return idle ?? this.find(({ isShared }) => keeps || isShared)
  }

  /** Whether the last that went still counts, at the server too. */
  private get isClosing(): boolean {
    return this.last?.state === "closing" && this.connections.all.has(this.last)
  }

  /** No permit is free: if it can, an old one goes before its successor opens. */
  makeRoom(): void {
    if (this.hasLostRoom) this.owed.delete(this.gone!)
    const old = this.mayMakeRoom ? this.find(isIdle) ?? this.runsDryFirst() : undefined
    if (old === undefined) return
    this.owed.add(old)
    this.replace(old)
  }

  /** Whether the permit of the one that has gone is neither free nor in use for a connect: after a shrink. */
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

  /** Whether this one, which somebody gives back, is to go. */
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

  /** It stays for now. It will go if it has a successor, also if nothing else happens that would have one opened. */
  private cameBack(): void {
    if (!this.hasFaded) return
    this.hasFaded = false
    this.alarm.arm(this.env.now())
  }

  /** A newer one in whose place the next old one may go. While connects fail none goes: each may be the last one. */
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

  /** A connection has opened. Gives whether it was opened because of an eviction: then that has been seen to. */
  opened(slot: Slot<A>): boolean {
    const { generation, successorOf: old } = slot
    this.hasGivenUp = false
    // What it succeeds has gone by itself, or is no old one.
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

  /** For each one that stands by an old one goes, as far as one of these can. */
  private spend(mayGo = (): Slot<A> | undefined => this.find(isIdle) ?? this.runsDry()): void {
    for (let newer = this.standBy(); newer !== undefined; newer = this.standBy()) {
      const old = mayGo()
      if (old === undefined) return
      this.standBys.delete(newer)
      this.replace(old)
    }
  }

  /** Of those that are always in use, as they are shared, one after the other goes. */
  private runsDry(): Slot<A> | undefined {
    if (this.dry?.isOpen === true) return undefined
    let last: Slot<A> | undefined
    // One that nobody gives back may be stuck.
    for (const old of this.olds) {
      if (old.isShared && (last === undefined || old.lastUsedAt >= last.lastUsedAt)) last = old
    }
    if (last === undefined) return undefined
    this.dryUntil = this.env.now() + this.env.reach.cleanupTimeout
    this.alarm.arm(this.dryUntil)
    return this.dry = last
  }

  /** The same before its successor is open: only one at a time, as nobody serves in its place, however long that takes. */
  private runsDryFirst(): Slot<A> | undefined {
    return this.owed.size === 0 ? this.runsDry() : undefined
  }

  /** What uses the last one may never end: the next one waits for it no longer. */
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

  /** The first old one of which this is true; those before it that go anyway are left out from now on. */
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
