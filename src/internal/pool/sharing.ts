/** @internal */
import type { Port } from "./port.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"
import type { Waiters } from "./waiters.js"

/**
 * The connections that several borrowers use at the same time. Nothing here takes longer the more of them there are.
 *
 * @internal
 */
export class Sharing<A, E> {
  /** Those that may have room for one more, by the number of their borrowers. */
  private readonly open: Array<Array<Slot<A>>> = []
  /** None of these has fewer. */
  private fewest = 0
  /** Those that take no new borrowers. They run dry for waiters that want a connection for themselves. */
  private readonly dry: Array<Slot<A>> = []

  constructor(
    private readonly settings: Settings,
    private readonly waiters: Waiters<A, E>,
    private readonly pool: Port<A, any>
  ) {}

  /** The number of its borrowers is another one, or it may have become fit again. */
  changed(slot: Slot<A>): void {
    if (slot.pile === this.dry) return
    this.remove(slot)
    if (slot.borrowers >= this.settings.share) return
    this.put(slot, this.open[slot.borrowers] ??= [])
    this.fewest = Math.min(this.fewest, slot.borrowers)
  }

  /** `canShare` would be true again. */
  reopened(value: A): void {
    const slot = this.pool.connections.of(value)
    if (slot?.isShared !== true) return
    this.pool.env.outbox.section(() => {
      this.changed(slot)
      this.pool.serve()
    })
  }

  remove(slot: Slot<A>): void {
    const { pile } = slot
    if (pile === undefined) return
    slot.pile = undefined
    const last = pile.pop()!
    if (last === slot) return
    pile[slot.at] = last
    last.at = slot.at
  }

  private put(slot: Slot<A>, pile: Array<Slot<A>>): void {
    slot.pile = pile
    slot.at = pile.push(slot) - 1
  }

  /**
   * The connection with the fewest borrowers, if one has room. Others are left to run dry, as many as there are waiters
   * that want a connection for themselves and came before: so those are not starved. Surplus ones are too.
   */
  find(now: number): Slot<A> | undefined {
    const { dry } = this
    const leftToRunDry = this.waiters.ahead + this.pool.demand.surplus
    while (dry.length > leftToRunDry) this.reopen(dry[dry.length - 1])
    for (let slot = this.leastLoaded(); slot !== undefined; slot = this.leastLoaded()) {
      if (dry.length === leftToRunDry && this.isFit(slot, now)) return slot
      // One that is not fit is looked at again when it has changed.
      this.remove(slot)
      if (dry.length < leftToRunDry) this.put(slot, dry)
    }
  }

  private isFit(slot: Slot<A>, now: number): boolean {
    const { connections, resource } = this.pool
    return slot.spent(now, this.settings.maxUses) === undefined && !connections.isSuspect(slot) &&
      resource.canShare(slot.value)
  }

  private reopen(slot: Slot<A>): void {
    this.remove(slot)
    this.changed(slot)
  }

  private leastLoaded(): Slot<A> | undefined {
    while (this.fewest < this.open.length && !this.open[this.fewest]?.length) this.fewest++
    return this.open[this.fewest]?.at(-1)
  }
}
