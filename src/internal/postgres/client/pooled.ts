/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Tracer from "effect/Tracer"
import type { AsyncResource } from "node:async_hooks"
import { currentBorrower } from "../../borrow.js"
import { awaiting } from "../../effects.js"
import type { Loan } from "../../pool/loan.js"
import { Attempts } from "../../pool/loan.js"
import type { ElasticPoolState } from "../../pool/pool.js"
import { secondsNow } from "../../time/stopwatch.js"
import { after } from "../../time/time.js"
import { WaitSpan } from "../../waitSpan.js"
import type { Operations } from "../config/operations.js"
import type { Query } from "../driver/query.js"
import { asSqlError, isNotSent, queryTimedOut } from "../errors/errors.js"
import type { Session } from "../session/session.js"

/** @internal */
export type SessionPool = ElasticPoolState<Session, SqlError>

/**
 * Runs one statement on a connection of the pool. The caller's fiber is suspended only once, for the wait and the
 * answer together. The statement is sent as soon as it gets a connection, and the connection is given back with the
 * answer. So the next statement is on its way before this caller has seen its own rows.
 *
 * @internal
 */
export const pooled = <A>(
  pool: SessionPool,
  query: Query,
  operations: Operations | undefined,
  span?: Tracer.Span
): Effect.Effect<A, SqlError> =>
  awaiting<A, SqlError>((resume, context) => {
    const run = new PooledStatement<A>(pool, query, operations, span, resume, context)
    run.take()
    return () => run.interrupt()
  })

class PooledStatement<A> {
  /** Ends the wait or the statement that is under way. */
  private leave = (): void => {}
  private callOffDeadline: (() => void) | undefined = undefined
  private isOver = false
  /** Made when a connection was lost: most statements need one only. */
  private attempts: Attempts | undefined = undefined
  private readonly begun: number
  private readonly shares: boolean
  private readonly borrower: ReturnType<typeof currentBorrower>

  constructor(
    private readonly pool: SessionPool,
    private readonly query: Query,
    private readonly operations: Operations | undefined,
    /** That of the statement. */
    private readonly span: Tracer.Span | undefined,
    private readonly resume: (exit: Exit.Exit<A, SqlError>) => void,
    /** The statement is sent in this context too: instrumentation of `pg` looks there for the caller of a statement. */
    private readonly context: AsyncResource
  ) {
    this.begun = operations === undefined ? 0 : secondsNow()
    this.shares = pool.settings.share > 1 && isShareable(query)
    this.borrower = currentBorrower()
  }

  take(): void {
    let wait: WaitSpan | undefined = undefined
    const waiter = this.pool.request(
      this.shares,
      (taken) => {
        wait?.end(taken)
        if (Exit.isSuccess(taken)) this.context.runInAsyncScope(this.send, this, taken.value)
        else this.end(Exit.failCause(Cause.map(taken.cause, asSqlError)))
      },
      this.borrower,
      this.attempts
    )
    if (waiter?.isUntold !== true) return
    wait = WaitSpan.begin(this.pool, waiter, this.span)
    this.leave = () => {
      this.pool.leave(waiter)
      wait?.end(interrupted)
    }
  }

  private send(loan: Loan<Session>): void {
    if (!loan.begin(this.attempts)) {
      loan.endInVain()
      return this.triesAgain(loan)
        ? this.take()
        : this.end(Exit.fail(asSqlError(this.pool.refusals.lostTooOften(loan))))
    }
    const session = loan.value
    const request = session.send<A>(
      session.prepared(this.query),
      { onInterrupt: "cancel", isShared: this.shares, isWrite: this.shares && !reads.test(this.query.text) },
      (answer) => this.answered(answer, loan)
    )
    this.leave = () => {
      request.abandon()
      // The connection's own fiber handles whatever is still in flight (R16). But on a shared connection, statements of
      // other callers may wait behind this one.
      if (!this.shares) loan.end()
    }
    const { io, queryTimeout } = session.target
    // R24.
    if (queryTimeout < Infinity) this.callOffDeadline = after(io, queryTimeout, () => this.timedOut(queryTimeout))
  }

  private triesAgain(loan: Loan<Session>): boolean {
    this.attempts ??= new Attempts()
    return this.attempts.next(loan)
  }

  private answered(answer: Exit.Exit<A, SqlError>, loan: Loan<Session>): void {
    // The statement has done nothing yet, so it may be sent on another session.
    const isLost = Exit.isFailure(answer) && isNotSent(Cause.squash(answer.cause))
    if (isLost && !this.isOver && this.triesAgain(loan)) {
      loan.endInVain()
      this.callOffDeadline?.()
      return this.take()
    }
    loan.end()
    this.end(answer)
  }

  private timedOut(queryTimeout: number): void {
    this.leave()
    this.end(Exit.fail(queryTimedOut(queryTimeout)))
  }

  interrupt(): void {
    this.leave()
    this.end(interrupted)
  }

  private end(exit: Exit.Exit<A, SqlError>): void {
    if (this.isOver) return
    this.isOver = true
    this.callOffDeadline?.()
    this.operations?.ended(this.begun, exit)
    this.resume(exit)
  }
}

const interrupted = Exit.interrupt(FiberId.none)

/**
 * Whether other callers may run statements on the same session. That is not allowed for a text that may change the
 * session or has several statements: statements of others would run in its transaction, or with its settings.
 */
const isShareable = ({ text, values }: Query): boolean =>
  shareable.test(text) && (values.length > 0 || !/;\s*\S/.test(text))

const shareable = /^\s*(select|insert|update|delete|merge|with|values|table)\b/i

/** Statements that do no harm if they begin after their caller has gone. */
const reads = /^\s*(select|values|table)\b/i
