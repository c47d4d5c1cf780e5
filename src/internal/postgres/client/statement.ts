/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { isTraced } from "../../spans.js"
import { errorTypeOf } from "../errors/errorType.js"
import type { Statements } from "../lease/statements.js"
import type { Router } from "./router.js"

/** What `@effect/sql` has in each statement. */
interface Parts {
  readonly segments: ReadonlyArray<Statement.Segment>
  readonly acquirer: Effect.Effect<Router>
  readonly compiler: Statement.Compiler
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly transformRows: (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
}

type Primitive = Parts & Statement.Statement<any>

type Make = (
  acquirer: Effect.Effect<Router>,
  compiler: Statement.Compiler,
  spanAttributes: Parts["spanAttributes"],
  transformRows: Parts["transformRows"]
) => Statement.Constructor

const make: Make = Statement.make

/** The class of statements, which `@effect/sql` does not export. */
const StatementPrimitive = make(Effect.never, {} as Statement.Compiler, [], undefined)``.constructor as new(
  ...parts: [Parts["segments"], Parts["acquirer"], Parts["compiler"], Parts["spanAttributes"], Parts["transformRows"]]
) => Primitive

/**
 * A statement as `@effect/sql` makes it, with the same span where anybody sees it. That span is in no context, so here is
 * the only place where more can be told to it: how the statement has failed, and that its wait for a connection is below
 * it.
 */
class SpannedStatement extends StatementPrimitive {
  constructor(
    { acquirer, compiler, segments, spanAttributes, transformRows }: Parts,
    private readonly router: Router
  ) {
    super(segments, acquirer, compiler, spanAttributes, transformRows)
  }

  /** The other members call it. */
  protected withConnection<A>(
    operation: string,
    run: (connection: Statements, sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<A, SqlError>,
    withoutTransform = false
  ): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      if (!isSeen(fiber)) return run(this.router.at(fiber.currentContext), ...this.compile(withoutTransform))
      return Effect.useSpan("sql.execute", spanOptions, (span) =>
        this.transformed(span, (statement, fiber) => {
          const [sql, params] = statement.compile(withoutTransform)
          this.describe(span, operation, sql)
          return Effect.catchAllCause(run(this.router.at(fiber.currentContext, span), sql, params), (cause) => {
            tell(span, cause)
            return Effect.failCause(cause)
          })
        }))
    })
  }

  override get stream(): Stream.Stream<any, SqlError> {
    return Stream.unwrapScoped(
      Effect.flatMap(
        Effect.makeSpanScoped("sql.execute", spanOptions),
        (span) =>
          this.transformed(span, (statement, fiber) => {
            const [sql, params] = statement.compile()
            this.describe(span, "executeStream", sql)
            const rows = this.router.at(fiber.currentContext, span).executeStream(sql, params, this.transformRows)
            return Effect.succeed(Stream.tapErrorCause(rows, (cause) => Effect.sync(() => tell(span, cause))))
          })
      )
    )
  }

  /** As the program's transformer of statements would have it, if there is one. */
  private transformed<A, E>(
    span: Tracer.Span,
    f: (statement: Statement.Statement<any>, fiber: AnyFiber) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      const transformer = fiber.getFiberRef(Statement.currentTransformer)
      if (transformer._tag === "None") return f(this, fiber)
      const sql = make(this.acquirer, this.compiler, this.spanAttributes, this.transformRows)
      return Effect.flatMap(
        transformer.value(this, sql, fiber.getFiberRefs(), span) as Effect.Effect<Statement.Statement<any>>,
        (statement) => f(statement, fiber)
      )
    })
  }

  private describe(span: Tracer.Span, operation: string, sql: string): void {
    for (const [key, value] of this.spanAttributes) span.attribute(key, value)
    span.attribute("db.operation.name", operation)
    span.attribute("db.query.text", sql)
  }
}

type AnyFiber = Fiber.RuntimeFiber<any, any>

/** Whether anybody sees the span of a statement: a tracer of the program's own, or its transformer, which is given it. */
const isSeen = (fiber: AnyFiber): boolean =>
  isTraced(fiber) || fiber.getFiberRef(Statement.currentTransformer)._tag === "Some"

const spanOptions: Tracer.SpanOptions = { kind: "client", captureStackTrace: false }

const tell = (span: Tracer.Span, cause: Cause.Cause<unknown>): void => {
  if (Cause.isInterruptedOnly(cause)) return
  const { errorType, statusCode } = errorTypeOf(cause)
  span.attribute("error.type", errorType)
  if (statusCode !== undefined) span.attribute("db.response.status_code", statusCode)
}

/** The constructor of a client's statements. @internal */
export const makeStatements = (
  router: Router,
  compiler: Statement.Compiler,
  spanAttributes: Parts["spanAttributes"],
  transformRows: Parts["transformRows"]
): Statement.Constructor => {
  // Statements are cached by the identity of their acquirer, so each constructor needs an acquirer of its own.
  const plain = make(Effect.succeed(router), compiler, spanAttributes, transformRows)
  const spanned = (made: unknown) => made instanceof StatementPrimitive ? new SpannedStatement(made, router) : made
  // Not an arrow: users of `@effect/sql` may look for the members that any function has.
  const sql: any = function(...args: [any, ...Array<any>]) {
    return spanned(plain(...args))
  }
  return Object.assign(sql, plain, {
    unsafe: (...args: Parameters<Statement.Constructor["unsafe"]>) => spanned(plain.unsafe(...args))
  })
}
