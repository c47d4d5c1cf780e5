/** @internal */

/** What can be in a list. @internal */
export interface Linked<A> {
  earlier: A | undefined
  later: A | undefined
}

/**
 * Items in the order in which they joined. Any of them can leave in constant time, for a server that ends may take
 * thousands of connections with it. An item is in one list at most.
 *
 * @internal
 */
export class LinkedList<A extends Linked<A>> {
  size = 0
  first: A | undefined = undefined
  last: A | undefined = undefined

  push(item: A): void {
    item.earlier = this.last
    if (this.last === undefined) this.first = item
    else this.last.later = item
    this.last = item
    this.size++
  }

  /** For one that is among them. */
  remove(item: A): void {
    if (item.earlier === undefined) this.first = item.later
    else item.earlier.later = item.later
    if (item.later === undefined) this.last = item.earlier
    else item.later.earlier = item.earlier
    item.earlier = item.later = undefined
    this.size--
  }
}
