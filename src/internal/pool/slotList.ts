/** @internal */
import type { Slot } from "./slot.js"

/**
 * Connections in the order in which they joined. Any of them can leave in constant time, for a server that ends may take
 * thousands with it. A connection is in one list at most.
 *
 * @internal
 */
export class SlotList<A> {
  size = 0
  first: Slot<A> | undefined = undefined
  last: Slot<A> | undefined = undefined

  push(slot: Slot<A>): void {
    slot.earlier = this.last
    if (this.last === undefined) this.first = slot
    else this.last.later = slot
    this.last = slot
    this.size++
  }

  /** For one that is among them. */
  remove(slot: Slot<A>): void {
    if (slot.earlier === undefined) this.first = slot.later
    else slot.earlier.later = slot.later
    if (slot.later === undefined) this.last = slot.earlier
    else slot.later.earlier = slot.earlier
    slot.earlier = slot.later = undefined
    this.size--
  }
}
