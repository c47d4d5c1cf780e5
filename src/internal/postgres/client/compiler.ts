/** @internal */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Statement from "@effect/sql/Statement"
import { identity } from "effect/Function"
import { isDate } from "node:util/types"
import { makeTransforms } from "./transforms.js"

type Compiled = readonly [sql: string, params: ReadonlyArray<unknown>]

interface Remembering {
  [compiler: symbol]: Compiled
}

/**
 * The compiler of `@effect/sql-pg`, with three differences.
 *
 * It stores the compiled text on the fragment under a name of its own. The original compiler has one name for all
 * clients, so a client with other transforms would find the wrong text.
 *
 * It joins a statement of nothing but text and values itself.
 *
 * It sends arrays and dates of `json` as JSON. `pg` would turn them into a PostgreSQL array or a timestamp.
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
  // A `WeakMap` would cost a statement as much time as its compilation, and the garbage collector even more.
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
    const simple = simply(statement)
    if (simple !== undefined) return simple
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

/**
 * A statement of nothing but text and values. Most are that, and need neither a copy nor to be remembered: their texts
 * alone were a tenth of what a short query leaves to the garbage collector.
 */
const simply = ({ segments }: Statement.Fragment): Compiled | undefined => {
  let count = 0
  for (const segment of segments) {
    if (segment._tag === "Parameter") count++
    else if (segment._tag !== "Literal" || segment.params !== undefined) return undefined
  }
  // No literals: V8 comes to allocate those among the old objects, where they keep what they hold. No list that grows
  // either, for it has more places than it needs.
  const params = segments.slice(0, count) as Array<unknown>
  let sql = ""
  let n = 0
  for (const segment of segments) {
    if (segment._tag === "Literal") sql += segment.value
    else if (segment._tag === "Parameter") {
      params[n++] = segment.value
      sql += `$${n}`
    }
  }
  return Array.of<unknown>(sql, params) as unknown as Compiled
}

/** A copy of a fragment: whatever the original compiler writes on the copy does not reach the fragment. */
const copy = (fragment: Statement.Fragment): Statement.Fragment =>
  ({
    segments: fragment.segments.map((segment) =>
      "returningIdentifier" in segment && Statement.isFragment(segment.returningIdentifier)
        ? { ...segment, returningIdentifier: copy(segment.returningIdentifier) }
        : segment
    )
  }) as unknown as Statement.Fragment

/** A value of `json`. The original compiler passes it on unchanged. */
class Json {
  constructor(readonly value: unknown) {}

  /** `pg` calls this for a value that it can't send itself. */
  toPostgres(): unknown {
    return isMended(this.value) ? JSON.stringify(this.value) : this.value
  }
}

const isJson = (param: unknown): param is Json => param instanceof Json

const PgJson = Statement.custom<PgClient.PgCustom>("PgJson") as (value: unknown) => Statement.Fragment

/** `PgClient.json`. As in `pg`, a string is taken as JSON text already, and `null` as the NULL of SQL. @internal */
export const json = (value: unknown): Statement.Fragment => PgJson(new Json(value))

/** Values that `pg` itself sends as JSON are left to `pg`. */
const send = (param: unknown, transform: (value: unknown) => unknown): unknown => {
  if (!isJson(param)) return param
  try {
    const value = transform(param.value)
    return isMended(value) ? new Json(value) : value
  } catch (error) {
    return new Unsendable(error)
  }
}

/**
 * Whether `pg` would send the value, but not as JSON: the server would refuse it, or make an object of an empty array.
 */
const isMended = (value: unknown): boolean => Array.isArray(value) || isDate(value)

/**
 * The error that a getter or a transform of the user threw. It fails the statement, like a value that can't be
 * serialised.
 */
class Unsendable {
  constructor(private readonly error: unknown) {}

  toPostgres(): never {
    throw this.error
  }
}
