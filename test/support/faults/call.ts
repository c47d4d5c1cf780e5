/** One call with a deadline: what came of it, and how much later than its deadline. */
import { SqlError } from "@effect/sql/SqlError"
import { Cause, Effect, Exit, Option } from "effect"
import { PgError } from "effect-pgpool"

/**
 * - `deadline`: the caller's own deadline passed
 * - `retryable`: for sure it has had no effect, and may go well another time
 * - `unknown`: it may have had an effect
 * - `refused`: it has had no effect, and would go wrong again
 * - `untyped`: a defect, an interrupt by nobody, or an error that is no `SqlError`
 */
export type Outcome = "ok" | "deadline" | "retryable" | "unknown" | "refused" | "untyped"

export interface Call {
  readonly kind: string
  readonly outcome: Outcome
  readonly error?: unknown
  readonly start: number
  readonly end: number
  /** Milliseconds past the deadline, not counting what any timer of this process was late by. */
  readonly late: number
}

class Deadline {}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Pick<Call, "outcome" | "error"> => {
  if (Exit.isSuccess(exit)) return { outcome: "ok" }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isNone(failure)) return { outcome: "untyped", error: Cause.squash(exit.cause) }
  const error = failure.value
  if (error instanceof Deadline) return { outcome: "deadline" }
  if (!(error instanceof SqlError)) return { outcome: "untyped", error }
  if (PgError.isOutcomeUnknown(error)) return { outcome: "unknown", error }
  return { outcome: PgError.isRetryable(error) ? "retryable" : "refused", error }
}

export const call = (kind: string, deadline: number, use: Effect.Effect<unknown, unknown>): Effect.Effect<Call> =>
  Effect.gen(function*() {
    const start = performance.now()
    // A bare timer with the same deadline: a busy event loop is late for both.
    let rang = Infinity
    const timer = setTimeout(() => {
      rang = performance.now()
    }, deadline)
    const exit = yield* Effect.exit(
      Effect.timeoutFail(use, { duration: deadline, onTimeout: () => new Deadline() })
    )
    clearTimeout(timer)
    const end = performance.now()
    return { kind, ...outcomeOf(exit), start, end, late: Math.max(0, end - rang) }
  })
