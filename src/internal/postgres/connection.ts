/** @internal */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Pg from "pg"
import type { PgConnection } from "../../PgPool.js"
import { statementError } from "./errors.js"
import type { Hooks, Session } from "./session.js"
import * as SessionStream from "./stream.js"

type Params = ReadonlyArray<unknown>
type Rows = ReadonlyArray<any>
type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
type OneOrMany = Pg.QueryResult | Array<Pg.QueryResult>

/** Statements without parameters go by the simple protocol, others by the extended one; none is named. */
const rowsOf = (result: OneOrMany): Rows => Array.isArray(result) ? result.map((one) => one.rows) : result.rows

/**
 * The statements of a `SqlConnection`, given a way to a session.
 *
 * @internal
 */
export abstract class Statements implements Connection {
  /** `f` is to pass the hooks on to its query. */
  abstract withSession<A>(f: (session: Session, hooks: Hooks) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError>

  abstract executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError>

  execute(sql: string, params: Params, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    const rows = Effect.map(this.executeRaw(sql, params) as Effect.Effect<OneOrMany, SqlError>, rowsOf)
    return transformRows === undefined ? rows : Effect.map(rows, transformRows)
  }

  executeRaw(sql: string, params: Params): Effect.Effect<unknown, SqlError> {
    return this.withSession((session, hooks) => session.statement({ text: sql, values: params }, hooks))
  }

  executeValues(sql: string, params: Params): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return Effect.map(
      this.withSession((session, hooks) =>
        session.statement<OneOrMany>({ text: sql, values: params, rowMode: "array" }, hooks)
      ),
      rowsOf
    )
  }

  executeUnprepared(sql: string, params: Params, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    return this.execute(sql, params, transformRows)
  }
}

/**
 * The right to use one session, until it is ended: reserved connections and transactions. Statements of several fibers
 * run one after the other. What comes after the end fails and never touches the session's next borrower (R15).
 *
 * @internal
 */
export class Lease extends Statements implements PgConnection {
  private isEnded = false
  private readonly turn = Effect.unsafeMakeSemaphore(1)

  constructor(readonly session: Session) {
    super()
  }

  get pg(): Pg.Client {
    return this.session.client as unknown as Pg.Client
  }

  get processId(): number {
    return this.session.processId
  }

  get isAlive(): boolean {
    return !this.isEnded
  }

  end(): void {
    this.isEnded = true
  }

  /** Runs `effect` when it is its turn, if the lease still lives then. */
  inTurn<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> {
    return this.turn.withPermits(1)(this.whileAlive(effect))
  }

  private whileAlive<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> {
    return Effect.suspend((): Effect.Effect<A, E | SqlError, R> => this.isEnded ? Effect.fail(leaseEnded()) : effect)
  }

  private readonly takeTurn = Effect.uninterruptibleMask((restore) =>
    Effect.zipRight(restore(this.turn.take(1)), Effect.addFinalizer(() => this.turn.release(1)))
  )

  withSession<A>(f: (session: Session, hooks: Hooks) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return this.inTurn(Effect.suspend(() => f(this.session, this.hooks)))
  }

  /** Between its turn and the moment of sending a statement may have to wait for a cancel to settle. */
  private readonly hooks: Hooks = { refusal: () => this.isEnded ? leaseEnded() : undefined }

  executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError> {
    const rows = { session: this.session, sql, params, transformRows, hooks: this.hooks }
    return Stream.suspend(() =>
      this.session.isInTransaction
        ? SessionStream.portal({ ...rows, inTurn: (page) => this.inTurn(page) })
        // Outside a transaction a portal ends with its request, so nothing may come in between.
        : Stream.unwrapScoped(
          Effect.as(this.takeTurn, SessionStream.cursor({ ...rows, inTurn: (page) => this.whileAlive(page) }))
        )
    )
  }
}

const leaseEnded = () => statementError(new Error("This connection was given back, it can't be used any more"))
