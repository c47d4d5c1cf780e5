/** @internal */
import type { LeakWatch } from "./leaks.js"
import type { Borrower, Span } from "./runtime.js"
import { spanOf } from "./runtime.js"
import type { Slot } from "./slot.js"

/** What a loan asks of the pool. @internal */
export interface Lender<A> {
  /** Whether the connection is well still. Then its caller is served, and counted unless `wasServed`. */
  begins(loan: Loan<A>, wasServed: boolean): boolean
  /** It is over now, and was in that state. */
  release(loan: Loan<A>, was: LoanState): void
}

/**
 * Where a loan is.
 *
 * - `handedOver`: its borrower has not had the connection yet, so its caller has not been served.
 * - `inUse`: its borrower has the connection.
 * - `inVain`: the connection was lost before its use, so this counts as no loan of its borrower. It is to end.
 * - `over`: it has been given back.
 *
 * @internal
 */
export type LoanState = "handedOver" | "inUse" | "inVain" | "over"

/**
 * A connection in the hands of one borrower. Where several share the connection, each has a loan of its own.
 *
 * @internal
 */
export class Loan<A> {
  /** Told of the end, just before the connection is given back. */
  onEnd: (() => void) | undefined = undefined
  /** Only with `leakThreshold`. */
  leakWatch: LeakWatch<A> | undefined = undefined
  /** Whether a forecast expects the connection back soon. Those that it expects are a list, the oldest first. */
  isExpected = false
  earlier: Loan<A> | undefined = undefined
  later: Loan<A> | undefined = undefined
  /** Its place among the loans of its connection. */
  place = 0
  /** The span in which it began: its borrower may be in another one later. */
  readonly span: Span
  state: LoanState = "handedOver"

  constructor(
    private readonly lender: Lender<A>,
    readonly slot: Slot<A>,
    /** When it began, by the policy clock. */
    readonly since: number,
    readonly borrower: Borrower | undefined,
    /** Whether it is one of several of the same connection. */
    readonly shares: boolean,
    /** How long its borrower had waited in the queue, in milliseconds; in all, once it begins. `undefined`: it had not. */
    public waited: number | undefined,
    /** When its borrower asked, by the policy clock; once it begins: when it asked first. */
    public asked: number = since
  ) {
    this.span = borrower === undefined ? undefined : spanOf(borrower)
  }

  get value(): A {
    return this.slot.value
  }

  /**
   * The borrower calls it once, in the step in which it gets the connection: this may have been lost since it was handed
   * over. Whether it is well, as far as anybody knows. And the loan may be over: then the connection may be somebody
   * else's.
   */
  begin(before?: Attempts): boolean {
    if (this.isOver) return false
    if (before?.hasFailed === true) this.follow(before)
    const isWell = this.lender.begins(this, before?.wasServed === true)
    this.state = isWell ? "inUse" : "inVain"
    return isWell
  }

  /** The numbers are copied: those of the attempts go on to change. */
  private follow({ asked, waited }: Attempts): void {
    this.asked = asked
    if (waited !== undefined) this.waited = waited + (this.waited ?? 0)
  }

  get isOver(): boolean {
    return this.state === "over"
  }

  /** Whether the pool has closed the connection, under its borrower if it had one (R13). */
  get isCutOff(): boolean {
    return this.slot.state !== "busy"
  }

  /** A second end does nothing (I4). */
  end(): void {
    const { state } = this
    if (state === "over") return
    this.state = "over"
    this.onEnd?.()
    this.lender.release(this, state)
  }

  /** The connection was lost before its use, and its borrower asks for another one. */
  endInVain(): void {
    if (!this.isOver) this.state = "inVain"
    this.end()
  }
}

/** A borrower is handed another connection so many times. More would hide that it is what makes them end. */
const mostAttempts = 10

/**
 * The connections that one borrower got and that were lost before their use, or before anything was sent: as good as none.
 *
 * @internal
 */
export class Attempts {
  private left = mostAttempts
  /** Whether the borrower has had a connection: it has counted as served. */
  wasServed = false
  /** Whether that was closed under it: this is what the pool has told of it. */
  wasCutOff = false
  /** When the borrower asked for the first one, by the policy clock, and how long it has waited for all of them. */
  asked = 0
  waited: number | undefined = undefined

  /** Whether the borrower has lost one, and so was let in before. */
  get hasFailed(): boolean {
    return this.left < mostAttempts
  }

  /** One was lost before its use. Ends its loan, and tells whether the borrower may ask for another one. */
  next(loan: Loan<unknown>): boolean {
    if (this.left === 0) {
      loan.end()
      return false
    }
    this.left--
    if (loan.state === "inUse") {
      this.wasServed = true
      this.wasCutOff ||= loan.isCutOff
    }
    this.asked = loan.asked
    this.waited = loan.waited
    loan.endInVain()
    return true
  }
}
