/** @internal */
import type { Slot } from "./slot.js"

/**
 * The connections that several borrowers use at the same time, in the order in which they began to be shared.
 *
 * @internal
 */
export class Sharing<A> {
  private readonly slots: Array<Slot<A>> = []

  constructor(
    /** How many borrowers one connection has room for. */
    private readonly limit: number,
    private readonly isFit: (slot: Slot<A>, now: number) => boolean
  ) {}

  add(slot: Slot<A>): void {
    this.slots.push(slot)
  }

  remove(slot: Slot<A>): void {
    const at = this.slots.indexOf(slot)
    if (at >= 0) this.slots.splice(at, 1)
  }

  /**
   * The connection with the fewest borrowers, if one has room. The first ones are left to run dry, as many as there are
   * waiters that want a connection for themselves: so those are not starved by the others.
   */
  leastLoaded(leftToRunDry: number, now: number): Slot<A> | undefined {
    let least: Slot<A> | undefined = undefined
    let borrowers = this.limit
    for (let i = leftToRunDry; i < this.slots.length; i++) {
      const slot = this.slots[i]
      if (slot.borrowers < borrowers && this.isFit(slot, now)) {
        least = slot
        borrowers = slot.borrowers
      }
    }
    return least
  }
}
