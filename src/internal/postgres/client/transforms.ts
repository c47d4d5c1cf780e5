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
 * `null`, and makes objects of whatever follows an object. Nor does it matter how deep a value is.
 *
 * @internal
 */
export const makeTransforms = (transform: (name: string) => string, nested = true): Transforms => {
  const value = (value: unknown): unknown => isStructure(value) ? new Copying(transform).run(value) : value
  const column = nested ? value : (value: unknown) => value
  const ofRow = (row: object): any =>
    Object.fromEntries(Object.entries(row).map(([key, inner]) => [transform(key), column(inner)]))
  const ofRows = (rows: Rows): Rows => rows.map((row) => Array.isArray(row) ? ofRows(row) : ofRow(row))
  return { rows: ofRows, value }
}

/** An array of something else than objects is data, not structure. */
const isStructure = (value: unknown): value is object =>
  isPlain(Array.isArray(value) ? value.find((inner) => inner !== null && inner !== undefined) : value)

const isPlain = (value: unknown): value is object => value?.constructor === Object

/** In an array of objects: all that is arrays and objects in JSON too. */
const isElementStructure = (value: unknown): value is object =>
  typeof value === "object" && value !== null && typeof (value as { readonly toJSON?: unknown }).toJSON !== "function"

/**
 * One copy of a value with other names in it. It does not call itself: values are as deep as others have made them. What
 * is met again, be it inside of itself, is the same again in the copy.
 */
class Copying {
  private readonly values = new Map<object, object>()
  private readonly elements = new Map<object, object>()
  private readonly pending: Array<readonly [from: any, to: any]> = []

  constructor(private readonly transform: (name: string) => string) {}

  run(value: object): unknown {
    const copy = this.copyOf(value, this.values)
    for (let next = this.pending.pop(); next !== undefined; next = this.pending.pop()) this.fill(...next)
    return copy
  }

  private fill(from: any, to: any): void {
    if (Array.isArray(from)) {
      for (const inner of from) to.push(isElementStructure(inner) ? this.copyOf(inner, this.elements) : inner)
      return
    }
    for (const key in from) {
      const inner = from[key]
      set(to, this.transform(key), isStructure(inner) ? this.copyOf(inner, this.values) : inner)
    }
  }

  private copyOf(value: object, copies: Map<object, object>): object {
    let copy = copies.get(value)
    if (copy === undefined) {
      copy = Array.isArray(value) ? [] : {}
      copies.set(value, copy)
      this.pending.push([value, copy])
    }
    return copy
  }
}

/** An assignment would take `__proto__` for more than a name. */
const set = (object: object, key: string, value: unknown): void => {
  if (key === "__proto__") Object.defineProperty(object, key, { value, enumerable: true, writable: true })
  else (object as Record<string, unknown>)[key] = value
}
