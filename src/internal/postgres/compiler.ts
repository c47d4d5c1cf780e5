/** @internal */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Statement from "@effect/sql/Statement"

type Compiled = readonly [sql: string, params: ReadonlyArray<unknown>]

/**
 * The compiler of `@effect/sql-pg`, with two differences. It remembers for itself what it compiled: the original writes
 * that on the fragment, where a client with other transforms would find it. And it sends every value of `json` as JSON,
 * where `pg` would make arrays of PostgreSQL of arrays, and send texts and dates as they are.
 *
 * @internal
 */
export const makeCompiler = (
  transform: ((name: string) => string) | undefined,
  transformJson: boolean | undefined
): Statement.Compiler => {
  const transformValue = transform === undefined || transformJson === false
    ? undefined
    : Statement.defaultTransforms(transform).value
  return new Compiler(PgClient.makeCompiler(transform, transformJson), transformValue)
}

class Compiler implements Statement.Compiler {
  private readonly compiled = new WeakMap<Statement.Fragment, Compiled>()
  private readonly compiledPlain = new WeakMap<Statement.Fragment, Compiled>()

  constructor(
    private readonly compiler: Statement.Compiler,
    private readonly transformValue: ((value: any) => any) | undefined
  ) {}

  get dialect(): Statement.Dialect {
    return this.compiler.dialect
  }

  get withoutTransform(): this {
    return new Compiler(this.compiler.withoutTransform, undefined) as this
  }

  compile(statement: Statement.Fragment, withoutTransform = false): Compiled {
    const cache = withoutTransform ? this.compiledPlain : this.compiled
    const known = cache.get(statement)
    if (known !== undefined) return known
    const [sql, params] = this.compiler.compile(copy(statement), withoutTransform)
    const compiled = [sql, withoutTransform ? params : this.transformJson(params)] as const
    cache.set(statement, compiled)
    return compiled
  }

  /** Objects have been transformed already. */
  private transformJson(params: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    const { transformValue } = this
    if (transformValue === undefined || !params.some((param) => param instanceof JsonText)) return params
    return params.map((param) => param instanceof JsonText ? new JsonText(transformValue(param.value)) : param)
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

/** A value that `pg` is to send as JSON; it calls `toPostgres` for what it can't send itself. */
class JsonText {
  constructor(readonly value: unknown) {}

  toPostgres(): string {
    return JSON.stringify(this.value)
  }
}

const PgJson = Statement.custom<PgClient.PgCustom>("PgJson") as (value: unknown) => Statement.Fragment

/** `PgClient.json`. @internal */
export const json = (value: unknown): Statement.Fragment => PgJson(isSentAsJson(value) ? value : new JsonText(value))

const isSentAsJson = (value: unknown): boolean =>
  value === null || value === undefined || typeof value === "number" || typeof value === "boolean" ||
  (typeof value === "object" && !Array.isArray(value) && !(value instanceof Date) && !ArrayBuffer.isView(value))
