import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
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

describe("R47: tests that provide the layer themselves share nothing", () => {
  for (const name of ["the first one", "the second one"]) {
    it.effect(name, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* traces, { sent: 0, now: 0 })
        assert.deepStrictEqual(yield* once, [{ n: 1 }])
      }).pipe(Effect.provide(DatabaseTest)))
  }
})
