import { SqlClient, SqlSchema } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Option, Schema, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import { areAll } from "../support/areAll.js"
import { codeOf, makeTable, serverUrl } from "../support/pgPool.js"

class Person extends Schema.Class<Person>("Person")({
  id: Schema.Number,
  fullName: Schema.String,
  bornAt: Schema.DateFromSelf,
  contactData: Schema.NullOr(Schema.Struct({ homeTown: Schema.String }))
}) {}

const ada = new Person({
  id: 1,
  fullName: "Ada Lovelace",
  bornAt: new Date("1815-12-10T00:00:00Z"),
  contactData: { homeTown: "London" }
})
const grace = new Person({
  id: 2,
  fullName: "Grace Hopper",
  bornAt: new Date("1906-12-09T00:00:00Z"),
  contactData: null
})

/** A table with names of SQL, which the program calls by names of TypeScript. */
const makePeople = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const table = yield* makeTable(
    "id integer PRIMARY KEY, full_name text NOT NULL, born_at timestamptz NOT NULL, contact_data jsonb"
  )
  const insert = SqlSchema.void({
    Request: Person,
    execute: (person) => sql`INSERT INTO ${sql(table.name)} ${sql.insert(person as any)}`
  })
  return { sql, table, insert }
})

const Live = PgPool.layer({
  url: serverUrl,
  transformResultNames: Str.snakeToCamel,
  transformQueryNames: Str.camelToSnake
})

layer(Live, { excludeTestServices: true })("SqlSchema", (it) => {
  it.scoped("R31: void encodes what it is asked, and gives nothing", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makePeople
      assert.isUndefined(yield* insert(ada))
      assert.deepStrictEqual(yield* sql`SELECT full_name, contact_data FROM ${sql(table.name)}`.withoutTransform, [
        { full_name: "Ada Lovelace", contact_data: { homeTown: "London" } }
      ])
    }))

  it.scoped("R31: findAll encodes what it is asked, and decodes each row", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makePeople
      const findBorn = SqlSchema.findAll({
        Request: Schema.Struct({ since: Schema.Date }),
        Result: Person,
        execute: ({ since }) => {
          assert.isString(since)
          return sql`SELECT * FROM ${sql(table.name)} WHERE ${sql("bornAt")} >= ${since}::timestamptz ORDER BY id`
        }
      })
      yield* insert(ada)
      yield* insert(grace)
      const all = yield* findBorn({ since: ada.bornAt })
      assert.deepStrictEqual(all, [ada, grace])
      assert.isTrue(areAll(all, (person) => person instanceof Person))
      assert.deepStrictEqual(yield* findBorn({ since: grace.bornAt }), [grace])
      assert.deepStrictEqual(yield* findBorn({ since: new Date(2000, 1) }), [])
    }))

  it.scoped("R31: findOne gives Some of the first row, or None", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makePeople
      const findByName = SqlSchema.findOne({
        Request: Schema.String,
        Result: Person,
        execute: (fullName) => sql`SELECT * FROM ${sql(table.name)} WHERE ${sql("fullName")} = ${fullName}`
      })
      yield* insert(ada)
      assert.deepStrictEqual(yield* findByName("Ada Lovelace"), Option.some(ada))
      assert.deepStrictEqual(yield* findByName("Nobody"), Option.none())
    }))

  it.scoped("R31: single gives the row, or fails with NoSuchElementException", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makePeople
      const rename = SqlSchema.single({
        Request: Schema.Struct({ id: Schema.Number, fullName: Schema.Trim }),
        Result: Schema.Struct({ fullName: Schema.String }),
        execute: ({ id, fullName }) =>
          sql`UPDATE ${sql(table.name)} SET ${sql.update({ fullName })} WHERE id = ${id} RETURNING full_name`
      })
      yield* insert(ada)
      assert.deepStrictEqual(yield* rename({ id: 1, fullName: "Ada Byron" }), { fullName: "Ada Byron" })
      const error = yield* Effect.flip(rename({ id: 7, fullName: "Nobody" }))
      assert.isTrue(Cause.isNoSuchElementException(error))
    }))

  it.scoped("R31: a row that does not fit is a ParseError, a failing statement an SqlError", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makePeople
      const findNames = SqlSchema.findAll({
        Request: Schema.Void,
        Result: Schema.Struct({ fullName: Schema.Number }),
        execute: () => sql`SELECT full_name FROM ${sql(table.name)}`
      })
      yield* insert(ada)
      assert.deepInclude(yield* Effect.flip(findNames()), { _tag: "ParseError" })
      const error = yield* Effect.flip(insert(ada))
      assert.strictEqual(error._tag, "SqlError")
      assert.strictEqual(codeOf(error), "23505")
    }))

  it.scoped("R31: all of them run in the transaction round them", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makePeople
      const count = SqlSchema.single({
        Request: Schema.Void,
        Result: Schema.Struct({ rowCount: Schema.NumberFromString }),
        execute: () => sql`SELECT count(*) AS row_count FROM ${sql(table.name)}`
      })
      yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        yield* insert(ada)
        assert.deepStrictEqual(yield* count(), { rowCount: 1 })
        assert.deepStrictEqual(yield* table.ids, [])
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* count(), { rowCount: 0 })
    }))
})
