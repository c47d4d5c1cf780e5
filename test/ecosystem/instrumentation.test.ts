import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { PgInstrumentationConfig } from "@opentelemetry/instrumentation-pg"
import { Chunk, Effect, Exit, Fiber, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { instrument, openTelemetry, others } from "../support/instrumentation.js"
import { causeTagOf, codeOf, eventually, makePool, uniqueName } from "../support/pgPool.js"
import type { TestPool } from "../support/pgPool.js"

/** One of each kind of statement. What it gives is the same for every client on every server. */
const everything = ({ pool, server, sql }: TestPool) =>
  Effect.gen(function*() {
    const all = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toArray)
    const numbers = sql<{ n: number }>`SELECT n FROM generate_series(1, ${300}) n`
    const sleep = `SELECT pg_sleep(60) AS ${uniqueName()}`
    const sleeping = server.query("SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1", [
      `%${sleep}%`
    ])
    const results = {
      rows: yield* sql`SELECT ${1}::int AS n, ${"a"} AS s`,
      again: yield* sql`SELECT ${1}::int AS n, ${"a"} AS s`,
      plain: yield* sql`SELECT 1 AS n`,
      several: yield* sql`SELECT 1 AS n; SELECT 2 AS n`,
      none: yield* sql`SELECT 1 AS n WHERE ${false}::boolean`,
      values: yield* sql`SELECT ${1}::int AS n, 2 AS n`.values,
      plainValues: yield* sql`SELECT 1 AS n, 2 AS n`.values,
      raw: yield* Effect.map(sql`SELECT ${1}::int AS n`.raw, (raw) => (raw as { rowCount: number }).rowCount),
      unprepared: yield* sql`SELECT ${1}::int AS n`.unprepared,
      code: codeOf(yield* Effect.flip(sql`SELECT 1 / ${0}::int`)),
      syntax: codeOf(yield* Effect.flip(sql`SELEC ${1}`)),
      together: yield* Effect.all(Array.from({ length: 40 }, (_, n) => sql`SELECT ${n}::int AS n`.values), {
        concurrency: "unbounded"
      }),
      streamed: yield* all(numbers.stream),
      begun: yield* all(Stream.take(numbers.stream, 2)),
      badStream: codeOf(
        yield* Effect.flip(Stream.runDrain(sql`SELECT 1 / (${2} - n) FROM generate_series(1, 2) n`.stream))
      ),
      transaction: yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`CREATE TEMPORARY TABLE t (n int) ON COMMIT DROP`
        yield* sql`INSERT INTO t VALUES (${1})`
        yield* Effect.flip(sql.withTransaction(Effect.zipRight(sql`INSERT INTO t VALUES (${2})`, Effect.fail("no"))))
        return {
          rows: yield* sql`SELECT n FROM t`,
          streamed: yield* all(
            Stream.tap(numbers.stream, ({ n }) => n % 100 === 0 ? Effect.asVoid(sql`SELECT ${n}::int`) : Effect.void)
          ),
          begun: yield* all(Stream.take(numbers.stream, 2)),
          code: codeOf(yield* Effect.flip(sql.withTransaction(Stream.runDrain(sql`SELECT 1 / ${0}::int`.stream))))
        }
      })),
      rolledBack: yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.fail("no")))),
      reserved: yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* pool.get
        return {
          values: yield* connection.executeValues("SELECT $1::int AS n, 2 AS n", [1]),
          pg: (yield* Effect.promise(() => connection.pg.query("SELECT $1::int AS n", [1]))).rows,
          pgCallback: yield* Effect.async<unknown>((resume) => {
            connection.pg.query("SELECT $1::int AS n", [1], (_, result) => resume(Effect.succeed(result.rows)))
          })
        }
      })),
      interrupted: Exit.isInterrupted(
        yield* Effect.flatMap(
          Effect.fork(sql.unsafe(sleep)),
          (fiber) => Effect.zipRight(eventually(sleeping, (rows) => rows.length === 1), Fiber.interrupt(fiber))
        )
      )
    }
    yield* eventually(sleeping, (rows) => rows.length === 0)
    return results
  })

const kinds: Record<string, PgPool.PgPoolOptions> = {
  "as it is": {},
  "with prepare": { prepare: true },
  "with multiplex": { multiplex: true, maxsize: 2 },
  "with reset: session": { reset: "session", maxsize: 2 }
}

const openTelemetries: Record<string, PgInstrumentationConfig> = {
  "OpenTelemetry's": {},
  "OpenTelemetry's with comments": { addSqlCommenterCommentToQueries: true },
  "OpenTelemetry's with all it has": {
    addSqlCommenterCommentToQueries: true,
    enableTraceContextPropagation: true,
    enhancedDatabaseReporting: true,
    requestHook: (span, { query }) => void span.setAttribute("hook", query.text),
    responseHook: (span, { data }) => void span.setAttribute("rows", data.rowCount ?? 0)
  }
}

for (const [kind, options] of Object.entries(kinds)) {
  describe(kind, () => {
    const results = Effect.flatMap(makePool(options), everything)
    const expected = Effect.runSync(Effect.cached(Effect.scoped(results)))

    for (const [name, around] of Object.entries(others)) {
      it.scopedLive(`R31: gives the same results where instrumentation gives pg ${name}`, () =>
        Effect.gen(function*() {
          const plain = yield* expected
          yield* instrument(around)
          assert.deepStrictEqual(yield* results, plain)
        }))
    }

    for (const [name, config] of Object.entries(openTelemetries)) {
      it.scopedLive(`R31: gives the same results with ${name} instrumentation, which sees each statement end once`, () =>
        Effect.gen(function*() {
          const plain = yield* expected
          const exporter = yield* openTelemetry(config)
          assert.deepStrictEqual(yield* Effect.scoped(results), plain)
          const texts = exporter.getFinishedSpans().map(({ attributes }) => attributes["db.query.text"])
          const count = (start: string) => texts.filter((text) => String(text).startsWith(start)).length
          assert.strictEqual(count("SELECT $1::int AS n, $2"), 2)
          // Each a cursor that began.
          assert.strictEqual(count("SELECT n FROM generate_series(1, $1) n"), 2 + 3 + 1)
          assert.strictEqual(count("SELECT pg_sleep(60)"), 1)
          assert.strictEqual(count("COMMIT"), 1)
          assert.strictEqual(count("CLOSE"), 1)
        }))
    }
  })
}

describe("R31: comments", () => {
  /** What the server saw of one's own statement. */
  const seen = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND $1"
  const commented = /traceparent='00-[0-9a-f-]+'/

  it.scopedLive("reach the server with statements and streams", () =>
    Effect.gen(function*() {
      yield* openTelemetry({ addSqlCommenterCommentToQueries: true })
      const { sql } = yield* makePool()
      const statement = sql.unsafe<{ query: string }>(seen, [true])
      const stream = Effect.map(Stream.runCollect(statement.stream), Chunk.toArray)
      for (const rows of [yield* statement, yield* stream, yield* sql.withTransaction(stream)]) {
        assert.match(rows[0].query, commented)
      }
    }))

  it.scopedLive("of the moment make no prepared statement of each execution", () =>
    Effect.gen(function*() {
      yield* openTelemetry({ addSqlCommenterCommentToQueries: true })
      const { sql } = yield* makePool({ prepare: true, maxsize: 1, maxoverflow: 1 })
      for (const n of [1, 2, 3]) yield* sql`SELECT ${n}::int AS n`
      const prepared = yield* sql`SELECT statement FROM pg_prepared_statements`
      assert.deepStrictEqual(prepared, [{ statement: "SELECT $1::int AS n" }])
    }))
})

describe("R31: what can't be made good is a typed failure, and the connection lives on", () => {
  const usable = ({ pool, sql }: TestPool) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* sql`SELECT ${1}::int AS n`, [{ n: 1 }])
      assert.strictEqual((yield* pool.stats).busy, 0)
    })
  const attempts = ({ sql }: TestPool) => [
    sql`SELECT ${"bad"} AS s`,
    sql`SELECT ${"bad"} AS s`.values,
    Stream.runDrain(sql`SELECT ${"bad"} AS s`.stream),
    sql.withTransaction(Stream.runDrain(sql`SELECT ${"bad"} AS s`.stream))
  ]

  for (const [kind, options] of Object.entries(kinds)) {
    it.scopedLive(`${kind}: one that throws has sent nothing`, () =>
      Effect.gen(function*() {
        const world = yield* makePool(options)
        yield* instrument((query) =>
          function(first, ...rest) {
            const result = query.call(this, first, ...rest)
            if (first.values?.includes("bad")) throw new Error("not this one")
            return result
          }
        )
        for (const attempt of attempts(world)) {
          const error = yield* Effect.flip(attempt as Effect.Effect<unknown, SqlError>)
          assert.strictEqual((error.cause as Error).message, "not this one")
          yield* usable(world)
        }
      }))

    it.scopedLive(`${kind}: one that refuses a statement by its callback`, () =>
      Effect.gen(function*() {
        const world = yield* makePool(options)
        yield* instrument((query) =>
          function(first, ...rest) {
            if (!first.values?.includes("bad")) return query.call(this, first, ...rest)
            return rest.at(-1)(new Error("not this one"))
          }
        )
        for (const attempt of attempts(world)) {
          const error = yield* Effect.flip(attempt as Effect.Effect<unknown, SqlError>)
          assert.strictEqual((error.cause as Error).message, "not this one")
          yield* usable(world)
        }
      }))

    it.scopedLive(`${kind}: a copy that comes later is not taken for the answer`, () =>
      Effect.gen(function*() {
        const world = yield* makePool(options)
        yield* instrument((query) =>
          function(first, ...rest) {
            if (!first.values?.includes("bad")) return query.call(this, first, ...rest)
            setImmediate(() => query.call(this, { ...first }, ...rest))
          }
        )
        for (const attempt of attempts(world)) {
          const error = yield* Effect.flip(attempt as Effect.Effect<unknown, SqlError>)
          // One of them is a whole transaction.
          assert.include(["OutcomeUnknown", "NotCommitted"], causeTagOf(error))
          yield* usable(world)
        }
      }))
  }
})
