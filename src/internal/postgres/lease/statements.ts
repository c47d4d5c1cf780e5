/** @internal */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Pg from "pg"
import type { Query } from "../driver/query.js"
import { transformedRows } from "../errors/errors.js"

/** @internal */
export type Params = ReadonlyArray<unknown>

type Rows = ReadonlyArray<any>

/** @internal */
export type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

type OneOrMany = Pg.QueryResult | Array<Pg.QueryResult>

/** Statements without parameters go by the simple protocol, and a text with several of them has several results. */
const rowsOf = (result: OneOrMany): Rows => Array.isArray(result) ? result.map((one) => one.rows) : result.rows

const transformed = (result: Effect.Effect<OneOrMany, SqlError>, transformRows: TransformRows) => {
  const rows = Effect.map(result, rowsOf)
  return transformRows === undefined ? rows : Effect.flatMap(rows, (rows) => transformedRows(rows, transformRows))
}

/**
 * The statements of a `SqlConnection`, given a way to run one.
 *
 * @internal
 */
export abstract class Statements implements Connection {
  abstract run<A>(statement: Query): Effect.Effect<A, SqlError>

  abstract executeStream(sql: string, params: Params, transformRows: TransformRows): Stream.Stream<any, SqlError>

  execute(sql: string, params: Params, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    return transformed(this.run({ text: sql, values: params }), transformRows)
  }

  executeRaw(sql: string, params: Params): Effect.Effect<unknown, SqlError> {
    return this.run({ text: sql, values: params })
  }

  executeValues(sql: string, params: Params): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return Effect.map(this.run<OneOrMany>({ text: sql, values: params, rowMode: "array" }), rowsOf)
  }

  executeUnprepared(sql: string, params: Params, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    return transformed(this.run({ text: sql, values: params, isUnprepared: true }), transformRows)
  }
}
