/** @internal */
import type { Loan as LoanRecord, LoanOutcome, PoolEvent } from "../../PoolEvent.js"
import type { PoolStats, RefusalReason } from "../../PoolStats.js"
import { Hub } from "./hub.js"
import type { Loan } from "./loan.js"
import type { Port } from "./port.js"
import type { Borrower } from "./runtime.js"
import { spanNameOf, spanOf } from "./runtime.js"
import type { Slot } from "./slot.js"

/** An event without what all have. */
type Told<Event> = Event extends { readonly at: number } ? Omit<Event, "at"> : never

/**
 * What happens in the pool, in the words in which those who listen are told. Nothing is made where nobody listens.
 *
 * @internal
 */
export class News<A> {
  readonly events: Hub<PoolEvent>
  readonly loans: Hub<LoanRecord>

  constructor(private readonly pool: Port<A, any>) {
    this.events = new Hub(pool.env.outbox)
    this.loans = new Hub(pool.env.outbox)
  }

  private tell(make: () => Told<PoolEvent>): void {
    this.events.tell(() => ({ ...make(), at: this.pool.env.date() }) as PoolEvent)
  }

  opening({ number: connection }: Slot<A>): void {
    this.tell(() => ({ _tag: "Opening", connection }))
  }

  overflow({ number: connection }: Slot<A>): void {
    const { size } = this.pool.tally
    this.tell(() => ({ _tag: "Overflow", connection, size }))
  }

  opened({ number: connection, value }: Slot<A>, took: number): void {
    const { resource } = this.pool
    this.tell(() => ({ _tag: "Opened", connection, took, processId: resource.processId?.(value) }))
  }

  connectFailed({ number: connection }: Slot<A>, cause: unknown, kind: "transient" | "permanent" | "other"): void {
    this.tell(() => ({ _tag: "ConnectFailed", connection, cause, kind }))
  }

  closed(slot: Slot<A>): void {
    const { closeReason: reason, number: connection, uses } = slot
    this.tell(() => ({ _tag: "Closed", connection, reason, age: slot.age(this.pool.env.now()), uses }))
  }

  exhausted(limit: Exclude<RefusalReason, "queueFull" | "closed">, waited: number, stats: PoolStats): void {
    const { env, holders } = this.pool
    this.tell(() => ({ _tag: "Exhausted", limit, waited, stats, holders: holders.at(env.now()) }))
  }

  refused(reason: "queueFull" | "closed"): void {
    this.tell(() => ({ _tag: "Refused", reason }))
  }

  leaked(loan: Loan<A>): void {
    this.tell(() => ({ _tag: "Leaked", connection: loan.slot.number, holder: this.holderOf(loan) }))
  }

  cameBack(loan: Loan<A>): void {
    this.tell(() => ({ _tag: "CameBack", connection: loan.slot.number, holder: this.holderOf(loan) }))
  }

  private holderOf(loan: Loan<A>) {
    return this.pool.holders.of(loan, this.pool.env.now())
  }

  outageBegan(cause: unknown): void {
    this.tell(() => ({ _tag: "OutageBegan", cause }))
  }

  outageEnded(lasted: number): void {
    this.tell(() => ({ _tag: "OutageEnded", lasted }))
  }

  stateChanged(from: PoolStats["state"], to: PoolStats["state"]): void {
    this.tell(() => ({ _tag: "StateChanged", from, to }))
  }

  resized(maxsize: number, maxoverflow: number): void {
    this.tell(() => ({ _tag: "Resized", maxsize, maxoverflow }))
  }

  /** A borrower has given its connection back, or it is closed while the borrower has it. */
  loanEnded(loan: Loan<A>, outcome: "returned" | "cutOff", now: number): void {
    if (!this.loans.isHeard) return
    const { asked, since, waited = 0 } = loan
    this.record(loan.span, now - asked, { waited, held: now - since, outcome })
  }

  /** A connection is closed under its borrowers, if it has any (R13). */
  cutOff(slot: Slot<A>): void {
    const now = this.pool.env.now()
    // What becomes of the others shows in the step in which they would have begun.
    for (const loan of slot.loans) if (loan.state === "inUse") this.loanEnded(loan, "cutOff", now)
  }

  /** A caller got no connection. `since` leaves out what did not count for it. */
  callerLeft(
    borrower: Borrower | undefined,
    outcome: LoanOutcome,
    now: number,
    { asked, since } = { asked: now, since: now }
  ): void {
    if (!this.loans.isHeard) return
    const span = borrower === undefined ? undefined : spanOf(borrower)
    this.record(span, now - asked, { waited: now - since, held: 0, outcome })
  }

  private record(span: Loan<A>["span"], ago: number, what: Pick<LoanRecord, "waited" | "held" | "outcome">): void {
    const at = this.pool.env.date()
    this.loans.tell(() => ({ _tag: "Loan", at, asked: at - ago, ...what, span: spanNameOf(span) }))
  }

  /** The pool has closed. */
  end(): void {
    this.events.end()
    this.loans.end()
  }
}
