import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { instrument, others } from "../support/instrumentation.js"
import { codeOf, makePool, nobodySleeps } from "../support/pgPool.js"
import type { TestPool } from "../support/pgPool.js"

/** One of each kind of statement. What it gives is the same for every client on every server. */
const everything = ({ pool, sql, until }: TestPool) =>
  Effect.gen(function*() {
    const all = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toArray)
    const numbers = sql<{ n: number }>`SELECT n FROM generate_series(1, ${300}) n`
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
            Stream.tap(numbers.stream, ({ n }) => n % 100 === 0 ? sql`SELECT ${n}::int` : Effect.void)
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
          Effect.fork(sql`SELECT pg_sleep(60)`),
          (fiber) => Effect.zipRight(until((sessions) => !nobodySleeps(sessions)), Fiber.interrupt(fiber))
        )
      )
    }
    yield* until(nobodySleeps)
    return results
  })

const kinds: Record<string, PgPool.PgPoolOptions> = {
  "as it is": {},
  "with prepare": { prepare: true },
  "with multiplex": { multiplex: true, maxsize: 2 },
  "with reset: session": { reset: "session", maxsize: 2 }
}

for (const [kind, options] of Object.entries(kinds)) {
  describe(kind, () => {
    const results = Effect.flatMap(makePool(options), everything)

    for (const [name, around] of Object.entries(others)) {
      it.scopedLive(`gives the same results where pg is given ${name}`, () =>
        Effect.gen(function*() {
          const expected = yield* Effect.scoped(results)
          yield* instrument(around)
          assert.deepStrictEqual(yield* results, expected)
        }))
    }
  })
}
