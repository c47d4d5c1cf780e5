/** @internal */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { randomUUID } from "node:crypto"
import type { PoolError } from "../../../PoolError.js"
import type { Borrowing } from "../../borrow.js"
import { get, use } from "../../borrow.js"
import type { Restore } from "../../effects.js"
import type { Loan } from "../../pool/loan.js"
import type { Operations } from "../config/operations.js"
import type { Query } from "../driver/query.js"
import { asSqlError } from "../errors/errors.js"
import { Lease } from "../lease/lease.js"
import type { OneOrMany, Params, TransformRows } from "../lease/statements.js"
import { Statements } from "../lease/statements.js"
import type { Session } from "../session/session.js"
import { TransactionLevel } from "../transaction/level.js"
import type { SessionPool } from "./pooled.js"
import { Pooled } from "./pooled.js"

/**
 * Leads a client's statements to a session: that of the transaction or connection that the fiber is in, or else one of
 * the pool.
 *
 * @internal
 */
export class Router extends Statements {
  /**
   * Each client has a tag of its own, so the transaction of another client is never taken for ours. That holds also
   * between two copies of this package, which dependencies may bring along.
   */
  private readonly tag = Context.GenericTag<TransactionLevel>(`effect-pgpool/Transaction/${randomUUID()}`)

  private readonly pooled: Pooled

  constructor(
    private readonly pool: SessionPool,
    private readonly operations: Operations | undefined
  ) {
    super()
    this.pooled = new Pooled(pool, operations)
  }

  readonly enter = <R>(level: TransactionLevel, context: Context.Context<R>): Context.Context<R> => {
    level.isEntered = true
    const entered = Context.add(context, this.tag, level)
    if (!level.isTransaction) return entered as Context.Context<R>
    // Libraries tell transactions apart by this tag, and batch their queries accordingly.
    return Context.add(entered, SqlClient.TransactionConnection, [level, level.depth]) as Context.Context<R>
  }

  /**
   * Skips levels that have ended: a fiber that outlives a transaction uses the level around it, or the pool. A nested
   * transaction that outlives the outer one is not skipped; its statements fail.
   */
  readonly current = (context: Context.Context<never>): TransactionLevel | undefined => {
    let level = context.unsafeMap.get(this.tag.key) as TransactionLevel | undefined
    if (level === undefined) {
      // Some libraries pass on only the tag of `@effect/sql`.
      const foreign = context.unsafeMap.get(SqlClient.TransactionConnection.key) as
        | readonly [Connection, number]
        | undefined
      if (foreign?.[0] instanceof TransactionLevel && foreign[0].client === this) level = foreign[0]
    }
    while (level !== undefined && (level.hasEnded || !level.isEntered)) level = level.outer
    return level
  }

  readonly withLevel = <A, E, R>(
    f: (level: TransactionLevel, restore: Restore) => Effect.Effect<A, E, R>,
    isUnused?: (cause: Cause.Cause<unknown>) => boolean,
    span?: Tracer.Span
  ): Effect.Effect<A, E | SqlError, R> =>
    use(this.pool, (session, loan, borrowing: Borrowing<Session, SqlError>) => {
      const ends = (loan: Loan<Session>) => loan.onEnd = () => level.end()
      const exchange = (moved: (session: Session) => void) =>
        borrowing.exchange((session, loan) => {
          ends(loan)
          moved(session)
        })
      const level = TransactionLevel.on(this, session, isUnused === undefined ? undefined : exchange)
      ends(loan)
      return f(level, borrowing.restore)
    }, { asError: asSqlError, isMasked: true, isUnused, span })

  /** Where the statements of a fiber in that context go. Those that are traced have a span. */
  at(context: Context.Context<never>, span?: Tracer.Span): Statements {
    return this.current(context) ?? (span === undefined ? this.pooled : new Pooled(this.pool, this.operations, span))
  }

  run<A>(statement: Query, read: (result: OneOrMany) => A): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime((fiber) => this.at(fiber.currentContext).run(statement, read))
  }

  executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    return Stream.unwrap(
      Effect.withFiberRuntime((fiber) =>
        Effect.succeed(this.at(fiber.currentContext).executeStream(sql, params, transformRows))
      )
    )
  }
}

/** A lease of a session of the pool. The lease is dead once the scope is closed (R15). @internal */
export const reserve = (pool: SessionPool): Effect.Effect<Lease, SqlError | PoolError, Scope.Scope> =>
  get(pool, leaseOn)

/** A lease that is dead as soon as the loan ends (R15). @internal */
export const leaseOn = (session: Session, loan: Loan<Session>): Lease => {
  const lease = new Lease(session)
  loan.onEnd = () => lease.end()
  return lease
}
