/** @internal */
import type { PoolError } from "../../PoolError.js"
import { PoolClosed, PoolExhausted, PoolQueueFull } from "../../PoolError.js"
import type { Refusal } from "./limits.js"
import type { Attempts, Loan } from "./loan.js"
import type { Port } from "./port.js"
import type { Failure } from "./runtime.js"
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
  of(attempts: Attempts | undefined): Failure<PoolError> | undefined {
    const { demand, settings: { maxsize, maxWaiting } } = this.pool
    if (!this.admits(attempts)) return this.closed()
    if (attempts?.hasFailed === true || demand.unserved(demand.room(maxsize)) < maxWaiting) return undefined
    return failure(new PoolQueueFull({ stats: this.pool.stats(), maxWaiting }))
  }

  /** For callers of a pool that is closed, or comes to its end. */
  closed(): Failure<PoolError> {
    return this.diedOf ?? failure(new PoolClosed({ stats: this.pool.stats() }))
  }

  /** The pool closes for a defect. */
  dieOf(defect: Failure<never>): void {
    this.diedOf = defect
    this.pool.waiters.failAll(defect)
  }

  /** A waiter has waited for as long as it may. */
  timedOut(waiter: Waiter<A, E | PoolError>, now: number, why: Refusal): void {
    this.pool.tally.timeouts++
    this.exhausted(waiter, now, why)
  }

  /** No due waiter is made to wait for another connect. */
  givenUp(now: number): void {
    const { lifecycle, waiters } = this.pool
    const why = { limit: "connectRetry", limitMillis: undefined, wasOwed: true } as const
    while (lifecycle.serves && waiters.first?.due === true) this.exhausted(waiters.first, now, why)
  }

  private exhausted(waiter: Waiter<A, E | PoolError>, now: number, why: Refusal): void {
    this.pool.waiters.fail(waiter, failure(this.errorOf(now - waiter.since, why)))
  }

  private errorOf(waited: number, why: Refusal): PoolExhausted {
    return new PoolExhausted({ stats: this.pool.stats(), waited, cause: this.pool.outage.reason, ...why })
  }

  /** For a borrower that was handed one dead connection after the other. */
  lostTooOften({ since }: Loan<A>): PoolExhausted {
    return this.errorOf(this.pool.env.now() - since, { limit: "handOver", limitMillis: undefined, wasOwed: true })
  }
}
