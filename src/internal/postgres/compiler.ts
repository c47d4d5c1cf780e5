/** @internal */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Statement from "@effect/sql/Statement"
import { identity } from "effect/Function"
import { makeTransforms } from "./transforms.js"

type Compiled = readonly [sql: string, params: ReadonlyArray<unknown>]

interface Remembering {
  [compiler: symbol]: Compiled
}

/**
 * The compiler of `@effect/sql-pg`, with two differences. What it compiled it writes on the fragment under a name of its
 * own: the original has one name for all, where a client with other transforms would find it. And it sends every value of `json` as JSON,
 * where `pg` would make arrays of PostgreSQL of arrays, and send texts and dates as they are.
 *
 * @internal
 */
export const makeCompiler = (
  transform: ((name: string) => string) | undefined,
  transformJson = true
): Statement.Compiler =>
  new Compiler(
    PgClient.makeCompiler(transform, transformJson),
    transform === undefined || !transformJson ? identity : makeTransforms(transform).value
  )

class Compiler implements Statement.Compiler {
  // Not a `WeakMap`, which costs a statement as much as its compilation, and the garbage collector more.
  private readonly compiled = Symbol("effect-pgpool/compiled")
  private readonly compiledPlain = Symbol("effect-pgpool/compiledPlain")

  constructor(
    private readonly compiler: Statement.Compiler,
    private readonly transformJson: (value: unknown) => unknown
  ) {}

  get dialect(): Statement.Dialect {
    return this.compiler.dialect
  }

  get withoutTransform(): this {
    return new Compiler(this.compiler.withoutTransform, identity) as this
  }

  compile(statement: Statement.Fragment, withoutTransform = false): Compiled {
    const places = statement as Statement.Fragment & Remembering
    const place = withoutTransform ? this.compiledPlain : this.compiled
    const known = places[place]
    if (known !== undefined) return known
    const [sql, params] = this.compiler.compile(copy(statement), withoutTransform)
    const transformJson = withoutTransform ? identity : this.transformJson
    const compiled = [sql, params.some(isJson) ? params.map((param) => send(param, transformJson)) : params] as const
    places[place] = compiled
    return compiled
  }
}

/** What is written on a copy is on no fragment. */
const copy = (fragment: Statement.Fragment): Statement.Fragment =>
  ({
    segments: fragment.segments.map((segment) =>
      "returningIdentifier" in segment && Statement.isFragment(segment.returningIdentifier)
        ? { ...segment, returningIdentifier: copy(segment.returningIdentifier) }
        : segment
    )
  }) as unknown as Statement.Fragment

/** A value of `json`. The original compiler passes it on as it is. */
class Json {
  constructor(readonly value: unknown) {}

  /** `pg` calls this for what it can't send itself. */
  toPostgres(): string {
    return JSON.stringify(this.value)
  }
}

const isJson = (param: unknown): param is Json => param instanceof Json

const PgJson = Statement.custom<PgClient.PgCustom>("PgJson") as (value: unknown) => Statement.Fragment

/** `PgClient.json`. `null` is that of SQL. @internal */
export const json = (value: unknown): Statement.Fragment =>
  PgJson(value === null || value === undefined ? null : new Json(value))

/** What `pg` sends as JSON by itself is left to it. */
const send = (param: unknown, transform: (value: unknown) => unknown): unknown => {
  if (!isJson(param)) return param
  const value = transform(param.value)
  return isSentAsJson(value) ? value : new Json(value)
}

const isSentAsJson = (value: unknown): boolean =>
  Number.isFinite(value) || typeof value === "boolean" ||
  (typeof value === "object" && !Array.isArray(value) && !(value instanceof Date) && !ArrayBuffer.isView(value))
