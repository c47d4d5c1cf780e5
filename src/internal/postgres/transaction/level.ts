/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Pg from "pg"
import type { BeginsLate } from "../../beginNow.js"
import { BeginNow } from "../../beginNow.js"
import { Begin } from "../driver/begin.js"
import type { Query, StatementQuery } from "../driver/query.js"
import { BeginQuery } from "../driver/query.js"
import { isNotSent, statementError } from "../errors/errors.js"
import { Lease } from "../lease/lease.js"
import type { OneOrMany, Params, TransformRows } from "../lease/statements.js"
import { timed } from "../lease/timed.js"
import { mayCommit } from "../session/mayCommit.js"
import type { Sender } from "../session/request.js"
import type { Session } from "../session/session.js"
import { ControlStatement } from "./control.js"
import { isLoss } from "./outcome.js"

/** Takes another session in place of one on which nothing was done, and tells it. @internal */
export type Exchange = (moved: (session: Session) => void) => Effect.Effect<void, SqlError>

/** What a fiber's statements run on: a connection that was kept for it, or a transaction. @internal */
export class TransactionLevel extends Lease implements BeginsLate<SqlError> {
  declare readonly outer: TransactionLevel | undefined
  /** Whether users' statements run on it. A transaction on a connection of the pool has a level below it that is hidden. */
  isEntered = false
  /** Numbers the savepoints on a connection. */
  private savepoints = 0
  /** The failures of its statements, and of the nested ones, that say that the connection was lost. */
  readonly losses: Array<object> = []
  /** Whether its body has sent something that may have committed it. */
  mayHaveCommitted = false

  private beginFailure: SqlError | undefined = undefined
  /** A fiber of it waits for another session. */
  isMoving = false
  /** It can't begin on another session: nobody knows how far this one has come, or what was sent on it. */
  private isTied = false

  private constructor(
    /** The client that it belongs to. */
    readonly client: object,
    session: Session,
    outer: TransactionLevel | undefined,
    /** 0 for a transaction, more for nested ones, less for a connection outside of any. */
    readonly depth: number,
    /** How a transaction that has not begun gets another session. */
    private readonly exchange: Exchange | undefined,
    /** The BEGIN that is to be sent with the first statement. `undefined`: it was sent before the body. */
    private beginning: Begin | undefined
  ) {
    super(session, outer)
  }

  static on(client: object, session: Session, exchange?: Exchange): TransactionLevel {
    return new TransactionLevel(client, session, undefined, -1, exchange, undefined)
  }

  /**
   * A transaction on this level. Its statements take turns among themselves; meanwhile it has this level's turn. `begin` is
   * what it sends with its first statement.
   */
  below(begin?: string): TransactionLevel {
    const first = begin === undefined ? undefined : new Begin(begin)
    return new TransactionLevel(this.client, this.session, this, this.depth + 1, undefined, first)
  }

  get isTransaction(): boolean {
    return this.depth >= 0
  }

  nextSavepoint(): number {
    return this.outer === undefined ? ++this.savepoints : this.outer.nextSavepoint()
  }

  override get pg(): Pg.Client {
    // After the end it throws.
    const pg = super.pg
    // The pool does not see what is sent by it.
    this.whole.mayHaveCommitted = true
    this.beginAhead()
    return pg
  }

  /** Whoever has it may cancel by it, also later. */
  override get processId(): number {
    this.isTied = true
    return super.processId
  }

  /** Whether BEGIN was answered, where it is sent with the first statement. */
  get hasBegun(): boolean {
    return this.beginning === undefined || this.beginning.isDone
  }

  /** Whether BEGIN is still to be sent. */
  get isDue(): boolean {
    return this.beginning?.isSent === false
  }

  /** Why nothing runs in this transaction: its BEGIN has failed. */
  private get notBegun(): SqlError | undefined {
    const { beginning, session } = this
    if (beginning?.isAwaited === true && session.isAlive && session.isSettled) {
      this.beginFailure ??= statementError(beginning.failure)
    }
    return this.beginFailure
  }

  override get whyOver(): SqlError | undefined {
    return this.hasBegun ? super.whyOver : this.notBegun
  }

  override get doomed(): SqlError | undefined {
    return super.doomed ?? (this.hasBegun ? undefined : this.notBegun)
  }

  override prepared(statement: Query): StatementQuery {
    const prepared = super.prepared(statement)
    if (this.isDue) prepared.begin = this.beginning
    return prepared
  }

  override run<A>(statement: Query, read: (result: OneOrMany) => A): Effect.Effect<A, SqlError> {
    if (this.hasBegun) return super.run(statement, read)
    const answer = this.runTimed(statement, read, undefined)
    const first = this.first(goesWithBegin(statement) ? answer : Effect.zipRight(this.begun, answer))
    return timed(this.operations, first)
  }

  override executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    if (this.hasBegun) return super.executeStream(sql, params, transformRows)
    return Stream.unwrap(Effect.map(this.begun, () => super.executeStream(sql, params, transformRows)))
  }

  /** A statement that BEGIN is sent with or before. */
  private first<A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      const { session } = this
      return Effect.catchAll(statement, (error) =>
        this.mayMove(error, this)
          ? Effect.zipRight(this.inTurn(this.elsewhere(session)), this.first(statement))
          : Effect.fail(error))
    })
  }

  /** Sends BEGIN by itself, if it is due. */
  get begun(): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => this.inTurn(this.begunBy(new ControlStatement(this))))
  }

  /** The same for who needs no turn any more. */
  begunBy(control: ControlStatement): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      const { beginning, session } = this
      if (beginning?.isSent !== false) return Effect.void
      return Effect.catchAll(
        Effect.asVoid(control.send(new BeginQuery(beginning))),
        (error) =>
          this.mayMove(error, control)
            ? Effect.zipRight(this.elsewhere(session), this.begunBy(control))
            : Effect.fail(error)
      )
    })
  }

  get [BeginNow](): Effect.Effect<void, SqlError> {
    return this.begun
  }

  /** What comes next is sent behind BEGIN. The pool does not see it, so it could not come along to another session. */
  private beginAhead(): void {
    const { beginning, session } = this
    this.isTied = true
    if (beginning?.isSent !== false) return
    session.send(new BeginQuery(beginning, { endsSession: true }), { onInterrupt: "leave" }, () => {})
  }

  /** Whether the session was lost before the transaction had begun, and there may be another one. */
  private mayMove(error: SqlError, { refusal }: Sender): boolean {
    return !this.hasBegun && !this.isTied && isNotSent(error) && refusal === undefined &&
      this.outer?.exchange !== undefined
  }

  /** Goes on with another session, in a turn of this level, unless a sibling already has seen to that. */
  private elsewhere(lost: Session): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      const { beginning, outer } = this
      if (this.session !== lost || beginning === undefined || outer?.exchange === undefined) return Effect.void
      const moved = outer.exchange((session) => {
        outer.moveTo(session)
        this.beginning = new Begin(beginning.text)
      })
      this.isMoving = true
      return moved.pipe(
        Effect.tapError((error) => Effect.sync(() => this.beginFailure ??= error)),
        Effect.ensuring(Effect.sync(() => this.isMoving = false))
      )
    })
  }

  override failed(cause: Cause.Cause<unknown>): void {
    if (cause._tag !== "Fail" || !(cause.error instanceof SqlError)) return
    const { cause: reason } = cause.error
    if (isLoss(reason)) this.whole.losses.push(reason)
    if (this.beginning?.isAwaited !== true || isNotSent(cause.error)) return
    if (!this.isTied && !this.session.isAlive) this.session.onRollback()
    this.isTied = true
  }

  protected override sends(text: string): void {
    if (mayCommit(text)) this.whole.mayHaveCommitted = true
  }

  /** The outermost transaction around this one, or itself. */
  private get whole(): TransactionLevel {
    return this.outer?.isTransaction === true ? this.outer.whole : this
  }
}

/**
 * Whether BEGIN can go in front of a statement in one request, by the extended protocol. Statements with parameters go by
 * that anyhow. It takes no text of several statements, and it drops the rows of rules, which a table may have for all that
 * writes.
 */
const goesWithBegin = ({ text, values }: Query): boolean =>
  values.length > 0 || (reads.test(text) && !/[;$]/.test(text))

const reads = /^\s*(select|values|table)\b/i
