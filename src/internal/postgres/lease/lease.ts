/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type * as Pg from "pg"
import { LeaseEnded, TransactionDoomed } from "../../../PgError.js"
import type { PgConnection } from "../../../PgPool.js"
import type { Restore } from "../../effects.js"
import { awaiting } from "../../effects.js"
import type { Operations } from "../config/operations.js"
import type { Query, StatementQuery } from "../driver/query.js"
import { sqlFailure } from "../errors/codes.js"
import { statementError } from "../errors/errors.js"
import type { Sender } from "../session/request.js"
import type { Session } from "../session/session.js"
import { LeasedClient } from "./leasedClient.js"
import { LeasedStatement } from "./leasedStatement.js"
import type { OneOrMany, Params, TransformRows } from "./statements.js"
import { Statements } from "./statements.js"
import * as SessionStream from "./stream.js"
import { timed, timedStream } from "./timed.js"
import type { Holder } from "./turn.js"
import { Turn } from "./turn.js"

/**
 * The right to use one session, until the lease is ended: a reserved connection, or one transaction on it. Statements of
 * several fibers run one after the other. A statement that comes after the end fails, and never touches the session's next
 * borrower (R15).
 *
 * @internal
 */
export class Lease extends Statements implements PgConnection, Sender {
  /** Its borrower is done with it. The lease around it may end before. */
  hasEnded = false
  private doom: TransactionDoomed | undefined = undefined
  private readonly turn: Turn
  /** Made when the borrower asks for it. */
  private leased: LeasedClient | undefined = undefined

  constructor(
    private own: Session,
    /** The lease that a transaction was begun on: a connection, or the transaction around it. */
    protected readonly outer?: Lease
  ) {
    super()
    this.turn = new Turn(own.target)
  }

  get session(): Session {
    return this.outer === undefined ? this.own : this.outer.session
  }

  protected get operations(): Operations | undefined {
    return this.session.target.operations
  }

  /** It goes on with another session. */
  protected moveTo(session: Session): void {
    this.own = session
  }

  /** It is dead after the end as the lease is, also where it was taken before. */
  get pg(): Pg.Client {
    if (!this.isAlive) throw new LeaseEnded()
    this.leased ??= new LeasedClient(this.session.client)
    return this.leased.client
  }

  get processId(): number {
    return this.session.processId
  }

  get isAlive(): boolean {
    return !this.hasEnded && this.outer?.isAlive !== false
  }

  /** Why nothing may be sent any more. */
  get refusal(): SqlError | undefined {
    if (this.hasEnded) return statementError(new LeaseEnded())
    return this.whyOver ?? this.doomed ?? this.outer?.refusal
  }

  /** A statement of the transaction's own has ended it: the next one would not be in the transaction. */
  get whyOver(): SqlError | undefined {
    if (this.outer === undefined || !this.session.isClean) return undefined
    this.doom ??= new TransactionDoomed({ reason: "EndedByHand" })
    return this.doomed
  }

  /** From now on nothing can be sent by it. */
  end(): void {
    // The transaction inside would go on without the one around it.
    if (this.outer !== undefined && this.turn.holder === "nested transaction") {
      this.doom ??= new TransactionDoomed({ reason: "NestedTransactionOpen" })
    }
    this.hasEnded = true
    this.leased?.end()
  }

  /** Why a transaction whose body went well can't be committed. */
  get doomed(): SqlError | undefined {
    return this.doom === undefined ? undefined : sqlFailure({ cause: this.doom, message: this.doom.message })
  }

  /**
   * Gives `holder` the connection for itself, from its turn until `release`. That is on the spot if nobody else has it.
   * Must run uninterruptibly: only the wait is restored.
   */
  take(holder: Holder, restore: Restore): Effect.Effect<void, SqlError> {
    return this.turn.takeNow(holder)
      ? this.begin()
      : Effect.flatMap(this.turn.wait(holder, restore), () => this.begin())
  }

  private begin(): Exit.Exit<void, SqlError> {
    const { refusal } = this
    if (refusal === undefined) return Exit.void
    this.release()
    return Exit.fail(refusal)
  }

  /** Ends the turn. The next one's begins. */
  release(): void {
    this.turn.release()
  }

  /** The holder has ended, and the rest of its turn is for undoing what it did. */
  beginUndo(): void {
    this.turn.holder = "rollback"
  }

  get isUndoing(): boolean {
    return this.turn.holder === "rollback"
  }

  protected inTurn<A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(
        this.take("statement", restore),
        Effect.matchCauseEffect(restore(effect), {
          onFailure: (cause) => {
            this.release()
            this.failed(cause)
            return Effect.failCause(cause)
          },
          onSuccess: (a) => {
            this.release()
            return Effect.succeed(a)
          }
        })
      )
    )
  }

  /** A statement has failed with this cause. */
  failed(_cause: Cause.Cause<unknown>): void {}

  /** What is sent for a statement, when its turn has come. */
  prepared(statement: Query): StatementQuery {
    return this.session.prepared(statement)
  }

  /** A statement is to be sent. */
  protected sends(_text: string): void {}

  run<A>(statement: Query, read: (result: OneOrMany) => A): Effect.Effect<A, SqlError> {
    return this.runTimed(statement, read, this.operations)
  }

  protected runTimed<A>(
    statement: Query,
    read: (result: OneOrMany) => A,
    operations: Operations | undefined
  ): Effect.Effect<A, SqlError> {
    this.sends(statement.text)
    return awaiting<A, SqlError>((resume) => {
      if (!this.isFree || !this.turn.takeNow("statement")) {
        resume(Effect.map(timed(operations, this.later(statement)), read))
        return
      }
      const sent = new LeasedStatement(this, read, resume, operations)
      sent.send(statement)
      return () => sent.interrupt()
    })
  }

  /** Whether a statement may be sent at once, when it is its turn. */
  private get isFree(): boolean {
    const { session } = this
    return session.isAlive && session.isSettled && session.target.queryTimeout === Infinity &&
      this.refusal === undefined
  }

  /** A statement that has to wait for something, or has a deadline. */
  private later(statement: Query): Effect.Effect<OneOrMany, SqlError> {
    // Between its turn and the moment of sending a statement may have to wait for a cancel to settle.
    const answer = Effect.suspend(() => this.session.query<OneOrMany>(this.prepared(statement), "cancel", this))
    return this.inTurn(this.session.inTime(answer))
  }

  /** A statement was interrupted after it was sent: nobody knows what it has done. */
  onCutOff(): void {
    if (this.outer !== undefined) this.doom ??= new TransactionDoomed({ reason: "StatementInterrupted" })
  }

  executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    return timedStream(this.operations, this.rows(sql, params, transformRows))
  }

  private rows(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    this.sends(sql)
    const rows = { session: this.session, sql, params, transformRows, sender: this }
    const interleaved = SessionStream.interleaved({ ...rows, inTurn: (page) => this.inTurn(page) })
    if (this.outer !== undefined) return interleaved
    return Stream.unwrapScoped(
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(this.take("stream", restore), () => {
          let hasTurn = true
          const giveBack = () => {
            if (hasTurn) this.release()
            hasTurn = false
          }
          // In a transaction that the user began by hand, the connection is free between two pages.
          if (this.session.isInTransaction) return Effect.sync(() => (giveBack(), interleaved))
          // Outside a transaction a portal ends with its request, so nothing may come in between.
          const inTurn = (page: Effect.Effect<ReadonlyArray<any>, SqlError>) =>
            Effect.suspend(() => this.refusal ?? page)
          const exclusive = SessionStream.exclusive({ ...rows, inTurn, onLast: giveBack })
          return Effect.as(Effect.addFinalizer(() => Effect.sync(giveBack)), exclusive)
        })
      )
    )
  }
}
