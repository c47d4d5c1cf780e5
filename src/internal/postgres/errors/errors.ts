/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { NoHost, OutcomeUnknown } from "../../../PgError.js"
import type { PoolError } from "../../../PoolError.js"
import { withoutFrames } from "../../readable.js"
import { wordsOf } from "../../words.js"
import {
  codeOf,
  ConnectFailed,
  HeadlineFailure,
  isServerError,
  isSystemError,
  NoPassword,
  sqlFailure
} from "./codes.js"
import { authenticationReason, withoutPassword } from "./loginFailure.js"
import { isPermanent } from "./permanent.js"
import { tlsAdvice, tlsReason } from "./tlsAdvice.js"

/** A failure and its reason in one line. @internal */
export const failure = (what: string, cause: unknown): SqlError =>
  sqlFailure({ cause, message: `${what}: ${reasonOf(cause)}` })

/** A failure that this package itself has found, without another cause. @internal */
export const headline = (message: string): SqlError => {
  const cause = new Error(message)
  withoutFrames(cause)
  return new HeadlineFailure({ cause, message })
}

/** @internal */
export const connectError = (cause: unknown, what = ""): SqlError =>
  new ConnectFailed({ cause, message: `Failed to connect: ${what}${describe(cause)}` })

/** The reason of an `SqlError`: a connect that fails is no failure of a statement. */
const behind = (error: unknown): unknown => error instanceof SqlError ? error.cause : error

/** The error of a connect, whatever ended it: also a defect of the user's `onConnect`. @internal */
export const asConnectError = (cause: Cause.Cause<SqlError>): SqlError => {
  if (Cause.isInterruptedOnly(cause)) return connectError(new Error("its own onConnect, or password, interrupted it"))
  const error = Cause.squash(cause)
  return error instanceof ConnectFailed ? error : connectError(behind(error))
}

/** Names `onConnect`: else the error would look like a fault of the server, or of the URL. @internal */
export const onConnectFailed = (cause: Cause.Cause<unknown>): Cause.Cause<SqlError> =>
  Cause.isInterruptedOnly(cause)
    ? cause as Cause.Cause<never>
    : Cause.fail(connectError(behind(Cause.squash(cause)), "onConnect: "))

/** @internal */
export const withHint = (error: SqlError, hint: string | undefined): SqlError =>
  hint === undefined || error instanceof NoPassword
    ? error
    : new ConnectFailed({ cause: error.cause, message: `${error.message} (${hint})` })

/** The server refused the login. @internal */
export const loginError = (cause: unknown, hasPassword: boolean): SqlError =>
  hasPassword || codeOf(cause) !== "28P01"
    ? connectError(cause)
    : new ConnectFailed({ cause, message: `Failed to connect: ${withoutPassword} (${describe(cause)})` })

/** Of several hosts, or addresses of a host, none could be used. @internal */
export const noHost = (failures: ReadonlyArray<{ readonly place: string; readonly error: SqlError }>): SqlError => {
  const causes = failures.map(({ error: { cause }, place }) => {
    // The message names the place already.
    const reason = isSystemError(cause) ? `${cause.syscall} ${cause.code}` : describe(cause)
    return { place, cause, reason }
  })
  // If one of the failures may pass by itself, so may the whole (R18).
  const { error: { cause } } = failures.find(({ error }) => !isPermanent(error)) ?? failures[0]
  return connectError(new NoHost({ failures: causes, cause }))
}

/** One of several hosts took longer than its part of `connectTimeout`. @internal */
export const noAnswer = (millis: number): SqlError =>
  connectError(Object.assign(new Error(`no answer within ${Math.round(millis)} ms`), { code: "ETIMEDOUT" }))

/** @internal */
export const noPassword = (cause: unknown): SqlError =>
  new NoPassword({ cause, message: `Failed to connect: the password could not be had: ${describe(cause)}` })

/** @internal */
export const statementError = (cause: unknown): SqlError => failure("Failed to execute statement", cause)

/** The session ended before the statement had any effect: the statement may be sent to another session. @internal */
export const isNotSent = (error: unknown): boolean =>
  error instanceof SqlError && Predicate.isTagged(error.cause, "NotSent")

/** If the user's transform throws, its statement fails. @internal */
export const transformedRows = <A extends object>(
  rows: ReadonlyArray<A>,
  transform: (rows: ReadonlyArray<A>) => ReadonlyArray<A>
): Exit.Exit<ReadonlyArray<A>, SqlError> => {
  try {
    return Exit.succeed(transform(rows))
  } catch (error) {
    return Exit.fail(statementError(error))
  }
}

/** The connection ended before the answer came (R22). @internal */
export const lostAnswer = (cause: unknown): SqlError => {
  const unknown = new OutcomeUnknown({ cause })
  return sqlFailure({ cause: unknown, message: unknown.message })
}

/** @internal */
export const queryTimedOut = (queryTimeout: number): SqlError =>
  lostAnswer(new Cause.TimeoutException(`queryTimeout (${queryTimeout} ms) has passed`))

/** The error of the pool, as users of `SqlClient` see it. @internal */
export const refused = (error: PoolError): SqlError => failure("Failed to acquire connection", error)

/** @internal */
export const isPoolError = (error: unknown): error is PoolError =>
  Predicate.isTagged(error, "PoolExhausted") || Predicate.isTagged(error, "PoolClosed") ||
  Predicate.isTagged(error, "PoolQueueFull")

/** Several callers may receive the error of the same connect, each in its own span. @internal */
export const asSqlError = (error: SqlError | PoolError): SqlError =>
  isPoolError(error) ? refused(error) : Cause.originalError(error)

const describe = (cause: unknown): string => {
  const advice = tlsAdvice(cause)
  return advice === undefined ? reasonOf(cause) : `${reasonOf(cause)}. ${advice}`
}

const reasonOf = (cause: unknown): string => {
  if (isServerError(cause) || isSystemError(cause)) withoutFrames(cause)
  return tlsReason(cause) ?? authenticationReason(cause) ??
    (Cause.isCause(cause) ? Cause.pretty(cause) : wordsOf(cause))
}
