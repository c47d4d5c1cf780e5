/** @internal */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { causes } from "../../words.js"
import type { ServerError } from "./codes.js"
import { ConnectFailed, isHeldBack, isServerError, leavesOutcomeOpen } from "./codes.js"
import { isPermanent } from "./permanent.js"

// What `PgError` tells of any error. There each function has its docstring.

const find = <A>(error: unknown, is: Predicate.Refinement<unknown, A>): Option.Option<A> => {
  for (const cause of causes(error)) if (is(cause)) return Option.some(cause)
  return Option.none()
}

const isTaggedAs = (tags: ReadonlyArray<string>) => (error: unknown): boolean =>
  tags.some((tag) => Predicate.isTagged(error, tag))

const hasTag = (...tags: ReadonlyArray<string>) => (error: unknown): boolean => causes(error).some(isTaggedAs(tags))

const serverError = (error: unknown): Option.Option<ServerError> => find(error, isServerError)

const connectFailure = (error: unknown): Option.Option<ConnectFailed> =>
  find(error, (cause): cause is ConnectFailed => cause instanceof ConnectFailed)

// --- What the server says ---

/** @internal */
export const sqlState = (error: unknown): Option.Option<string> => Option.map(serverError(error), ({ code }) => code)

/** @internal */
export const constraint = (error: unknown): Option.Option<string> =>
  Option.flatMapNullable(serverError(error), ({ constraint }) => constraint)

const hasState = (...states: ReadonlyArray<string>) => (error: unknown): boolean =>
  Option.exists(sqlState(error), (state) => states.some((prefix) => state.startsWith(prefix)))

/** @internal */
export const isConstraintViolation = hasState("23")

/** @internal */
export const isUniqueViolation = hasState("23505")

/** @internal */
export const isForeignKeyViolation = hasState("23503")

/** @internal */
export const isSerializationFailure = hasState("40001")

/** @internal */
export const isDeadlock = hasState("40P01")

/** @internal */
export const isQueryCanceled = hasState("57014")

/** A login is refused because there are as many sessions as there may be. @internal */
export const isServerFull = hasState("53300")

// --- What the pool says ---

/** @internal */
export const isPoolExhausted = hasTag("PoolExhausted")

/** @internal */
export const isPoolClosed = hasTag("PoolClosed")

/** @internal */
export const isPoolQueueFull = hasTag("PoolQueueFull")

/** @internal */
export const isUnavailable = hasTag("PoolExhausted", "PoolClosed", "PoolQueueFull")

// --- What became of the statement ---

const isUnknown = isTaggedAs(["OutcomeUnknown", "CommitOutcomeUnknown"])

/** @internal */
export const isOutcomeUnknown = (error: unknown): boolean => {
  for (const cause of causes(error)) {
    if (isUnknown(cause)) return true
    if (hadNoEffect(cause)) return false
  }
  return Option.exists(serverError(error), leavesOutcomeOpen)
}

/** What the server says below one of these is about a connect, or about a statement that was not run or was rolled back. */
const hadNoEffect = (cause: unknown): boolean => cause instanceof ConnectFailed || isWithoutEffect(cause)

const isWithoutEffect = isTaggedAs(["NotSent", "NotCommitted", "PoolExhausted"])

/**
 * Serialization failure, deadlock, lock not available, insufficient resources, shut down, starting up, ended for being
 * idle.
 */
const isPassing = hasState("40001", "40P01", "55P03", "53", "57P01", "57P03", "57P05", "25P03")

const mayRunAgain = hasTag("PoolExhausted", "PoolQueueFull", "NotSent", "NotCommitted")

/** @internal */
export const isRetryable = (error: unknown): boolean => {
  if (isOutcomeUnknown(error)) return false
  if (mayRunAgain(error)) return true
  return isPassing(error) || Option.exists(serverError(error), isHeldBack) ||
    Option.exists(connectFailure(error), (failure) => !isPermanent(failure))
}
