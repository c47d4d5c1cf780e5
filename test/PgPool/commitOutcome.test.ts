import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Exit, FiberId, Option, Predicate } from "effect"
import { PgError } from "effect-pgpool"
import { DatabaseError } from "pg"
import { mayCommit } from "../../src/internal/postgres/session/mayCommit.js"
import { commitOutcome } from "../../src/internal/postgres/transaction/outcome.js"

const serverError = (code: string, severity = "ERROR") =>
  Object.assign(new DatabaseError("refused", 0, "error"), { code, severity })

const failed = (cause: unknown) => Exit.fail(new SqlError.SqlError({ cause, message: "it failed" }))

/** What the caller is told: nothing, or the message and the tag of its cause. */
const told = (outcome: Exit.Exit<void, SqlError.SqlError>) => {
  if (Exit.isSuccess(outcome)) return "committed"
  const { cause, message } = Option.getOrThrow(Cause.failureOption(outcome.cause))
  if (message.startsWith(failedToCommit)) return failedToCommit
  return Predicate.hasProperty(cause, "_tag") ? String(cause._tag) : message
}

const failedToCommit = "Failed to commit the transaction"

describe("R22: what the end of a COMMIT means", () => {
  const answers: ReadonlyArray<readonly [string, Exit.Exit<unknown, SqlError.SqlError>, string]> = [
    ["COMMIT", Exit.succeed({ command: "COMMIT" }), "committed"],
    ["a deferred constraint", failed(serverError("23503")), failedToCommit],
    ["a conflict", failed(serverError("40001")), failedToCommit],
    ["an administrator's command", failed(serverError("57P01", "FATAL")), "CommitOutcomeUnknown"],
    ["a lost socket", failed(new Error("read ECONNRESET")), "CommitOutcomeUnknown"],
    [
      "an answer that was lost",
      failed(new PgError.OutcomeUnknown({ cause: new Error("gone") })),
      "CommitOutcomeUnknown"
    ],
    ["a statement that was not sent", failed(new PgError.NotSent({ cause: undefined })), failedToCommit],
    ["a lease that had ended", failed(new PgError.LeaseEnded()), failedToCommit],
    ["a doomed one", failed(new PgError.TransactionDoomed({ reason: "StatementInterrupted" })), "TransactionDoomed"]
  ]
  for (const [name, answer, expected] of answers) {
    it(`R22: ${name}: ${expected}`, () => assert.strictEqual(told(commitOutcome(answer)), expected))
  }

  it("R22: a COMMIT that the server answers with ROLLBACK is a failure", () => {
    assert.match(told(commitOutcome(Exit.succeed({ command: "ROLLBACK" }))), /^The transaction was rolled back/)
  })

  it("R22: an interrupt stays one", () => {
    const outcome = commitOutcome(Exit.interrupt(FiberId.none))
    assert.isTrue(Exit.isInterrupted(outcome))
  })
})

describe("R22: which texts may commit a transaction", () => {
  const texts: ReadonlyArray<readonly [string, boolean]> = [
    ["commit", true],
    ["  END", true],
    ["PREPARE TRANSACTION 'a'", true],
    ["/* done */ commit", true],
    ["select 1; commit", true],
    ["select 1 -- commit", true],
    ["select 1", false],
    ["select 1;", false],
    ["insert into commit values (1)", false],
    ["update bookings set committed = true", false],
    ["rollback", false]
  ]
  for (const [text, expected] of texts) {
    it(`R22: ${JSON.stringify(text)}: ${expected}`, () => assert.strictEqual(mayCommit(text), expected))
  }
})
