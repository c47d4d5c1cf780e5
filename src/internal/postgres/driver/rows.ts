/** @internal */
import type { FieldDef } from "pg"
import type { Result } from "./pg.js"

/**
 * Tells a result its columns, as `pg` itself does, but with an empty row that was made before for the same ones: of a
 * short query that took a twelfth of the whole time. And with an array for the rows that is no literal: V8 comes to
 * allocate `pg`'s among the old objects, where each kept its rows until the next major collection. A result of 100 rows
 * took a quarter more for that.
 *
 * @internal
 */
export const describe = (result: Result, fields: Array<FieldDef>): void => {
  result.rows = none.slice()
  result.fields = fields
  // Asked anew each time: users may set other parsers at any time.
  if (fields.length > 0) {
    result._parsers = fields.map((field) => result._types.getTypeParser(field.dataTypeID, field.format))
  }
  result._prebuiltEmptyResultObject = emptyRow(fields)
}

const none: Array<never> = []

type Row = Record<string, unknown>

/** So many are remembered. */
const limit = 1000
/** What has longer names than that in all is not: they would be kept for ever. */
const longestNames = 16_384
const emptyRows = new Map<string, Row>()

const emptyRow = (fields: ReadonlyArray<FieldDef>): Row => {
  // No name has that in it.
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

/** Without a prototype: a column may be called `__proto__`. */
const nulls = (fields: ReadonlyArray<FieldDef>): Row => {
  const row: Row = Object.create(null)
  for (const { name } of fields) row[name] = null
  return row
}

/** What code of users threw, a type parser or a parameter's own. It must not be taken for nothing. @internal */
export const thrown = (error: unknown): unknown =>
  error || new Error(`A type parser, or a parameter's toPostgres, threw ${String(error)}`)
