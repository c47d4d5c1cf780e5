/** @internal */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { randomUUID } from "node:crypto"
import type { PoolError } from "../../../PoolError.js"
import { get, use } from "../../borrow.js"
import type { Loan } from "../../pool/loan.js"
import { Attempts } from "../../pool/loan.js"
import type { Operations } from "../config/operations.js"
import type { Query } from "../driver/query.js"
import { asSqlError, isNotSent } from "../errors/errors.js"
import { Lease } from "../lease/lease.js"
import type { Params, TransformRows } from "../lease/statements.js"
import { Statements } from "../lease/statements.js"
import * as SessionStream from "../lease/stream.js"
import { timedStream } from "../lease/timed.js"
import type { Session } from "../session/session.js"
import { TransactionLevel } from "../transaction/level.js"
import type { SessionPool } from "./pooled.js"
import { pooled } from "./pooled.js"

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

  constructor(
    private readonly pool: SessionPool,
    private readonly operations: Operations | undefined
  ) {
    super()
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
    f: (level: TransactionLevel) => Effect.Effect<A, E, R>,
    isUnused?: (cause: Cause.Cause<unknown>) => boolean,
    span?: Tracer.Span
  ): Effect.Effect<A, E | SqlError, R> =>
    use(this.pool, (session, loan) => {
      const level = TransactionLevel.on(this, session)
      loan.onEnd = () => level.end()
      return f(level)
    }, { asError: asSqlError, isUnused, span })

  /** The same for a statement that has this span. */
  under(span: Tracer.Span): Statements {
    return new Spanned(this, span)
  }

  run<A>(statement: Query, span?: Tracer.Span): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      const level = this.current(fiber.currentContext)
      return level === undefined ? pooled(this.pool, statement, this.operations, span) : level.run(statement)
    })
  }

  executeStream(
    sql: string,
    params: Params,
    transformRows: TransformRows,
    span?: Tracer.Span
  ): Stream.Stream<any, SqlError> {
    return Stream.unwrapScoped(Effect.withFiberRuntime((fiber) => {
      const level = this.current(fiber.currentContext)
      return level !== undefined
        ? Effect.succeed(level.executeStream(sql, params, transformRows))
        : Effect.succeed(
          timedStream(this.operations, this.stream({ sql, params, transformRows, inTurn: (page) => page }, span))
        )
    }))
  }

  /** A session that ended before it read the first request for rows has done nothing, so another session is tried. */
  private stream(
    rows: Omit<SessionStream.Rows, "session">,
    span: Tracer.Span | undefined,
    attempts = new Attempts()
  ): Stream.Stream<any, SqlError> {
    return Stream.suspend(() => {
      let hasBegun = false
      let triesAgain = false
      const exclusive = (session: Session, loan: Loan<Session>) =>
        SessionStream.exclusive({ ...rows, session }).pipe(
          Stream.mapChunks((chunk) => (hasBegun = true, chunk)),
          // Before the end of the loan, which is that of the stream.
          Stream.mapError((error) => {
            if (!hasBegun && isNotSent(error)) triesAgain = loan.isVain = attempts.next(loan)
            return error
          })
        )
      return Stream.unwrapScoped(Effect.mapError(get(this.pool, exclusive, attempts, span), asSqlError)).pipe(
        Stream.catchSome(() => triesAgain ? Option.some(this.stream(rows, span, attempts)) : Option.none())
      )
    })
  }
}

class Spanned extends Statements {
  constructor(
    private readonly router: Router,
    private readonly span: Tracer.Span
  ) {
    super()
  }

  run<A>(statement: Query): Effect.Effect<A, SqlError> {
    return this.router.run(statement, this.span)
  }

  executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    return this.router.executeStream(sql, params, transformRows, this.span)
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
