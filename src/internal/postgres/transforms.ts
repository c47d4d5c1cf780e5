/** @internal */

type Rows = ReadonlyArray<any>

/** @internal */
export interface Transforms {
  /** Of the rows of a result, or those of several results. */
  readonly rows: <A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>
  /** Of a value that goes out as JSON, or came in as such. */
  readonly value: (value: any) => any
}

/**
 * Transforms the names of columns, and where `nested` also those of the objects in their values, as `defaultTransforms`
 * of `@effect/sql` does; but what is no object in an array stays as it is, where that one ends with a `TypeError` at a
 * `null`, and makes objects of whatever follows an object.
 *
 * @internal
 */
export const makeTransforms = (transform: (name: string) => string, nested = true): Transforms => {
  const keys = (object: object, value: (value: unknown) => unknown): any =>
    Object.fromEntries(Object.entries(object).map(([key, inner]) => [transform(key), value(inner)]))

  const element = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(element) : isPlain(value) ? keys(value, ofValue) : value

  // An array of something else than objects is data, not structure.
  const ofValue = (value: unknown): unknown =>
    Array.isArray(value) && !isPlain(value.find((inner) => inner !== null && inner !== undefined))
      ? value
      : element(value)

  const column = nested ? ofValue : (value: unknown) => value
  const ofRows = (rows: Rows): Rows => rows.map((row) => Array.isArray(row) ? ofRows(row) : keys(row, column))
  return { rows: ofRows, value: ofValue }
}

const isPlain = (value: unknown): value is object => value?.constructor === Object
