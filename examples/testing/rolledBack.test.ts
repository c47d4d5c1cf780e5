import { SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import type { Exit } from "effect"
import { Data, Effect, Layer, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { inject } from "vitest"

class RollBack extends Data.TaggedError("RollBack")<{ readonly exit: Exit.Exit<any, any> }> {}

/** Runs a test in a transaction, and takes back what it has written. Transactions in it become savepoints. */
const rolledBack = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const body = Effect.flatMap(Effect.exit(test), (exit) => new RollBack({ exit }))
    const { exit } = yield* Effect.flip(sql.withTransaction(body)).pipe(Effect.filterOrDie(isRollBack, (e) => e))
    return yield* exit as Exit.Exit<A, E>
  })

const isRollBack = (error: unknown): error is RollBack => error instanceof RollBack

const TablesLive = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS recipe_notes (id int PRIMARY KEY, text text)`
}))

const DatabaseTest = Layer.provideMerge(TablesLive, PgPool.layer({ url: Redacted.make(inject("pgUrl")) }))

layer(DatabaseTest)("notes", (it) => {
  for (const text of ["one", "another"]) {
    it.effect(`each test begins with an empty table: ${text}`, () =>
      rolledBack(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql.withTransaction(sql`INSERT INTO recipe_notes VALUES (1, ${text})`)
        assert.deepStrictEqual(yield* sql`SELECT text FROM recipe_notes`, [{ text }])
      })))
  }
})
