/** @internal */
import type { CloseReason } from "../../PoolStats.js"
import type { Loan } from "./loan.js"
import type { Running } from "./runtime.js"
import type { Waiter } from "./waiters.js"

/** @internal */
export type State = "opening" | "idle" | "busy" | "checking" | "closing"

/**
 * The life of a connection: which states may follow which. It is a switch, not an object of lists, because each loan
 * asks twice.
 */
const mayFollow = (state: State, next: State): boolean => {
  switch (state) {
    case "opening":
      return next === "idle" || next === "busy" || next === "closing"
    case "idle":
      return next === "busy" || next === "checking" || next === "closing"
    case "busy":
      // From busy to busy: one borrower gives it back, and the oldest waiter gets it in the same step.
      return next === "busy" || next === "idle" || next === "checking" || next === "closing"
    case "checking":
      return next === "idle" || next === "busy" || next === "closing"
    case "closing":
      return false
  }
}

/** What a connection's own fiber can be told to do. @internal */
export type Command = "check" | "reset" | "retire"

/** The part of a connection's life after which a successor is opened (R9). */
const renewedAfter = 0.975

/**
 * What the books of the pool note on a connection, so that each of them finds and moves it in constant time. Every
 * field is written by one book only.
 */
abstract class Notes<A> {
  /** Its neighbours in the `LinkedList` of the idle ones. */
  earlier: Slot<A> | undefined = undefined
  later: Slot<A> | undefined = undefined
  /** Where `Sharing` keeps it. */
  pile: Array<Slot<A>> | undefined = undefined
  at = 0
  /** Of the forecast: when its connect began, by the policy clock. */
  since = 0
}

/**
 * The pool's record of one connection, from the moment a connect is due until its permit is back. It alone changes what
 * it holds. A change that its life does not know is a mistake of the pool, and throws.
 *
 * @internal
 */
export class Slot<A> extends Notes<A> {
  #state: State = "opening"
  #closeReason: CloseReason = "failed"
  #value: A = undefined as A
  #fiber: Running | undefined = undefined
  #stale = false
  #cause: Waiter<any, any> | undefined = undefined
  #expiresAt = Infinity
  #evictedAt = Infinity
  #renewAt = Infinity
  #lastUsedAt = 0
  #provenAt = 0
  #openedAt: number | undefined = undefined
  #uses = 0
  /** The loans that have not ended: more than one only where borrowers share it. */
  readonly #loans: Array<Loan<A>> = []
  #suspicions = 0
  #isShared = false
  #invalid = false
  /** The `connectTimeout` that its connect has taken. */
  #timedOutAfter: number | undefined = undefined
  #endOfWait: ((connectTimeout: number) => void) | undefined = undefined
  #obey: ((command: Command) => void) | undefined = undefined

  constructor(
    /** Connections are numbered from 1, in the order in which their connects began. */
    readonly number: number,
    /** The connection that this one was opened to renew. */
    readonly successorOf: Slot<A> | undefined,
    /** A caller relies on its connect for so long (R6), in milliseconds. */
    readonly youngFor: number,
    /** When its connect began, by the clock of I/O. */
    readonly dialledAt: number,
    /** The number of evictions before its connect began. */
    readonly generation: number
  ) {
    super()
  }

  // --- its state -------------------------------------------------------------------------------------------------

  get state(): State {
    return this.#state
  }

  /** It is in service, or about to be again. */
  get isOpen(): boolean {
    return this.#state !== "opening" && this.#state !== "closing"
  }

  /** `why` it closes, where it does and its connect has not just failed. */
  enter(next: State, why: CloseReason = "failed"): void {
    if (!mayFollow(this.#state, next)) {
      throw new Error(`effect-pgpool has a defect: a connection that is ${this.#state} can't become ${next}`)
    }
    this.#state = next
    this.#isShared = false
    if (next === "closing") this.#closeReason = why
  }

  get closeReason(): CloseReason {
    return this.#closeReason
  }

  // --- its connect -----------------------------------------------------------------------------------------------

  /** The fiber in which its life runs. */
  get fiber(): Running | undefined {
    return this.#fiber
  }

  runsIn(fiber: Running): void {
    this.#fiber = fiber
  }

  /** The waiter that caused its connect, if it still waits, and caused no other connect since. */
  get causer(): Waiter<any, any> | undefined {
    return this.#cause?.queued === true && this.#cause.connect === this ? this.#cause : undefined
  }

  /** The waiter that caused its connect. */
  get cause(): Waiter<any, any> | undefined {
    return this.#cause
  }

  causedBy(waiter: Waiter<any, any>): void {
    this.#cause = waiter
  }

  /** No caller relies on its connect any more (R6). */
  get stale(): boolean {
    return this.#stale
  }

  leftAlone(): void {
    this.#stale = true
  }

  /** Its connect has taken as long as it may: its fiber waits no longer. */
  timeOut(connectTimeout: number): void {
    this.#timedOutAfter = connectTimeout
    this.#endOfWait?.(connectTimeout)
  }

  /** Calls `end` when that happens, or has happened. */
  onTimeOut(end: (connectTimeout: number) => void): void {
    this.#endOfWait = end
    if (this.#timedOutAfter !== undefined) end(this.#timedOutAfter)
  }

  /** It has opened at `now`, and lives for `lifetime`. */
  opened(value: A, now: number, lifetime: number): void {
    this.#value = value
    this.#cause = undefined
    this.#openedAt = this.#provenAt = this.#lastUsedAt = now
    this.#livesFor(now, lifetime)
  }

  get value(): A {
    return this.#value
  }

  /** How long it has been open, in milliseconds; 0 if it never was. */
  age(now: number): number {
    return this.#openedAt === undefined ? 0 : now - this.#openedAt
  }

  // --- its loans -------------------------------------------------------------------------------------------------

  /** One that `shares` leaves room for others that do. */
  lent(loan: Loan<A>): void {
    if (this.#loans.length === 0) this.#isShared = loan.shares
    loan.place = this.#loans.push(loan) - 1
    this.#uses++
  }

  returned(loan: Loan<A>, now: number): void {
    const last = this.#loans.pop()!
    if (last !== loan) {
      this.#loans[loan.place] = last
      last.place = loan.place
    }
    this.#provenAt = this.#lastUsedAt = now
  }

  /** The loans that have not ended. */
  get loans(): ReadonlyArray<Loan<A>> {
    return this.#loans
  }

  /** How often it was lent. */
  get uses(): number {
    return this.#uses
  }

  /** How many use it now: more than one only where they share it. */
  get borrowers(): number {
    return this.#loans.length
  }

  get isShared(): boolean {
    return this.#isShared
  }

  get lastUsedAt(): number {
    return this.#lastUsedAt
  }

  // --- whether it is well ----------------------------------------------------------------------------------------

  /** It is well at `now`, when all have become suspect so often. */
  proven(now: number, suspicions: number): void {
    this.#provenAt = now
    this.#suspicions = suspicions
  }

  /** When it was last known to be alive. */
  get provenAt(): number {
    return this.#provenAt
  }

  /** How often all had become suspect when it was last known to be well (R19). */
  get suspicions(): number {
    return this.#suspicions
  }

  /** It is broken. */
  invalidate(): void {
    this.#invalid = true
  }

  get invalid(): boolean {
    return this.#invalid
  }

  // --- its end ---------------------------------------------------------------------------------------------------

  /** It is lent no more. It may still be opening. */
  evict(now: number): void {
    this.#evictedAt = Math.min(this.#evictedAt, now)
    if (this.#evictedAt < this.#expiresAt) this.#livesFor(now, Infinity)
  }

  get isEvicted(): boolean {
    return this.#evictedAt < Infinity
  }

  get expiresAt(): number {
    return this.#expiresAt
  }

  /** When a successor is opened, if this one is to be kept (R9). */
  get renewAt(): number {
    return this.#renewAt
  }

  /** Why it goes at `expiresAt`. */
  get expiry(): CloseReason {
    return this.#expiresAt < this.#evictedAt ? "expired" : "evicted"
  }

  /** Why it is lent no more, though it may be well. */
  spent(now: number, maxUses: number): CloseReason | undefined {
    if (this.#invalid) return "invalidated"
    if (this.#expiresAt <= now) return this.expiry
    if (this.#uses >= maxUses) return "used"
  }

  #livesFor(now: number, lifetime: number): void {
    this.#expiresAt = Math.min(now + lifetime, this.#evictedAt)
    this.#renewAt = now + (this.#expiresAt - now) * renewedAfter
  }

  // --- its fiber -------------------------------------------------------------------------------------------------

  /** Tells its fiber what to do next. */
  give(command: Command): void {
    this.#obey?.(command)
  }

  /** Its fiber hears of all commands from now on. */
  onCommand(obey: (command: Command) => void): void {
    this.#obey = obey
  }
}
