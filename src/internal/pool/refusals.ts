/** @internal */
import type { PoolError } from "../../PoolError.js"
import { PoolClosed, PoolExhausted, PoolQueueFull } from "../../PoolError.js"
import type { Refusal } from "./limits.js"
import type { Attempts, Loan } from "./loan.js"
import type { Port } from "./port.js"
import type { Borrower, Failure } from "./runtime.js"
import { failure } from "./runtime.js"
import type { Waiter } from "./waiters.js"

/**
 * Which callers are let in, and the errors of those that get no connection.
 *
 * @internal
 */
export class Refusals<A, E> {
  /** The defect for which the pool had to close. */
  private diedOf: Failure<never> | undefined = undefined

  constructor(private readonly pool: Port<A, E>) {}

  /** A caller that has lost a connection was let in before: it is still served where newcomers are not. */
  admits(attempts: Attempts | undefined): boolean {
    const { lifecycle } = this.pool
    return attempts?.hasFailed === true ? !lifecycle.isClosing : lifecycle.admits
  }

  /** Why a caller for which nothing is ready may not wait. */
  of(attempts: Attempts | undefined, borrower: Borrower | undefined): Failure<PoolError> | undefined {
    const { demand, settings: { maxsize, maxWaiting } } = this.pool
    if (!this.admits(attempts)) return this.refuse("closed", borrower, 0, this.closed)
    if (attempts?.hasFailed === true || demand.unserved(demand.room(maxsize)) < maxWaiting) return undefined
    return this.refuse("queueFull", borrower, 0, failure(new PoolQueueFull({ stats: this.pool.stats(), maxWaiting })))
  }

  /** For callers of a pool that is closed, or comes to its end. */
  private get closed(): Failure<PoolError> {
    return this.diedOf ?? failure(new PoolClosed({ stats: this.pool.stats() }))
  }

  /** The pool serves no waiter any more. */
  closeAll(): void {
    const { env, waiters } = this.pool
    const { closed } = this
    for (let waiter = waiters.first; waiter !== undefined; waiter = waiters.first) {
      waiters.fail(waiter, this.refuse("closed", waiter.borrower, env.now() - waiter.since, closed))
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
    waited: number,
    failure: Failure<F>
  ): Failure<F> {
    const { news, tally } = this.pool
    tally.ended(reason)
    news.refused(reason)
    news.callerLeft(borrower, waited, reason)
    return failure
  }

  /** No due waiter is made to wait for another connect. */
  givenUp(now: number): void {
    const { lifecycle, waiters } = this.pool
    const why = { limit: "connectRetry", limitMillis: undefined, wasOwed: true } as const
    while (lifecycle.serves && waiters.first?.due === true) this.exhausted(waiters.first, now, why)
  }

  /** A waiter has waited for as long as it may. */
  exhausted(waiter: Waiter<A, E | PoolError>, now: number, why: Refusal): void {
    const waited = now - waiter.since
    const error = this.errorOf(waited, why)
    this.pool.news.callerLeft(waiter.borrower, waited, why.limit)
    this.pool.waiters.fail(waiter, failure(error))
  }

  private errorOf(waited: number, why: Refusal): PoolExhausted {
    const { env, holders, news, outage, tally } = this.pool
    tally.ended(why.limit)
    const stats = this.pool.stats()
    news.exhausted(why.limit, waited, stats)
    return new PoolExhausted({ stats, waited, holders: holders.at(env.now()), cause: outage.reason, ...why })
  }

  /** The connect of this waiter has failed for good. */
  failed(waiter: Waiter<A, E | PoolError>, why: Failure<E>): void {
    this.pool.tally.ended("failed")
    this.pool.news.callerLeft(waiter.borrower, this.pool.env.now() - waiter.since, "failed")
    this.pool.waiters.fail(waiter, why)
  }

  /** The same for all that wait. */
  allFailed(why: Failure<E>): void {
    const { waiters } = this.pool
    while (waiters.first !== undefined) this.failed(waiters.first, why)
  }

  /** A waiter was interrupted. */
  left({ borrower, since }: Waiter<A, E | PoolError>): void {
    this.pool.tally.ended("interrupted")
    this.pool.news.callerLeft(borrower, this.pool.env.now() - since, "interrupted")
  }

  /** For a borrower that was handed one dead connection after the other. */
  lostTooOften({ since }: Loan<A>): PoolExhausted {
    return this.errorOf(this.pool.env.now() - since, { limit: "handOver", limitMillis: undefined, wasOwed: true })
  }
}
