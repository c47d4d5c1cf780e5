/** @internal */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import type * as Stream from "effect/Stream"
import type * as Pg from "pg"
import type { Query } from "../driver/query.js"
import { transformedRows } from "../errors/errors.js"

/** @internal */
export type Params = ReadonlyArray<unknown>

type Rows = ReadonlyArray<any>

/** @internal */
export type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/** @internal */
export type OneOrMany = Pg.QueryResult | Array<Pg.QueryResult>

/** Statements without parameters go by the simple protocol, and a text with several of them has several results. */
const rowsOf = (result: OneOrMany): Rows => Array.isArray(result) ? result.map((one) => one.rows) : result.rows

/** A statement of a program's own transformer may have none: `@effect/sql-pg` takes it. @internal */
export const valuesOf = (params: Params | null | undefined): Params => params ?? []

/** An object literal would come to be allocated among the old objects, where it would keep its text and its values. */
class Asked implements Query {
  readonly values: Params

  constructor(readonly text: string, params: Params) {
    this.values = valuesOf(params)
  }
}

/** The answer to a statement. Whatever answers in place of `pg` may give anything for a result. @internal */
export const answerOf = <A>(
  exit: Exit.Exit<OneOrMany, SqlError>,
  read: (result: OneOrMany) => A
): Exit.Exit<A, SqlError> => {
  try {
    return Exit.map(exit, read)
  } catch (defect) {
    return Exit.die(defect)
  }
}

/**
 * The statements of a `SqlConnection`, given a way to run one.
 *
 * @internal
 */
export abstract class Statements implements Connection {
  /** `read` makes the answer of the driver's result. */
  abstract run<A>(statement: Query, read: (result: OneOrMany) => A): Effect.Effect<A, SqlError>

  abstract executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError>

  execute(sql: string, params: Params, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    return transformed(this.run(new Asked(sql, params), rowsOf), transformRows)
  }

  executeRaw(sql: string, params: Params): Effect.Effect<unknown, SqlError> {
    return this.run(new Asked(sql, params), identity)
  }

  executeValues(sql: string, params: Params): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return this.run({ text: sql, values: valuesOf(params), rowMode: "array" }, rowsOf)
  }

  executeUnprepared(sql: string, params: Params, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    return transformed(this.run({ text: sql, values: valuesOf(params), isUnprepared: true }, rowsOf), transformRows)
  }
}

const transformed = (rows: Effect.Effect<Rows, SqlError>, transformRows: TransformRows) =>
  transformRows === undefined ? rows : Effect.flatMap(rows, (rows) => transformedRows(rows, transformRows))
