import { SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, TestClock } from "effect"
import * as Testing from "effect-pgpool/Testing"

const DatabaseTest = Testing.layer({ statements: [{ text: "SELECT once()", rows: [{ n: 1 }], times: 1 }] })

const once = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT once()`)

/** What a test can see of those before it. */
const traces = Effect.gen(function*() {
  const { sent } = yield* Testing.Server
  const traces = { sent: (yield* sent).length, now: yield* Clock.currentTimeMillis }
  yield* TestClock.adjust(5)
  return traces
})

layer(DatabaseTest)("R47: tests in one layer share its server and its clock", (it) => {
  it.effect("the first one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* traces, { sent: 0, now: 0 })
      yield* once
    }))

  it.effect("the second one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* traces, { sent: 1, now: 5 })
      assert.include((yield* Effect.flip(once)).message, "for fewer times")
    }))
})
