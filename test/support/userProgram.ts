/** What a new user writes, in the two ways in which that is run: the errors are printed by Effect, and by Node. */
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { PgPoolLayer } from "effect-pgpool"

const listUsers = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`SELECT 1 AS id`
}).pipe(Effect.withSpan("listUsers"))

const program = Effect.provide(listUsers, PgPoolLayer)

if (process.argv[2] === "runMain") NodeRuntime.runMain(program)
else void Effect.runPromise(program)
