/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { AsyncResource } from "node:async_hooks"
import type { PoolError } from "../../../PoolError.js"
import type { Loan } from "../../pool/loan.js"
import { Attempts } from "../../pool/loan.js"
import type { Borrower, Outcome } from "../../pool/runtime.js"
import { secondsNow } from "../../time/stopwatch.js"
import { after } from "../../time/time.js"
import { WaitSpan } from "../../waitSpan.js"
import type { Query } from "../driver/query.js"
import { asSqlError, isNotSent, queryTimedOut } from "../errors/errors.js"
import type { OneOrMany } from "../lease/statements.js"
import { answerOf } from "../lease/statements.js"
import type { Manner } from "../session/flight.js"
import { alone } from "../session/flight.js"
import { Request } from "../session/request.js"
import type { Session } from "../session/session.js"
import type { Pooled } from "./pooled.js"

/**
 * One statement on a connection of the pool. Its caller's fiber is suspended only once, for the wait and the answer
 * together. The statement is sent as soon as it gets a connection, and the connection is given back with the answer. So
 * the next statement is on its way before this caller has seen its own rows.
 *
 * Thousands may wait, so it keeps little. And one that has waited long is among the garbage collector's old objects: what
 * such an object refers to stays until these are collected, so it lets go of all that came after it.
 *
 * @internal
 */
export class PooledStatement<A> {
  /** Ends the wait or the statement that is under way. */
  private leave = nothing
  private callOffDeadline = nothing
  private isOver = false
  /** Made when a connection was lost: most statements need one only. */
  private attempts: Attempts | undefined = undefined
  private readonly begun: number
  private readonly shares: boolean

  constructor(
    private readonly home: Pooled,
    private readonly query: Query,
    private readonly read: (result: OneOrMany) => A,
    private readonly resume: (exit: Exit.Exit<A, SqlError>) => void,
    /** The statement is sent in this context too: instrumentation of `pg` looks there for the caller of a statement. */
    private readonly context: AsyncResource,
    private readonly borrower: Borrower
  ) {
    this.begun = home.operations === undefined ? 0 : secondsNow()
    this.shares = home.pool.settings.share > 1 && isShareable(query)
  }

  take(): void {
    const { pool, span } = this.home
    let wait: WaitSpan | undefined = undefined
    const told = (taken: Outcome<Loan<Session>, SqlError | PoolError>) => {
      wait?.end(taken)
      if (Exit.isSuccess(taken)) this.context.runInAsyncScope(this.send, this, taken.value)
      else this.end(Exit.failCause(Cause.map(taken.cause, asSqlError)))
    }
    const waiter = pool.request(this.shares, told, this.borrower, this.attempts)
    if (waiter?.isUntold !== true) return
    wait = WaitSpan.begin(pool, waiter, span)
    this.leave = () => {
      pool.leave(waiter)
      wait?.end(interrupted)
    }
  }

  private send(loan: Loan<Session>): void {
    if (!loan.begin(this.attempts)) {
      return this.triesAgain(loan)
        ? this.take()
        : this.end(Exit.fail(asSqlError(this.home.pool.refusals.lostTooOften(loan))))
    }
    try {
      this.sendOn(loan.value, loan)
    } catch (defect) {
      // A query that is none: without types anything may come as one.
      loan.end()
      this.end(Exit.die(defect))
    }
  }

  /** The answer may come on the spot, if the driver throws: so all is ready for it before. */
  private sendOn(session: Session, loan: Loan<Session>): void {
    const query = session.prepared(this.query)
    const manner = this.shares ? (reads.test(this.query.text) ? sharedRead : sharedWrite) : alone
    const request = new Request<OneOrMany>(session, manner, (answer) => this.answered(answer, loan), undefined)
    this.leave = () => {
      request.abandon()
      // The connection's own fiber handles whatever is still in flight (R16). But on a shared connection, statements of
      // other callers may wait behind this one.
      if (!this.shares) loan.end()
    }
    const { io, queryTimeout } = session.target
    // R24.
    if (queryTimeout < Infinity) this.callOffDeadline = after(io, queryTimeout, () => this.timedOut(queryTimeout))
    request.send(query)
  }

  private triesAgain(loan: Loan<Session>): boolean {
    this.attempts ??= new Attempts()
    return this.attempts.next(loan)
  }

  private answered(answer: Exit.Exit<OneOrMany, SqlError>, loan: Loan<Session>): void {
    // The statement has done nothing yet, so it may be sent on another session.
    const isLost = Exit.isFailure(answer) && isNotSent(Cause.squash(answer.cause))
    if (isLost && !this.isOver && this.triesAgain(loan)) {
      this.callOffDeadline()
      return this.take()
    }
    loan.end()
    this.end(answerOf(answer, this.read))
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
    this.callOffDeadline()
    this.leave = this.callOffDeadline = nothing
    this.home.operations?.ended(this.begun, exit)
    this.resume(exit)
  }
}

const nothing = (): void => {}

const sharedRead: Manner = { onInterrupt: "cancel", isShared: true, isWrite: false }
const sharedWrite: Manner = { onInterrupt: "cancel", isShared: true, isWrite: true }

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
