/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { NoHost, OutcomeUnknown } from "../../../PgError.js"
import type { PoolError } from "../../../PoolError.js"
import { withoutFrames } from "../../readable.js"
import { wordsOf } from "../../words.js"
import { tlsAdvice, tlsReason } from "../config/tls.js"
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

/** What went wrong, and the reason for it, in one line. @internal */
export const failure = (what: string, cause: unknown): SqlError =>
  sqlFailure({ cause, message: `${what}: ${reasonOf(cause)}` })

/** What this package itself has to say, for which there is no other cause. @internal */
export const headline = (message: string): SqlError => {
  const cause = new Error(message)
  withoutFrames(cause)
  return new HeadlineFailure({ cause, message })
}

/** @internal */
export const connectError = (cause: unknown, what = ""): SqlError =>
  new ConnectFailed({ cause, message: `Failed to connect: ${what}${describe(cause)}` })

/** It is no failure of the statement that the connection is for. */
const behind = (error: unknown): unknown => error instanceof SqlError ? error.cause : error

/** What ended a connect, whatever that is: also a defect of the user's `onConnect`. @internal */
export const asConnectError = (cause: Cause.Cause<SqlError>): SqlError => {
  if (Cause.isInterruptedOnly(cause)) return connectError(new Error("its own onConnect, or password, interrupted it"))
  const error = Cause.squash(cause)
  return error instanceof ConnectFailed ? error : connectError(behind(error))
}

/** Without its name this would look like a fault of the server, or of the URL. @internal */
export const onConnectFailed = (cause: Cause.Cause<unknown>): Cause.Cause<SqlError> =>
  Cause.isInterruptedOnly(cause)
    ? cause as Cause.Cause<never>
    : Cause.fail(connectError(behind(Cause.squash(cause)), "onConnect: "))

/** @internal */
export const withHint = (error: SqlError, hint: string | undefined): SqlError =>
  hint === undefined || error instanceof NoPassword
    ? error
    : new ConnectFailed({ cause: error.cause, message: `${error.message} (${hint})` })

/** The server did not let us in. @internal */
export const loginError = (cause: unknown, hasPassword: boolean): SqlError =>
  hasPassword || codeOf(cause) !== "28P01"
    ? connectError(cause)
    : new ConnectFailed({ cause, message: `Failed to connect: ${withoutPassword} (${describe(cause)})` })

/** Of several hosts, or addresses of a host, none could be used. @internal */
export const noHost = (failures: ReadonlyArray<{ readonly place: string; readonly error: SqlError }>): SqlError => {
  const causes = failures.map(({ error: { cause }, place }) => {
    // The place is told already.
    const reason = isSystemError(cause) ? `${cause.syscall} ${cause.code}` : describe(cause)
    return { place, cause, reason }
  })
  // Time may heal the whole where it may heal one of them (R18).
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

/** The session had ended before it could have had any effect: another one may have what was to run on it. @internal */
export const isNotSent = (error: unknown): boolean =>
  error instanceof SqlError && Predicate.isTagged(error.cause, "NotSent")

/** So often it goes to another one. More would hide that it is what makes them end. @internal */
export const mostRetries = 10

/** What a transform of the user's throws is told of its statement. @internal */
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

/** What the pool refused a caller with, as users of `SqlClient` see it. @internal */
export const refused = (error: PoolError): SqlError => failure("Failed to acquire connection", error)

/** @internal */
export const isPoolError = (error: unknown): error is PoolError =>
  Predicate.isTagged(error, "PoolExhausted") || Predicate.isTagged(error, "PoolClosed") ||
  Predicate.isTagged(error, "PoolQueueFull")

/** Several callers may be told of the same connect: each in its own span. @internal */
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
