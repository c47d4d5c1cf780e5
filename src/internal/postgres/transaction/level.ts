/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import type * as Pg from "pg"
import { Lease } from "../lease/lease.js"
import { mayCommit } from "../session/mayCommit.js"
import type { Session } from "../session/session.js"
import { isLoss } from "./outcome.js"

/** What a fiber's statements run on: a connection that was kept for it, or a transaction. @internal */
export class TransactionLevel extends Lease {
  declare readonly outer: TransactionLevel | undefined
  /** Whether users' statements run on it. A transaction on a connection of the pool has a level below it that is hidden. */
  isEntered = false
  /** Numbers the savepoints on a connection. */
  private savepoints = 0
  /** The failures of its statements, and of the nested ones, that say that the connection was lost. */
  readonly losses: Array<object> = []
  /** Whether its body has sent something that may have committed it. */
  mayHaveCommitted = false

  private constructor(
    /** The client that it belongs to. */
    readonly client: object,
    session: Session,
    outer: TransactionLevel | undefined,
    /** 0 for a transaction, more for nested ones, less for a connection outside of any. */
    readonly depth: number
  ) {
    super(session, outer)
  }

  static on(client: object, session: Session): TransactionLevel {
    return new TransactionLevel(client, session, undefined, -1)
  }

  /** A transaction on this level. Its statements take turns among themselves; meanwhile it has this level's turn. */
  below(): TransactionLevel {
    return new TransactionLevel(this.client, this.session, this, this.depth + 1)
  }

  get isTransaction(): boolean {
    return this.depth >= 0
  }

  nextSavepoint(): number {
    return this.outer === undefined ? ++this.savepoints : this.outer.nextSavepoint()
  }

  override get pg(): Pg.Client {
    // The pool does not see what is sent by it.
    this.whole.mayHaveCommitted = true
    return super.pg
  }

  protected override sends(text: string): void {
    if (mayCommit(text)) this.whole.mayHaveCommitted = true
  }

  override failed(cause: Cause.Cause<unknown>): void {
    const reason = cause._tag === "Fail" && cause.error instanceof SqlError ? cause.error.cause : undefined
    if (isLoss(reason)) this.whole.losses.push(reason)
  }

  /** The outermost transaction around this one, or itself. */
  private get whole(): TransactionLevel {
    return this.outer?.isTransaction === true ? this.outer.whole : this
  }
}
