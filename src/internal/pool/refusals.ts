/** @internal */
import type { PoolError } from "../../PoolError.js"
import { PoolClosed, PoolExhausted, PoolQueueFull } from "../../PoolError.js"
import * as PoolHolder from "../../PoolHolder.js"
import type { PoolStats } from "../../PoolStats.js"
import type { Refusal } from "./limits.js"
import type { Attempts, Loan } from "./loan.js"
import type { Port } from "./port.js"
import type { RefusalLog } from "./refusalLog.js"
import type { Borrower, Failure } from "./runtime.js"
import { failure } from "./runtime.js"
import type { NoLoan } from "./tally.js"
import type { Waiter } from "./waiters.js"

/** Who asked, when, and since when it waited, by the policy clock. */
type Asked = Pick<Waiter<unknown, unknown>, "asked" | "borrower" | "since">

/** What was asked for by the caller that got this. @internal */
export const askedFor = ({ asked, borrower, since, waited = 0 }: Loan<unknown>): Asked => ({
  asked,
  borrower,
  since: since - waited
})

/** For the log: each of its lines begins with the pool's name. */
const unnamed = (stats: PoolStats): PoolStats => ({ ...stats, name: "" })

/**
 * Which callers are let in, and the errors of those that get no connection.
 *
 * @internal
 */
export class Refusals<A, E> {
  /** The defect for which the pool had to close. */
  private diedOf: Failure<never> | undefined = undefined
  private log: RefusalLog | undefined = undefined

  constructor(private readonly pool: Port<A, E>) {}

  /** Logs the callers that are refused from now on, but not those of a pool that comes to its end. */
  logTo(log: RefusalLog): void {
    this.log = log
  }

  stop(): void {
    this.log?.stop()
    this.log = undefined
  }

  /** A caller that has lost a connection was let in before: it is still served where newcomers are not. */
  admits(attempts: Attempts | undefined): boolean {
    const { lifecycle } = this.pool
    return attempts?.hasFailed === true ? !lifecycle.isClosing : lifecycle.admits
  }

  /** Why a caller for which nothing is ready may not wait. */
  of(attempts: Attempts | undefined, borrower: Borrower | undefined): Failure<PoolError> | undefined {
    const { demand, settings: { maxsize, maxWaiting } } = this.pool
    if (!this.admits(attempts)) {
      return attempts?.wasCutOff === true ? this.closed : this.refuse("closed", borrower, this.closed)
    }
    if (attempts?.hasFailed === true || demand.unserved(demand.room(maxsize)) < maxWaiting) return undefined
    const stats = this.pool.stats()
    this.log?.refused(() => `${new PoolQueueFull({ stats: unnamed(stats), maxWaiting }).message}${this.held}`)
    return this.refuse("queueFull", borrower, failure(new PoolQueueFull({ stats, maxWaiting })))
  }

  private get held(): string {
    const held = PoolHolder.summary(this.pool.holders.at(this.pool.env.now()))
    return held === "" ? "" : ` Held: ${held}`
  }

  /** For callers of a pool that is closed, or comes to its end. */
  private get closed(): Failure<PoolError> {
    return this.diedOf ?? failure(new PoolClosed({ stats: this.pool.stats() }))
  }

  /** The pool serves no waiter any more. */
  closeAll(): void {
    const { waiters } = this.pool
    const { closed } = this
    for (let waiter = waiters.first; waiter !== undefined; waiter = waiters.first) {
      waiters.fail(waiter, this.refuse("closed", waiter.borrower, closed, waiter))
    }
  }

  /** The pool closes for a defect. */
  dieOf(defect: Failure<never>): void {
    this.diedOf = defect
    this.closeAll()
  }

  private refuse<F>(
    reason: "queueFull" | "closed",
    borrower: Borrower | undefined,
    failure: Failure<F>,
    waiter?: Asked
  ): Failure<F> {
    this.pool.news.refused(reason)
    this.ended(borrower, reason, this.pool.env.now(), waiter)
    return failure
  }

  /** No due waiter is made to wait for another connect. */
  givenUp(now: number): void {
    const { lifecycle, timekeeper, waiters } = this.pool
    const why = { limit: "connectRetry", limitMillis: undefined, wasOwed: true } as const
    timekeeper.markDue(now)
    while (lifecycle.serves && waiters.first?.due === true) this.exhausted(waiters.first, now, why)
  }

  /** A waiter has waited for as long as it may. */
  exhausted(waiter: Waiter<A, E | PoolError>, now: number, why: Refusal): void {
    const waited = now - waiter.since
    this.ended(waiter.borrower, why.limit, now, waiter)
    this.pool.waiters.fail(waiter, failure(this.errorOf(waited, why)))
  }

  private errorOf(waited: number, why: Refusal): PoolExhausted {
    const { env, holders, news, outage } = this.pool
    const stats = this.pool.stats()
    news.exhausted(why.limit, waited, stats)
    const told = { stats, waited, holders: holders.at(env.now()), cause: outage.reason, ...why }
    this.log?.refused(() => new PoolExhausted({ ...told, stats: unnamed(stats) }).message)
    return new PoolExhausted(told)
  }

  /** The connect of this waiter has failed for good. */
  failed(waiter: Waiter<A, E | PoolError>, why: Failure<E>): void {
    this.ended(waiter.borrower, "failed", this.pool.env.now(), waiter)
    this.pool.waiters.fail(waiter, why)
  }

  /** The same for all that wait. */
  allFailed(why: Failure<E>): void {
    const { waiters } = this.pool
    while (waiters.first !== undefined) this.failed(waiters.first, why)
  }

  /** A caller was interrupted while it waited, or before it had what it was handed. */
  left(asked: Asked): void {
    this.ended(asked.borrower, "interrupted", this.pool.env.now(), asked)
  }

  /** A caller has got no connection: it is counted, and told. */
  private ended(borrower: Borrower | undefined, why: NoLoan, now: number, waiter?: Asked): void {
    this.pool.tally.ended(why)
    this.pool.news.callerLeft(borrower, why, now, waiter)
  }

  /** For a borrower that was handed one dead connection after the other. */
  lostTooOften(loan: Loan<A>): PoolExhausted {
    const asked = askedFor(loan)
    const now = this.pool.env.now()
    this.ended(asked.borrower, "handOver", now, asked)
    return this.errorOf(now - asked.since, { limit: "handOver", limitMillis: undefined, wasOwed: true })
  }
}
