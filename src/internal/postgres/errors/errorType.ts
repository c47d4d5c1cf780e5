/** @internal */
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { causes, readOr } from "../../words.js"
import { isSystemError } from "./codes.js"
import { isUnavailable, sqlState } from "./predicates.js"

/** How a failure is named in metrics and spans. @internal */
export interface ErrorType {
  readonly errorType: string
  /** What the server said: SQLSTATE. */
  readonly statusCode: string | undefined
}

/**
 * By OpenTelemetry's conventions: what the server says, or else what this package or the system call says. There are not
 * many of them, so that metrics stay few.
 *
 * https://opentelemetry.io/docs/specs/semconv/db/postgresql/
 *
 * @internal
 */
export const errorTypeOf = (cause: Cause.Cause<unknown>): ErrorType => {
  if (Cause.isInterruptedOnly(cause)) return { errorType: "interrupted", statusCode: undefined }
  return readOr(() => typeOf(Cause.squash(cause)), { errorType: other, statusCode: undefined })
}

const typeOf = (error: unknown): ErrorType => {
  // What the server said to a connect is not its answer to a statement that was never sent.
  const statusCode = isUnavailable(error) ? undefined : Option.getOrUndefined(sqlState(error))
  return { errorType: statusCode ?? causes(error).map(nameOf).find(Predicate.isNotUndefined) ?? other, statusCode }
}

/** Any other failure, in the words of the conventions. @internal */
export const other = "_OTHER"

const nameOf = (error: unknown): string | undefined => {
  if (isSystemError(error)) return error.code
  return ours.find((tag) => Predicate.isTagged(error, tag))
}

const ours = [
  "PoolExhausted",
  "PoolQueueFull",
  "PoolClosed",
  "OutcomeUnknown",
  "NotSent",
  "TransactionDoomed",
  "LeaseEnded",
  "ConnectionBusy",
  "WrongRole",
  "NoHost"
]
