import { Model, SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { Cause, DateTime, Effect, Exit, Option, Schema, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import { codeOf, makeTable, serverUrl } from "../support/pgPool.js"
import { traced } from "../support/spans.js"

class Person extends Model.Class<Person>("Person")({
  id: Model.Generated(Schema.Number),
  fullName: Schema.String,
  nickName: Model.FieldOption(Schema.String),
  /** Computed by the server. */
  nameLength: Model.Field({ select: Schema.Number, json: Schema.Number }),
  createdAt: Model.DateTimeInsertFromDate,
  updatedAt: Model.DateTimeUpdateFromDate
}) {}

const makePeople = makeTable(`
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  full_name text NOT NULL UNIQUE,
  nick_name text,
  name_length integer GENERATED ALWAYS AS (length(full_name)) STORED,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL`)

const optionsOf = (table: { readonly name: string }) =>
  ({ tableName: table.name, spanPrefix: "people", idColumn: "id" }) as const

const person = (fullName: string, nickName?: string) =>
  Person.insert.make({
    fullName,
    nickName: Option.fromNullable(nickName),
    createdAt: undefined,
    updatedAt: undefined
  })

const Live = PgPool.layer({
  url: serverUrl,
  transformResultNames: Str.snakeToCamel,
  transformQueryNames: Str.camelToSnake
})

const makeRepository = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const table = yield* makePeople
  return { sql, table, people: yield* Model.makeRepository(Person, optionsOf(table)) }
})

layer(Live, { excludeTestServices: true })("Model.makeRepository", (it) => {
  it.scoped("R31: insert gives the row with what the server generated", () =>
    Effect.gen(function*() {
      const { people, table } = yield* makeRepository
      const before = yield* DateTime.now
      const ada = yield* people.insert(person("Ada", "Countess"))
      assert.instanceOf(ada, Person)
      assert.deepInclude(ada, { id: 1, fullName: "Ada", nickName: Option.some("Countess"), nameLength: 3 })
      assert.isTrue(DateTime.greaterThanOrEqualTo(ada.createdAt, before))
      assert.isTrue(DateTime.greaterThanOrEqualTo(ada.updatedAt, before))
      const grace = yield* people.insert(person("Grace"))
      assert.deepInclude(grace, { id: 2, nickName: Option.none(), nameLength: 5 })
      assert.isUndefined(yield* people.insertVoid(person("Eve")))
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
    }))

  it.scoped("R31: findById gives Some or None", () =>
    Effect.gen(function*() {
      const { people } = yield* makeRepository
      const ada = yield* people.insert(person("Ada"))
      assert.deepStrictEqual(yield* people.findById(ada.id), Option.some(ada))
      assert.deepStrictEqual(yield* people.findById(7), Option.none())
    }))

  it.scoped("R31: update gives the row as it is now", () =>
    Effect.gen(function*() {
      const { people } = yield* makeRepository
      const ada = yield* people.insert(person("Ada"))
      const change = { id: ada.id, fullName: "Ada Byron", nickName: Option.some("Countess"), updatedAt: undefined }
      const changed = yield* people.update(change)
      assert.deepInclude(changed, { id: ada.id, fullName: "Ada Byron", nickName: Option.some("Countess") })
      assert.strictEqual(changed.nameLength, 9)
      assert.deepStrictEqual(changed.createdAt, ada.createdAt)
      assert.isTrue(DateTime.greaterThanOrEqualTo(changed.updatedAt, ada.updatedAt))
      yield* people.updateVoid({ ...change, nickName: Option.none() })
      assert.deepInclude(Option.getOrThrow(yield* people.findById(ada.id)), { nickName: Option.none() })
    }))

  it.scoped("R31: delete removes the row", () =>
    Effect.gen(function*() {
      const { people, table } = yield* makeRepository
      const ada = yield* people.insert(person("Ada"))
      yield* people.insert(person("Eve"))
      yield* people.delete(ada.id)
      assert.deepStrictEqual(yield* table.ids, [2])
    }))

  it.scoped("R31: a failing statement is a defect, with the SqlError in it", () =>
    Effect.gen(function*() {
      const { people } = yield* makeRepository
      yield* people.insert(person("Ada"))
      const exit = yield* Effect.exit(people.insert(person("Ada")))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.strictEqual(Exit.isFailure(exit) ? codeOf(Cause.squash(exit.cause)) : undefined, "23505")
    }))

  it.scoped("R31: a repository follows the transaction and is undone with it", () =>
    Effect.gen(function*() {
      const { people, sql, table } = yield* makeRepository
      const kept = yield* people.insert(person("Ada"))
      const removed = yield* people.insert(person("Eve"))
      yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        const grace = yield* people.insert(person("Grace"))
        yield* people.update({ ...kept, fullName: "Somebody", updatedAt: undefined })
        yield* people.delete(removed.id)
        assert.deepStrictEqual(yield* people.findById(grace.id), Option.some(grace))
        assert.deepInclude(Option.getOrThrow(yield* people.findById(kept.id)), { fullName: "Somebody" })
        assert.deepStrictEqual(yield* people.findById(removed.id), Option.none())
        assert.deepStrictEqual(yield* table.ids, [1, 2])
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [1, 2])
      assert.deepStrictEqual(yield* people.findById(kept.id), Option.some(kept))
    }))

  it.scoped("R31: a repository commits with the transaction, and a nested one is undone alone", () =>
    Effect.gen(function*() {
      const { people, sql, table } = yield* makeRepository
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* people.insert(person("Ada"))
        yield* Effect.flip(sql.withTransaction(Effect.zipRight(people.insert(person("Eve")), Effect.fail("no"))))
        yield* people.insert(person("Grace"))
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 3])
    }))
})

const makeLoadersOf = (table: { readonly name: string }) =>
  Model.makeDataLoaders(Person, { ...optionsOf(table), window: "10 millis" })

const makeLoaders = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const table = yield* makePeople
  return { sql, table, people: yield* makeLoadersOf(table) }
})

const together = { concurrency: "unbounded" } as const

layer(Live, { excludeTestServices: true })("Model.makeDataLoaders", (it) => {
  it.scoped("R31: what is asked within the window becomes one statement", () =>
    Effect.gen(function*() {
      const spans = yield* traced(Effect.gen(function*() {
        const { people, table } = yield* makeLoaders
        const inserted = yield* Effect.forEach(["Ada", "Eve", "Grace"], (name) => people.insert(person(name)), together)
        assert.deepStrictEqual(inserted.map(({ fullName, id, nameLength }) => [id, fullName, nameLength]), [
          [1, "Ada", 3],
          [2, "Eve", 3],
          [3, "Grace", 5]
        ])
        const found = yield* Effect.forEach([3, 7, 1], people.findById, together)
        assert.deepStrictEqual(found, [Option.some(inserted[2]), Option.none(), Option.some(inserted[0])])
        yield* Effect.forEach([1, 2], people.delete, together)
        assert.deepStrictEqual(yield* table.ids, [3])
      }))
      const statements = spans.filter(({ name }) => name === "sql.execute")
      assert.deepStrictEqual(statements.map(({ attributes }) => String(attributes["db.query.text"]).slice(0, 6)), [
        "insert",
        "select",
        "delete"
      ])
    }))

  // Their fibers are forked where the loaders are made, and know of no transaction that is begun later.
  it.scoped("R31: in a transaction they run outside of it, as with any client", () =>
    Effect.gen(function*() {
      const { people, sql, table } = yield* makeLoaders
      yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO ${sql(table.name)} ${
          sql.insert({ fullName: "Ada", createdAt: new Date(), updatedAt: new Date() })
        }`
        assert.deepStrictEqual(yield* people.findById(1), Option.none())
        assert.deepInclude(yield* people.insert(person("Eve")), { id: 2 })
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [2])
    }))

  it.scoped("R31: made in a transaction they run in it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const table = yield* makePeople
      yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        const people = yield* makeLoadersOf(table)
        const ada = yield* people.insert(person("Ada"))
        assert.deepStrictEqual(yield* people.findById(ada.id), Option.some(ada))
        assert.deepStrictEqual(yield* table.ids, [])
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [])
    }))
})
