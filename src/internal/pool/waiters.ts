/** @internal */
import type { Linked } from "./linkedList.js"
import { LinkedList } from "./linkedList.js"
import type { Loan } from "./loan.js"
import type { Outbox, Party } from "./outbox.js"
import type { Borrower, Failure, Outcome } from "./runtime.js"
import { failed, succeeded } from "./runtime.js"
import type { Slot } from "./slot.js"
import type { Tally } from "./tally.js"
import type { Coverable } from "./uncovered.js"
import { Uncovered } from "./uncovered.js"

/** Tells a caller how its wait has ended. It may call the pool at once. @internal */
export type End<A, E> = Told<A, E>["end"]

/** A method, so that a waiter for some `A` is also a waiter for anything. */
interface Told<A, E> {
  end(outcome: Outcome<Loan<A>, E>): void
}

const tellNobody = (): void => {}

/**
 * A caller in the queue.
 *
 * @internal
 */
export class Waiter<A, E> implements Party, Linked<Waiter<A, E>>, Coverable<Waiter<A, E>> {
  /** The connection it was handed. An interrupted waiter still owns it and gives it back. */
  loan: Loan<A> | undefined = undefined
  /** The latest connect that was started because of it. */
  connect: Slot<A> | undefined = undefined
  /** Whether the pool owes it a connect (R3, R4). */
  due = false
  isUncovered = false
  earlierUncovered: Waiter<A, E> | undefined = undefined
  laterUncovered: Waiter<A, E> | undefined = undefined
  queued = false
  /** It wants a connection for itself, and has come before all that share. */
  isAhead = false
  /** How its wait has ended, as long as it has not been told. */
  outcome: Outcome<Loan<A>, E> | undefined = undefined
  /** Its neighbours in the queue. */
  earlier: Waiter<A, E> | undefined = undefined
  later: Waiter<A, E> | undefined = undefined
  /** When it began to wait, by the policy clock. */
  readonly asked: number

  constructor(
    /** The same; later, if time has stood still since. */
    public since: number,
    /** Whether it will do with a part of a connection. */
    readonly shares: boolean,
    private end: End<A, E>,
    readonly borrower: Borrower | undefined = undefined
  ) {
    this.asked = since
  }

  /** Whether it may still leave: its wait has not ended, or it has not been told so. */
  get isUntold(): boolean {
    return this.queued || this.outcome !== undefined
  }

  /** Tells it how its wait has ended, unless it has left. */
  tell(): void {
    const { end, outcome } = this
    this.forget()
    if (outcome !== undefined) end(outcome)
  }

  /**
   * It has been told, or need not be told any more. One that waited long is among the garbage collector's old objects, and
   * so keeps all that it refers to until those are collected: it lets go of its caller.
   */
  forget(): void {
    this.outcome = undefined
    this.end = tellNobody
  }
}

/**
 * The queue: first in, first out, and anyone may leave from the middle in constant time. The due waiters are always
 * its head, because the oldest becomes due first.
 *
 * @internal
 */
export class Waiters<A, E> extends LinkedList<Waiter<A, E>> {
  due = 0
  /** The oldest that is not due yet. */
  patient: Waiter<A, E> | undefined = undefined
  /** The oldest that shares, and how many of them there are. */
  sharer: Waiter<A, E> | undefined = undefined
  sharers = 0
  private dueSharers = 0
  private readonly uncovered = new Uncovered<Waiter<A, E>>()
  /** How many want a connection for themselves and have come before the oldest that shares. */
  ahead = 0

  constructor(
    /** How many sharers one connection has room for. */
    private readonly share: number,
    private readonly outbox: Outbox,
    private readonly tally: Tally
  ) {
    super()
  }

  override push(waiter: Waiter<A, E>): void {
    super.push(waiter)
    this.tally.meter?.queued(1)
    waiter.queued = true
    this.patient ??= waiter
    if (waiter.shares) {
      this.sharer ??= waiter
      this.sharers++
    } else if (this.sharer === undefined) this.moveAhead(waiter)
  }

  /** It leaves the queue, or is told no more how its wait has ended. */
  leave(waiter: Waiter<A, E>): void {
    this.remove(waiter)
    waiter.forget()
  }

  private moveAhead(waiter: Waiter<A, E>): void {
    waiter.isAhead = true
    this.ahead++
  }

  serve(waiter: Waiter<A, E>, loan: Loan<A>): void {
    waiter.loan = loan
    this.end(waiter, succeeded(loan))
  }

  /** Ends a wait. Its waiter hears of it after the section. */
  private end(waiter: Waiter<A, E>, outcome: Outcome<Loan<A>, E>): void {
    this.remove(waiter)
    waiter.outcome = outcome
    this.outbox.post(waiter)
  }

  fail(waiter: Waiter<A, E>, failure: Failure<E>): void {
    this.end(waiter, failed(failure))
  }

  /** Takes a waiter out of the queue, wherever it stands. */
  override remove(waiter: Waiter<A, E>): void {
    if (!waiter.queued) return
    waiter.queued = false
    if (this.patient === waiter) this.patient = waiter.later
    if (waiter.due) this.due--
    this.uncovered.delete(waiter)
    if (waiter.isAhead) this.ahead--
    if (waiter.shares) this.removeSharer(waiter)
    // One that waited long is among the garbage collector's old objects. With its neighbours it would keep all of them.
    super.remove(waiter)
    this.tally.meter?.queued(-1)
  }

  /** The next sharer is looked for from here on: never twice past the same waiter. */
  private removeSharer(waiter: Waiter<A, E>): void {
    this.sharers--
    if (waiter.due) this.dueSharers--
    if (this.sharer !== waiter) return
    let next = waiter.later
    for (; next !== undefined && !next.shares; next = next.later) this.moveAhead(next)
    this.sharer = next
  }

  /** The oldest waiter that was not due becomes due. */
  makeNextDue(): void {
    if (this.patient === undefined) return
    this.patient.due = true
    this.uncovered.add(this.patient)
    if (this.patient.shares) this.dueSharers++
    this.patient = this.patient.later
    this.due++
  }

  /** The oldest `n` become due, if they are not. */
  makeDue(n: number): void {
    while (this.due < n && this.patient !== undefined) this.makeNextDue()
  }

  /** For the waiters, time has stood still. */
  stoodStill(from: number, to: number): void {
    for (let waiter = this.first; waiter !== undefined; waiter = waiter.later) {
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
    const waiter = this.uncovered.first
    if (waiter === undefined) return
    this.uncovered.delete(waiter)
    waiter.connect = slot
    slot.causedBy(waiter)
  }

  /** No waiter can rely on this connect any more. */
  uncover({ cause }: Slot<A>): void {
    if (cause?.queued === true) this.uncovered.add(cause)
  }
}
