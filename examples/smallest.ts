// The smallest program. The pool is set by the environment: DATABASE_URL, PGPOOL_MAXSIZE, PGPOOL_MAXWAIT and so on.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/smallest.ts
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Console, Effect } from "effect"
import { PgPoolLayer } from "effect-pgpool"

const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql`SELECT current_database() AS database, now() AS time`
  yield* Console.log(row)
})

program.pipe(Effect.provide(PgPoolLayer), NodeRuntime.runMain)
