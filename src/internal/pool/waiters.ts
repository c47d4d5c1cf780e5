/** @internal */
import type * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type { Slot } from "./slot.js"

/**
 * A caller in the queue.
 *
 * @internal
 */
export class Waiter<A, E> {
  /** What it was handed. An interrupted waiter still owns it and gives it back. */
  slot: Slot<A> | undefined = undefined
  /** The latest connect that was started because of it. */
  connect: Slot<A> | undefined = undefined
  /** Whether the pool owes it a connect (R3, R4). */
  due = false
  queued = true
  /** It wants a connection for itself, and has come before all that share. */
  isAhead = false
  /** How its wait has ended, as long as it has not been told. */
  outcome: Exit.Exit<Slot<A>, E> | undefined = undefined
  next: Waiter<A, E> | undefined = undefined
  previous: Waiter<A, E> | undefined = undefined

  constructor(
    /** When it began to wait, in milliseconds of the policy clock; later, if time has stood still since. */
    public since: number,
    /** Whether it will do with a part of a connection. */
    readonly shares: boolean,
    /** Tells it how its wait has ended. */
    readonly end: (exit: Exit.Exit<Slot<A>, E>) => void
  ) {}
}

/**
 * The queue: first in, first out, and anyone may leave from the middle in constant time. The due waiters are always
 * its head, because the oldest becomes due first.
 *
 * @internal
 */
export class Waiters<A, E> {
  size = 0
  due = 0
  head: Waiter<A, E> | undefined = undefined
  private tail: Waiter<A, E> | undefined = undefined
  /** The oldest that is not due yet. */
  patient: Waiter<A, E> | undefined = undefined
  /** The oldest that shares, and how many of them there are. */
  sharer: Waiter<A, E> | undefined = undefined
  sharers = 0
  private dueSharers = 0
  /** Due waiters that no young connect was started for. */
  private readonly uncovered = new Set<Waiter<A, E>>()
  /** How many want a connection for themselves and have come before the oldest that shares. */
  ahead = 0
  /** Those that are to be told how their wait has ended; the first `told` of them have been. */
  private ended: Array<Waiter<A, E>> = []
  private told = 0

  /** `share`: how many sharers one connection has room for. */
  constructor(private readonly share: number) {}

  push(waiter: Waiter<A, E>): void {
    waiter.previous = this.tail
    if (this.tail === undefined) this.head = waiter
    else this.tail.next = waiter
    this.tail = waiter
    this.patient ??= waiter
    this.size++
    if (waiter.shares) {
      this.sharer ??= waiter
      this.sharers++
    } else if (this.sharer === undefined) this.moveAhead(waiter)
  }

  /** Out of the queue, or of those that are to be told. */
  leave(waiter: Waiter<A, E>): void {
    this.remove(waiter)
    waiter.outcome = undefined
  }

  private moveAhead(waiter: Waiter<A, E>): void {
    waiter.isAhead = true
    this.ahead++
  }

  /** Ends a wait. Its waiter hears of it from `tell`. */
  end(waiter: Waiter<A, E>, outcome: Exit.Exit<Slot<A>, E>): void {
    this.remove(waiter)
    waiter.outcome = outcome
    this.ended.push(waiter)
  }

  fail(waiter: Waiter<A, E>, cause: Cause.Cause<E>): void {
    this.end(waiter, Exit.failCause(cause))
  }

  failAll(cause: Cause.Cause<E>): void {
    while (this.head !== undefined) this.fail(this.head, cause)
  }

  /** Who is told may do what it likes with the pool on the spot, so this comes after all else. */
  tell(): void {
    while (this.told < this.ended.length) {
      const waiter = this.ended[this.told++]
      const { outcome } = waiter
      waiter.outcome = undefined
      // It has left if there is none.
      if (outcome !== undefined) waiter.end(outcome)
    }
    if (this.told === 0) return
    this.ended = []
    this.told = 0
  }

  /** Takes a waiter out of the queue, wherever it stands. */
  remove(waiter: Waiter<A, E>): void {
    if (!waiter.queued) return
    waiter.queued = false
    if (waiter.previous === undefined) this.head = waiter.next
    else waiter.previous.next = waiter.next
    if (waiter.next === undefined) this.tail = waiter.previous
    else waiter.next.previous = waiter.previous
    if (this.patient === waiter) this.patient = waiter.next
    if (waiter.due) this.due--
    this.uncovered.delete(waiter)
    if (waiter.isAhead) this.ahead--
    this.size--
    if (waiter.shares) this.removeSharer(waiter)
    // One that waited long is among the garbage collector's old objects, and would keep all that came after it.
    waiter.next = waiter.previous = undefined
  }

  /** The next sharer is looked for from here on: never twice past the same waiter. */
  private removeSharer(waiter: Waiter<A, E>): void {
    this.sharers--
    if (waiter.due) this.dueSharers--
    if (this.sharer !== waiter) return
    let next = waiter.next
    for (; next !== undefined && !next.shares; next = next.next) this.moveAhead(next)
    this.sharer = next
  }

  /** The oldest waiter that was not due becomes due. */
  makeNextDue(): void {
    if (this.patient === undefined) return
    this.patient.due = true
    this.uncovered.add(this.patient)
    if (this.patient.shares) this.dueSharers++
    this.patient = this.patient.next
    this.due++
  }

  /** The oldest `n` become due, if they are not. */
  makeDue(n: number): void {
    while (this.due < n && this.patient !== undefined) this.makeNextDue()
  }

  /** For those who wait, time has stood still. */
  stoodStill(from: number, to: number): void {
    for (let waiter = this.head; waiter !== undefined; waiter = waiter.next) {
      waiter.since += to - Math.max(waiter.since, from)
    }
  }

  /** How many want a connection for themselves. */
  get alone(): number {
    return this.size - this.sharers
  }

  /** How many connections it takes to serve them all. */
  get needed(): number {
    return this.alone + Math.ceil(this.sharers / this.share)
  }

  /** How many it takes to serve those that are due. */
  get neededByDue(): number {
    return this.due - this.dueSharers + Math.ceil(this.dueSharers / this.share)
  }

  /** A connect is started for one of the due waiters, if there is one that none was started for. */
  cover(slot: Slot<A>): void {
    const [waiter] = this.uncovered
    if (waiter === undefined) return
    this.uncovered.delete(waiter)
    waiter.connect = slot
    slot.cause = waiter
  }

  /** The connect is not one that a waiter could rely on, any more. */
  uncover({ cause }: Slot<A>): void {
    if (cause?.queued === true) this.uncovered.add(cause)
  }
}
