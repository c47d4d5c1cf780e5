/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import { OutcomeUnknown } from "../../OutcomeUnknown.js"
import type { PoolError } from "../../PoolError.js"

/** The SQLSTATE that the server answered with, or the code of a failed system call. @internal */
export const codeOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined

/** An error message of the server, and not of the socket. @internal */
export const isServerError = (error: unknown): boolean =>
  Predicate.hasProperty(error, "severity") && codeOf(error) !== undefined

/**
 * Errors after which the session is gone: shutdown, crash, class 08, or no server error at all (R19).
 *
 * @internal
 */
export const isSessionLost = (error: unknown): boolean => {
  if (!isServerError(error)) return false
  const code = codeOf(error)!
  return /^(57P0[1-3]|08)/.test(code) || (error as { severity: unknown }).severity === "FATAL"
}

const transientCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "ETIMEDOUT",
  "EPIPE",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  // No socket file: the server of a Unix socket is down.
  "ENOENT",
  "53300",
  "57P01",
  "57P02",
  "57P03"
])

/**
 * Connect failures that time may heal (R18): refused, reset, timed out, starting up, too many connections, or the
 * server went away in the middle of the handshake.
 *
 * @internal
 */
export const isTransientConnectError = (error: SqlError): boolean => {
  const code = codeOf(error.cause)
  if (code !== undefined) return transientCodes.has(code) || code.startsWith("08")
  return error.cause instanceof Error && error.cause.message.startsWith("Connection terminated")
}

/** @internal */
export const connectError = (cause: unknown): SqlError =>
  new SqlError({ cause, message: `Failed to connect: ${describe(cause)}` })

/** @internal */
export const statementError = (cause: unknown): SqlError =>
  new SqlError({ cause, message: "Failed to execute statement" })

/** The connection ended before the answer came (R22). @internal */
export const lostAnswer = (cause: unknown): SqlError => {
  const unknown = new OutcomeUnknown({ cause })
  return new SqlError({ cause: unknown, message: unknown.message })
}

/** The connection was gone before the statement could be sent: it has had no effect. @internal */
export class NotSent extends Error {
  override readonly message = "The connection has been closed"
}

/** @internal */
export const queryTimedOut = (): SqlError =>
  new SqlError({ cause: new Cause.TimeoutException("queryTimeout has passed"), message: "The statement took too long" })

/** What the pool refused a caller with, as users of `SqlClient` see it. @internal */
export const refused = (error: PoolError): SqlError =>
  new SqlError({ cause: error, message: `Failed to acquire connection: ${error.message}` })

/** @internal */
export const isPoolError = (error: unknown): error is PoolError =>
  Predicate.isTagged(error, "PoolExhausted") || Predicate.isTagged(error, "PoolClosed") ||
  Predicate.isTagged(error, "PoolQueueFull")

/** @internal */
export const asSqlError = (error: SqlError | PoolError): SqlError => isPoolError(error) ? refused(error) : error

const describe = (cause: unknown): string => {
  if (cause instanceof Error && cause.message !== "") return cause.message
  return codeOf(cause) ?? (Cause.isCause(cause) ? Cause.pretty(cause) : String(cause))
}
