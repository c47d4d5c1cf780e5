/** @internal */

/** A due waiter. @internal */
export interface Coverable<A> {
  /** Whether no connect was started for it on which it can rely. */
  isUncovered: boolean
  earlierUncovered: A | undefined
  laterUncovered: A | undefined
}

/**
 * The due waiters that no young connect was started for, in the order in which they came to lack one. They are linked like
 * those of a `LinkedList`, beside the queue that they stand in: the tables of a `Set` would keep them, once these are among
 * the garbage collector's old objects.
 *
 * @internal
 */
export class Uncovered<A extends Coverable<A>> {
  first: A | undefined = undefined
  private last: A | undefined = undefined

  add(waiter: A): void {
    if (waiter.isUncovered) return
    waiter.isUncovered = true
    waiter.earlierUncovered = this.last
    if (this.last === undefined) this.first = waiter
    else this.last.laterUncovered = waiter
    this.last = waiter
  }

  delete(waiter: A): void {
    if (!waiter.isUncovered) return
    waiter.isUncovered = false
    if (waiter.earlierUncovered === undefined) this.first = waiter.laterUncovered
    else waiter.earlierUncovered.laterUncovered = waiter.laterUncovered
    if (waiter.laterUncovered === undefined) this.last = waiter.earlierUncovered
    else waiter.laterUncovered.earlierUncovered = waiter.earlierUncovered
    waiter.earlierUncovered = waiter.laterUncovered = undefined
  }
}
