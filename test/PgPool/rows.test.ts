import type { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import * as pg from "pg"
import { makePool, serverUrl } from "../support/pgPool.js"

type Result = pg.QueryResult | ReadonlyArray<pg.QueryResult>

interface Statement {
  readonly text: string
  readonly values?: Array<unknown>
}

/** What `pg` itself makes of it. */
const byPg = ({ text, values = [] }: Statement, rowMode?: "array") =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: Redacted.value(serverUrl) })
      await client.connect()
      return client
    }),
    (client) =>
      Effect.promise((): Promise<Result> => client.query({ text, values, ...(rowMode && { rowMode }) } as never)),
    (client) => Effect.promise(() => client.end())
  )

/** All that a caller can see of it, with the order of the columns. */
const seen = (result: Result): unknown =>
  Array.isArray(result) ? result.map(seen) : {
    ...(({ command, oid, rowCount }) => ({ command, oid, rowCount }))(result as pg.QueryResult),
    fields: (result as pg.QueryResult).fields.map((field) => ({ ...field })),
    rows: (result as pg.QueryResult).rows.map((row) => Array.isArray(row) ? row : Object.entries(row))
  }

const statements: Record<string, Statement> = {
  "no column": { text: "SELECT" },
  "no row": { text: "SELECT 1 AS a WHERE false" },
  "no result": { text: "SET search_path = public" },
  "an empty text": { text: "" },
  "nulls": { text: "SELECT null::int AS a, $1::text AS b", values: [null] },
  "types": {
    text: "SELECT 1::int8, 1.5::numeric, '{1,null}'::int[], '{}'::jsonb, '\\x00ff'::bytea, true, date '2026-01-02'"
  },
  "two columns of one name": { text: "SELECT 1 AS a, 2 AS b, $1::int AS a", values: [3] },
  "names of what objects have anyway": {
    text: `SELECT 1 AS "__proto__", null AS constructor, 3 AS "toString", 4 AS "0"`
  },
  "several rows": { text: "SELECT n, n * 2 AS twice FROM generate_series(1, $1::int) AS n", values: [3] },
  "several statements": { text: "SELECT 1 AS a; SELECT 2 AS b, 3 AS c; VALUES (1), (2)" },
  "a binary cursor": {
    text: "BEGIN; DECLARE c BINARY CURSOR FOR SELECT 258::int AS a; FETCH c; COMMIT"
  }
}

describe("R31: rows", () => {
  for (const [name, statement] of Object.entries(statements)) {
    for (const prepare of [false, true]) {
      it.scopedLive(`${name}: as pg has them${prepare ? ", prepared" : ""}`, () =>
        Effect.gen(function*() {
          const { sql } = yield* makePool({ prepare })
          const expected = seen(yield* byPg(statement))
          const execute = sql.unsafe(statement.text, statement.values).raw
          assert.deepStrictEqual(seen((yield* execute) as Result), expected)
          // What is remembered of the first is used for the second.
          assert.deepStrictEqual(seen((yield* execute) as Result), expected)
        }))
    }
  }

  it.scopedLive("as arrays: as pg has them", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      for (const { text, values } of [statements.nulls, statements.types, statements["two columns of one name"]]) {
        const expected = (yield* byPg({ text, ...(values && { values }) }, "array")) as pg.QueryResult
        assert.deepStrictEqual(yield* sql.unsafe(text, values).values, expected.rows as never)
      }
    }))

  it.scopedLive("each is an object of its own", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const select = sql<{ a: number }>`SELECT ${1}::int AS a FROM generate_series(1, 2)`
      const [first, second] = yield* select
      Object.assign(first, { a: 2, b: 3 })
      assert.deepStrictEqual([second, ...yield* select], [{ a: 1 }, { a: 1 }, { a: 1 }])
    }))

  it.scopedLive("whatever a type parser throws, no row is left out", () =>
    Effect.gen(function*() {
      const isTrue = (value: string) => {
        if (value === "f") throw undefined
        return true
      }
      const { sql } = yield* makePool({
        types: { getTypeParser: (oid: number) => oid === 16 ? isTrue : String } as unknown as pg.CustomTypesConfig
      })
      const select = sql`SELECT x FROM (VALUES (true), (false), (true)) AS v (x) WHERE ${1} = 1`
      for (
        const rows of [select, Stream.runCollect(select.stream), sql.withTransaction(Stream.runCollect(select.stream))]
      ) {
        assert.include(String((yield* Effect.flip<unknown, SqlError.SqlError, never>(rows)).cause), "threw undefined")
      }
    }))

  it.scopedLive("a type parser that is set later is heeded", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const select = sql`SELECT ${1}::int8 AS a`
      assert.deepStrictEqual(yield* select, [{ a: "1" }])
      const before = pg.types.getTypeParser(20)
      yield* Effect.acquireRelease(
        Effect.sync(() => pg.types.setTypeParser(20, BigInt)),
        () => Effect.sync(() => pg.types.setTypeParser(20, before))
      )
      assert.deepStrictEqual(yield* select, [{ a: 1n }])
    }))
})
