/** @internal */
import type { FieldDef } from "pg"
import type { Result } from "./pg.js"

/**
 * Tells a result its columns, as `pg` itself does, with two differences.
 *
 * The empty row is reused for the same columns: to make it anew took a twelfth of the whole time of a short query.
 *
 * The array for the rows is not made by a literal. V8 comes to allocate the literal arrays of `pg` among the old
 * objects, where each array kept its rows until the next major collection. That made a result of 100 rows take a
 * quarter longer.
 *
 * @internal
 */
export const describe = (result: Result, fields: Array<FieldDef>): void => {
  result.rows = none.slice()
  result.fields = fields
  // The parsers are looked up each time, because users may set other ones at any time.
  if (fields.length > 0) {
    result._parsers = fields.map((field) => result._types.getTypeParser(field.dataTypeID, field.format))
  }
  result._prebuiltEmptyResultObject = emptyRow(fields)
}

const none: Array<never> = []

type Row = Record<string, unknown>

/** The number of empty rows that are remembered. */
const limit = 1000
/** A row whose names are longer than this in all is not remembered: the names would be kept for ever. */
const longestNames = 16_384
const emptyRows = new Map<string, Row>()

const emptyRow = (fields: ReadonlyArray<FieldDef>): Row => {
  // No name contains a NUL.
  const names = fields.map(({ name }) => name).join("\0")
  if (names.length > longestNames) return { ...nulls(fields) }
  let empty = emptyRows.get(names)
  if (empty === undefined) {
    if (emptyRows.size >= limit) emptyRows.clear()
    empty = { ...nulls(fields) }
    emptyRows.set(names, empty)
  }
  return empty
}

/** The row has no prototype: a column may be called `__proto__`. */
const nulls = (fields: ReadonlyArray<FieldDef>): Row => {
  const row: Row = Object.create(null)
  for (const { name } of fields) row[name] = null
  return row
}

/**
 * The value that user code threw: a type parser, or a method of a parameter. A thrown `undefined` or `null` must not
 * look like success.
 *
 * @internal
 */
export const thrown = (error: unknown): unknown =>
  error || new Error(`A type parser, or a parameter's toPostgres, threw ${String(error)}`)
