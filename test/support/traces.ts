/** What tests can see of those before them, where they share a scripted server. */
import { SqlClient } from "@effect/sql"
import { Clock, Effect, TestClock } from "effect"
import * as Testing from "effect-pgpool/Testing"

/** It answers one statement, and that only once. */
export const onceLayer = Testing.layer({ statements: [{ text: "SELECT once()", rows: [{ n: 1 }], times: 1 }] })

export const once = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT once()`)

/** How many statements the server has had, and the time of the clock, which goes on then. */
export const traces = Effect.gen(function*() {
  const { sent } = yield* Testing.Server
  const traces = { sent: (yield* sent).length, now: yield* Clock.currentTimeMillis }
  yield* TestClock.adjust(5)
  return traces
})
