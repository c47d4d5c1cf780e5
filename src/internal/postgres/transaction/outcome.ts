/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Pg from "pg"
import {
  CommitOutcomeUnknown,
  isDeadlock,
  isOutcomeUnknown,
  isSerializationFailure,
  NotCommitted,
  OutcomeUnknown
} from "../../../PgError.js"
import type { Log } from "../../pool/runtime.js"
import { causes } from "../../words.js"
import { isServerError, isSessionLost, sqlFailure } from "../errors/codes.js"
import { failure, headline } from "../errors/errors.js"

/** What the end of a COMMIT means (R22). @internal */
export const commitOutcome = (answer: Exit.Exit<unknown, SqlError>): Exit.Exit<void, SqlError> =>
  Exit.isFailure(answer)
    ? Exit.failCause(Cause.map(answer.cause, commitFailure))
    : isRollback(answer.value)
    ? Exit.fail(rolledBack())
    : Exit.void

/** Whether the server has answered a COMMIT by undoing the transaction. @internal */
export const wasUndone = (answer: Exit.Exit<unknown, SqlError>): boolean =>
  Exit.match(answer, {
    onFailure: (failure) =>
      Option.exists(Cause.failureOption(failure), ({ cause }) => isServerError(cause) && !isSessionLost(cause)),
    onSuccess: isRollback
  })

const isRollback = (result: unknown): boolean => (result as Pg.QueryResult).command === "ROLLBACK"

const commitFailure = (error: SqlError): SqlError => {
  const { cause } = error
  if (Predicate.isTagged(cause, "TransactionDoomed")) return error
  const isKnown = isServerError(cause)
    ? !isSessionLost(cause)
    : unsent.some((tag) => Predicate.isTagged(cause, tag))
  if (isKnown) return failure("Failed to commit the transaction", cause)
  const unknown = new CommitOutcomeUnknown({ cause })
  return sqlFailure({ cause: unknown, message: unknown.message })
}

/** Errors of a statement that was never sent. */
const unsent = ["NotSent", "LeaseEnded"]

/** The server answers a COMMIT with ROLLBACK after a statement has failed, even if the program has caught that failure. */
const rolledBack = (): SqlError =>
  headline(
    "The transaction was rolled back: " +
      "The server answered COMMIT with ROLLBACK, because a statement of the transaction had failed"
  )

/** What the log says of a COMMIT whose caller has gone. @internal */
export const lateCommit = (log: Log, outcome: Exit.Exit<void, SqlError>): void => {
  if (Exit.isSuccess(outcome)) {
    return log.info("A transaction was committed whose caller had been interrupted during COMMIT")
  }
  const { cause, message } = Cause.squash(outcome.cause) as SqlError
  log.warn(
    Predicate.isTagged(cause, "CommitOutcomeUnknown")
      ? `It is not known what became of a transaction whose caller had been interrupted during COMMIT: ${message}`
      : `A transaction whose caller had been interrupted during COMMIT has failed: ${message}`
  )
}

/** Whether a statement has failed with the reason that its connection was lost. @internal */
export const isLoss = (reason: unknown): reason is object =>
  reason instanceof OutcomeUnknown || Predicate.isTagged(reason, "NotSent") || isSessionLost(reason)

/** What is known of a transaction's end. */
interface Ending {
  readonly losses: ReadonlyArray<object>
  readonly mayHaveCommitted: boolean
}

/**
 * A statement whose answer was lost leaves open what it did. If no COMMIT was sent, it is known all the same that the
 * transaction as a whole was not committed.
 *
 * @internal
 */
export const notCommitted = <E>(
  { losses, mayHaveCommitted }: Ending,
  cause: Cause.Cause<E>
): Cause.Cause<E | SqlError> => {
  if (mayHaveCommitted || losses.length === 0) return cause
  for (const loss of losses) undone.add(loss)
  return Cause.map(cause, (error) => {
    if (!(error instanceof SqlError && error.cause instanceof OutcomeUnknown && undone.has(error.cause))) return error
    const cause = new NotCommitted({ cause: error.cause })
    return sqlFailure({ cause, message: cause.message })
  })
}

/**
 * The losses of connections for which transactions were not committed. They are remembered here, and not in the error,
 * because the program may have wrapped the loss in an error of its own before it reaches the end of the transaction.
 */
const undone = new WeakSet<object>()

/**
 * Whether a transaction that failed so may be tried again: it conflicted with another one, or its connection was lost
 * before COMMIT was sent.
 *
 * @internal
 */
export const isWorthAnother = (error: unknown): boolean =>
  causes(error).some((cause) => undone.has(cause as object)) ||
  (!isOutcomeUnknown(error) && (isSerializationFailure(error) || isDeadlock(error)))
