/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Exit from "effect/Exit"
import type { OwnQuery } from "../driver/handOver.js"
import { Supplanted } from "../driver/handOver.js"
import { NamedQuery } from "../driver/prepared.js"
import { StatementQuery } from "../driver/query.js"
import type { Manner } from "./flight.js"
import type { Session } from "./session.js"

/** For whom a query is sent. @internal */
export interface Sender {
  /** Why it must not be sent any more. It is asked at the very moment of sending. */
  readonly refusal: SqlError | undefined
  /** The caller was interrupted after the query was sent, and before it has heard the answer. */
  onCutOff(): void
  /** The answer that came after that. */
  onLateAnswer?(answer: Exit.Exit<unknown, SqlError>): void
}

/**
 * One query, from its sending until its answer is told.
 *
 * It keeps nothing that the query was made of: a request may outlive a few garbage collections, and would carry all that
 * along.
 *
 * @internal
 */
export class Request<A> {
  /** The answer, once it is there. */
  answer: Exit.Exit<A, SqlError> | undefined = undefined
  private isAbandoned = false
  /** The number of the query whose answer is awaited. 0: none is. */
  private awaited = 0

  constructor(
    private readonly session: Session,
    private readonly how: Manner,
    private readonly onAnswer: (answer: Exit.Exit<A, SqlError>) => void,
    private readonly sender: Sender | undefined
  ) {}

  send(query: string | OwnQuery): void {
    const number = this.session.flight.sent(this.how)
    this.awaited = number
    this.session.write(query, this.how, (error, result) => this.answered(query, number, error, result))
  }

  /** Nobody waits for the answer any more. It is told all the same. */
  abandon(): void {
    // With the answer the session may have gone to somebody else.
    if (this.awaited === 0 || this.isAbandoned || this.how.onInterrupt === "leave") return
    this.isAbandoned = true
    this.session.flight.abandon()
    this.session.cancelIfDue()
  }

  private answered(query: string | OwnQuery, number: number, error: unknown, result: unknown): void {
    // `pg` may tell of a failure twice.
    if (this.awaited !== number) return
    this.awaited = 0
    const { flight } = this.session
    flight.answered(this.how, this.isAbandoned)
    this.session.cancelIfDue()
    const reason = this.session.handOver.isSupplanted(query) ? error ?? new Supplanted() : error
    const hasFailed = reason !== null && reason !== undefined
    const tell = () => hasFailed ? this.failed(query, number, reason) : this.tell(Exit.succeed(result as A))
    if (this.how.isShared !== true) flight.onceSettled(tell)
    // `pg` tells of a failure before the server is ready for what comes next.
    else if (hasFailed && !flight.isSettled) flight.onceReady(tell)
    else tell()
  }

  private failed(query: string | OwnQuery, number: number, error: unknown): void {
    const { session } = this
    const again = this.isAbandoned ? undefined : this.again(query)
    if (again === undefined) this.tell(Exit.fail(session.failure(error, session.flight.isLatest(number))))
    else if (session.canShare) this.send(again)
    else this.tell(Exit.fail(session.notSent()))
  }

  /**
   * A statement that failed because the server knows it no more, or not as it is now, is sent once more, outside a
   * transaction: the server had not come to execute it. A transaction is aborted by that, and its caller has to know.
   */
  private again(query: string | OwnQuery): StatementQuery | undefined {
    const { sender, session } = this
    const isStale = query instanceof NamedQuery && query.isStale
    return isStale && session.isAlive && !session.isInTransaction && sender?.refusal === undefined
      ? new StatementQuery(query.statement)
      : undefined
  }

  private tell(answer: Exit.Exit<A, SqlError>): void {
    this.answer = answer
    this.onAnswer(answer)
  }
}
