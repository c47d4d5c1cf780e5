import type { PgClient } from "@effect/sql-pg"
import { assert, describe } from "@effect/vitest"
import { Effect, Redacted, String as Str } from "effect"
import { hazard, makeClient } from "../support/hazards.js"
import { makeTable } from "../support/pgPool.js"
import { startOnUnixSocket } from "../support/sockets.js"

const transformQueryNames = Str.camelToSnake

describe(".values of a multi-statement is undefined", () => {
  hazard("it has the rows of each statement", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeClient()
      assert.deepStrictEqual<unknown>(
        yield* sql.unsafe("SELECT 1 AS a; SELECT 2 AS b, 3 AS b UNION ALL SELECT 4, 5; SET work_mem = DEFAULT").values,
        [[[1]], [[2, 3], [4, 5]], []]
      )
    }))
})

describe("withoutTransforms forgets transformQueryNames", () => {
  hazard("it does not, where only these are set", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeClient({ transformQueryNames })
      const plain = sql.withoutTransforms()
      const rows = plain`SELECT ${sql("someName")} FROM (SELECT 1 AS "someName", 2 AS some_name) t`
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* rows, [{ someName: 1 }])
      // It does not change the client that it came from.
      const transformed = sql`SELECT ${sql("someName")} FROM (SELECT 1 AS "someName", 2 AS some_name) t`
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* transformed, [{ some_name: 2 }])
    }))
})

describe("json of a top-level array or date fails", () => {
  const typed = (sql: PgClient.PgClient, value: unknown) =>
    Effect.map(
      sql<{ value: unknown; type: string }>`
        SELECT value, jsonb_typeof(value) AS type FROM (SELECT ${sql.json(value)}::jsonb AS value) t
      `,
      ([row]) => row
    )

  hazard("an array or a date arrives as one, whatever is in it; a text is JSON already", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeClient()
      for (const value of [[1, 2], [], [[1], ["a", null]], [{ aB: 1 }, { aB: [] }], ["it's", "{}"]]) {
        assert.deepStrictEqual(yield* typed(sql, value), { value, type: "array" })
      }
      const date = new Date(0)
      assert.deepStrictEqual(yield* typed(sql, date), { value: date.toJSON(), type: "string" })
      for (const value of [[1], { a: 1 }, "text", 1, null]) {
        assert.deepStrictEqual((yield* typed(sql, JSON.stringify(value))).value, value)
      }
      assert.deepStrictEqual(yield* typed(sql, { aB: [1] }), { value: { aB: [1] }, type: "object" })
      assert.deepStrictEqual(yield* typed(sql, 1.5), { value: 1.5, type: "number" })
      assert.deepStrictEqual(yield* typed(sql, false), { value: false, type: "boolean" })
    }))

  hazard("they do within insert, update and updateValues", () =>
    Effect.gen(function*() {
      const { name } = yield* makeTable("id integer PRIMARY KEY, data jsonb")
      const { server, sql } = yield* makeClient()
      const data = () =>
        Effect.map(server.query(`SELECT data FROM ${name} ORDER BY id`), (rows) => rows.map((row) => row.data))
      const json = (value: unknown) => sql.json(value) as never
      yield* sql`INSERT INTO ${sql(name)} ${
        sql.insert([{ id: 1, data: json([1, 2]) }, { id: 2, data: json(new Date(0)) }])
      }`
      assert.deepStrictEqual(yield* data(), [[1, 2], "1970-01-01T00:00:00.000Z"])
      yield* sql`UPDATE ${sql(name)} SET ${sql.update({ data: json(["a"]) })} WHERE id = 1`
      yield* sql`UPDATE ${sql(name)} SET ${sql.update({ data: json("[\"1\"]") })} WHERE id = 2`
      assert.deepStrictEqual(yield* data(), [["a"], ["1"]])
      yield* sql`
        UPDATE ${sql(name)} SET data = new.data::jsonb
        FROM ${sql.updateValues([{ id: 1, data: json([null]) }], "new")} WHERE ${sql(name)}.id = new.id::integer
      `
      assert.deepStrictEqual(yield* data(), [[null], ["1"]])
    }))

  hazard("with transformQueryNames the keys in an array are transformed as in an object", () =>
    Effect.gen(function*() {
      const { name } = yield* makeTable("id integer PRIMARY KEY, some_data jsonb")
      const { sql } = yield* makeClient({ transformQueryNames })
      const value = [{ someKey: 1, inner: [{ otherKey: "someValue" }] }, [{ someKey: 2 }]]
      const transformed = [{ some_key: 1, inner: [{ other_key: "someValue" }] }, [{ some_key: 2 }]]
      assert.deepStrictEqual((yield* typed(sql, value)).value, transformed)
      const data = sql.json(value) as never
      const rows = yield* sql`INSERT INTO ${sql(name)} ${sql.insert({ id: 1, someData: data })} RETURNING some_data`
      assert.deepStrictEqual<ReadonlyArray<unknown>>(rows, [{ some_data: transformed }])
      const plain = sql.withoutTransforms() as PgClient.PgClient
      assert.deepStrictEqual((yield* typed(plain, value)).value, value)
    }))

  hazard("with transformQueryNames what is no object in an array stays as it is", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeClient({ transformQueryNames })
      for (const value of [[null, 1], [{ key: 1 }, null, 5, "text"], { key: [null] }]) {
        assert.deepStrictEqual((yield* typed(sql, value)).value, value)
      }
    }))
})

describe("with transformResultNames an array that holds NULL is a defect, or its elements are lost", () => {
  hazard("what is no object in an array stays as it is", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeClient({ transformResultNames: Str.snakeToCamel })
      const rows = yield* sql`
        SELECT ARRAY[NULL, 'a']::text[] AS some_texts, '[null, 1]'::jsonb AS some_json,
          '[{"some_key": 1}, null, 5, "text"]'::jsonb AS more_json
      `
      assert.deepStrictEqual<ReadonlyArray<unknown>>(rows, [
        { someTexts: [null, "a"], someJson: [null, 1], moreJson: [{ someKey: 1 }, null, 5, "text"] }
      ])
    }))
})

describe("path is ignored", () => {
  hazard("it leads to the Unix socket", () =>
    Effect.gen(function*() {
      const { folder, port, url } = yield* startOnUnixSocket
      for (const path of [folder, `${folder}/.s.PGSQL.${port}`]) {
        const { sql } = yield* makeClient({
          url: undefined,
          path,
          port,
          username: "postgres",
          password: Redacted.make("postgres"),
          database: "postgres",
          watched: Redacted.make(url)
        })
        assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT inet_client_addr() AS address`, [
          { address: null }
        ])
      }
    }), "20 seconds")
})

describe("a fragment shared by two clients keeps the first one's SQL", () => {
  hazard("it is compiled for each", () =>
    Effect.gen(function*() {
      const { name } = yield* makeTable("id integer, some_name text DEFAULT 'snake', \"someName\" text DEFAULT 'camel'")
      const snake = (yield* makeClient({ transformQueryNames })).sql
      const camel = (yield* makeClient()).sql
      const insert = (sql: PgClient.PgClient) =>
        sql`INSERT INTO ${sql(name)} ${sql.insert({ id: 1 }).returning(shared)}`
      const shared = snake`${snake("someName")}`
      assert.strictEqual(shared.compile()[0], "\"some_name\"")
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* insert(camel), [{ someName: "camel" }])
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* insert(snake), [{ some_name: "snake" }])
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* insert(camel), [{ someName: "camel" }])
    }))

  hazard("it is compiled with the placeholders of the statement around it", () =>
    Effect.gen(function*() {
      const { name } = yield* makeTable("id integer, other integer")
      const { sql } = yield* makeClient()
      const shared = sql`other + ${10}::integer AS sum`
      shared.compile()
      const rows = yield* sql`INSERT INTO ${sql(name)} ${sql.insert({ id: 1, other: 2 }).returning(shared)}`
      assert.deepStrictEqual<ReadonlyArray<unknown>>(rows, [{ sum: 12 }])
    }))
})
