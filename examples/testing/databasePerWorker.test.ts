import { SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { inject } from "vitest"

const url = Redacted.make(inject("pgUrl"))

/** Workers of the test runner run at the same time. Each of them has its database, and the files of one take turns. */
const database = `recipe_worker_${process.env.VITEST_POOL_ID}`

const CreatedLive = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP DATABASE IF EXISTS ${sql(database)} WITH (FORCE)`
  yield* sql`CREATE DATABASE ${sql(database)}`
})).pipe(Layer.provide(PgPool.layer({ url, maxsize: 1 })))

const TablesLive = Layer.effectDiscard(Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`CREATE TABLE users (id serial PRIMARY KEY, name text)` // or the migrations of the program
))

const DatabaseTest = TablesLive.pipe(
  Layer.provideMerge(PgPool.layer({ url, database })),
  Layer.provide(CreatedLive)
)

layer(DatabaseTest)("users", (it) => {
  it.effect("are in a database of their own", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql.withTransaction(sql`INSERT INTO users (name) VALUES ('Ada')`)
      assert.deepStrictEqual(yield* sql`SELECT current_database() AS database, name FROM users`, [
        { database, name: "Ada" }
      ])
    }))
})
