/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { get } from "../../borrow.js"
import { awaiting } from "../../effects.js"
import type { Loan } from "../../pool/loan.js"
import { Attempts } from "../../pool/loan.js"
import type { ElasticPoolState } from "../../pool/pool.js"
import type { Operations } from "../config/operations.js"
import type { Query } from "../driver/query.js"
import { asSqlError, isNotSent } from "../errors/errors.js"
import type { OneOrMany, Params, TransformRows } from "../lease/statements.js"
import { Statements } from "../lease/statements.js"
import * as SessionStream from "../lease/stream.js"
import { timedStream } from "../lease/timed.js"
import type { Session } from "../session/session.js"
import { PooledStatement } from "./pooledStatement.js"

/** @internal */
export type SessionPool = ElasticPoolState<Session, SqlError>

/**
 * Statements that each get a connection of the pool of their own.
 *
 * @internal
 */
export class Pooled extends Statements {
  constructor(
    readonly pool: SessionPool,
    readonly operations: Operations | undefined,
    /** That of the statement: its wait for a connection is below it. */
    readonly span?: Tracer.Span
  ) {
    super()
  }

  run<A>(query: Query, read: (result: OneOrMany) => A): Effect.Effect<A, SqlError> {
    return awaiting<A, SqlError>((resume, context, fiber) => {
      const statement = new PooledStatement(this, query, read, resume, context, fiber)
      statement.take()
      return () => statement.interrupt()
    })
  }

  executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    return timedStream(this.operations, this.stream({ sql, params, transformRows, inTurn: (page) => page }))
  }

  /** A session that ended before it read the first request for rows has done nothing, so another session is tried. */
  private stream(
    rows: Omit<SessionStream.Rows, "session">,
    attempts = new Attempts()
  ): Stream.Stream<any, SqlError> {
    return Stream.suspend(() => {
      let hasBegun = false
      const exclusive = (session: Session, loan: Loan<Session>) =>
        SessionStream.exclusive({ ...rows, session, onLast: () => loan.end() }).pipe(
          Stream.mapChunks((chunk) => (hasBegun = true, chunk)),
          Stream.catchAll((error) =>
            !hasBegun && isNotSent(error) && attempts.next(loan) ? this.stream(rows, attempts) : Stream.fail(error)
          )
        )
      return Stream.unwrapScoped(Effect.mapError(get(this.pool, exclusive, attempts, this.span), asSqlError))
    })
  }
}
