/** @internal */

type Rows = ReadonlyArray<any>

/** @internal */
export interface Transforms {
  /** Transforms the rows of a result, or those of several results. */
  readonly rows: <A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>
  /** Transforms a value that is sent as JSON, or was received as JSON. */
  readonly value: (value: any) => any
}

/**
 * Transforms the names of columns and, if `nested`, also the names in the objects of their values, as
 * `defaultTransforms` of `@effect/sql` does. There are two differences.
 *
 * An element of an array that is no object stays as it is. `defaultTransforms` throws a `TypeError` at a `null`, and
 * makes an object of every element that follows an object.
 *
 * A value may be nested to any depth.
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

/** An array is structure only if it holds objects; any other array is data. */
const isStructure = (value: unknown): value is object =>
  isPlain(Array.isArray(value) ? value.find((inner) => inner !== null && inner !== undefined) : value)

const isPlain = (value: unknown): value is object => value?.constructor === Object

/** An element of an array of objects: it is structure if it is an array or an object in JSON too. */
const isElementStructure = (value: unknown): value is object =>
  typeof value === "object" && value !== null && typeof (value as { readonly toJSON?: unknown }).toJSON !== "function"

/**
 * One copy of a value with other names in it. The copying is not recursive, because a value may be nested very deeply.
 * An object that occurs several times, even inside itself, has one copy, which occurs as often.
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

/** A plain assignment to `__proto__` would set the prototype. */
const set = (object: object, key: string, value: unknown): void => {
  if (key === "__proto__") Object.defineProperty(object, key, { value, enumerable: true, writable: true })
  else (object as Record<string, unknown>)[key] = value
}
