import { SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"

const rename = (id: number, name: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE users SET name = ${name} WHERE id = ${id}`).pipe(
    PgPool.transaction({ isolation: "serializable" }),
    Effect.retry({ times: 2, while: PgError.isRetryable })
  )

const DatabaseTest = Testing.layer({
  statements: [
    { text: /^UPDATE users/, error: "40001", times: 1 }, // the first one meets another transaction
    { text: /^UPDATE users/, count: 1, delay: "3 seconds" }
  ]
})

layer(DatabaseTest)("rename", (it) => {
  it.effect("is tried again after a conflict, and takes its time", () =>
    Effect.gen(function*() {
      const renaming = yield* Effect.fork(rename(7, "Ada"))
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(renaming)))
      const { sent } = yield* Testing.Server
      assert.deepStrictEqual((yield* sent).map(({ text }) => text.split(" ")[0]), [
        ...["BEGIN", "UPDATE", "ROLLBACK"],
        ...["BEGIN", "UPDATE", "COMMIT"]
      ])
    }))
})
