/** @internal */
import * as Predicate from "effect/Predicate"
import { BadOption } from "../decode.js"
import { readOr } from "../words.js"

/** How the server writes the values of a column: its type by its OID, and each value as text. */
interface Kind {
  readonly name: string
  readonly oid: number
  readonly is: (value: unknown) => boolean
  readonly write: (value: any) => string
  /** A part of a value that would be lost when it is written. */
  readonly lost?: (value: object) => unknown
  /** What a value must be, if there are some that can't be written. */
  readonly allowed?: string
}

const isCollection = (value: unknown): boolean => value instanceof Map || value instanceof Set

/** JSON has no bigint, and makes an empty object of a Map or a Set. What has a `toJSON` has been replaced before. */
const lostInJson = (value: object): unknown => {
  let lost: unknown
  const look = (_key: string, part: unknown) => {
    if (typeof part === "bigint" || isCollection(part)) lost ??= part
    return part
  }
  readOr(() => JSON.stringify(value, look), undefined)
  return lost
}

const isInt4 = (value: unknown): boolean => Number.isInteger(value) && Math.abs(value as number) < 2 ** 31

/** The first one that has all values of a column is its type. */
const kinds: ReadonlyArray<Kind> = [
  { name: "text", oid: 25, is: Predicate.isString, write: String },
  { name: "int4", oid: 23, is: isInt4, write: String },
  { name: "float8", oid: 701, is: Predicate.isNumber, write: String },
  { name: "int8", oid: 20, is: Predicate.isBigInt, write: String },
  { name: "bool", oid: 16, is: Predicate.isBoolean, write: (value: boolean) => value ? "t" : "f" },
  {
    name: "timestamptz",
    oid: 1184,
    is: Predicate.isDate,
    write: (value: Date) => value.toISOString().replace("T", " ").replace("Z", "+00"),
    allowed: "a valid Date"
  },
  {
    name: "bytea",
    oid: 17,
    is: Predicate.isUint8Array,
    write: (value: Uint8Array) => `\\x${Buffer.from(value).toString("hex")}`
  },
  {
    name: "json",
    oid: 114,
    is: Predicate.isObject,
    write: (value: object) => JSON.stringify(value),
    lost: lostInJson,
    allowed: "something that can be sent as JSON, without circles, and without a bigint, a Map or a Set in it"
  }
]

/** @internal */
export type Row = Readonly<Record<string, unknown>>

/** Rows as the server sends them. @internal */
export interface Written {
  readonly columns: ReadonlyArray<{ readonly name: string; readonly oid: number }>
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
}

/** @internal */
export const write = (option: string, rows: unknown): Written => {
  if (!Array.isArray(rows)) throw new BadOption(option, rows, "an array of rows")
  rows.forEach((row, index) => {
    if (Predicate.isRecord(row) && !isCollection(row)) return
    throw new BadOption(`${option}[${index}]`, shown(row), "an object with a property for each column")
  })
  const names = [...new Set(rows.flatMap((row: Row) => Object.keys(row)))]
  const columns = names.map((name) => ({
    name,
    ...columnOf(`${option}: column ${name}`, rows.map((row) => row[name]))
  }))
  return {
    columns: columns.map(({ kind: { oid }, name }) => ({ name, oid })),
    rows: rows.map((_, index) => columns.map(({ texts }) => texts[index]))
  }
}

const columnOf = (option: string, values: ReadonlyArray<unknown>) => {
  const kind = kindOf(option, values)
  return { kind, texts: values.map((value) => isNull(value) ? null : textOf(option, kind, value)) }
}

const textOf = (option: string, { allowed, lost, name, write }: Kind, value: any): string => {
  const text = readOr<unknown>(() => write(value), undefined)
  const part = lost?.(value)
  if (typeof text === "string" && part === undefined) return text
  throw new BadOption(option, shown(part ?? value), allowed ?? `of type ${name}`)
}

/** As JSON, a Date that is none would be null, and a Map an empty object. */
const shown = (value: unknown): unknown => Predicate.isDate(value) || isCollection(value) ? String(value) : value

const isNull = (value: unknown): boolean => value === null || value === undefined

const kindOf = (option: string, values: ReadonlyArray<unknown>): Kind => {
  const some = values.filter((value) => !isNull(value))
  const kind = kinds.find(({ is }) => some.every(is))
  if (kind !== undefined) return kind
  const first = kinds.find(({ is }) => is(some[0]))
  const other = some.find((value) => first?.is(value) !== true)
  throw new BadOption(
    option,
    other,
    first === undefined
      ? "a text, number, bigint, boolean, Date, Uint8Array or something to be sent as JSON"
      : `of one type in all rows, and it began as ${first.name}`
  )
}
