/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"

/** No connection could be opened: nothing that was to run on it has been sent. @internal */
export class ConnectFailed extends SqlError {}

/** The SQLSTATE that the server answered with, or the code of a failed system call. @internal */
export const codeOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined

/** An error message of the server, with its fields. @internal */
export interface ServerError {
  /** SQLSTATE */
  readonly code: string
  readonly severity: string
  readonly constraint?: string
}

/** An error message of the server, and not of the socket. @internal */
export const isServerError = (error: unknown): error is ServerError =>
  Predicate.hasProperty(error, "severity") && codeOf(error) !== undefined

/**
 * Errors after which the session is gone: shutdown, crash, and whatever else the server or a pooler calls fatal (R19).
 *
 * @internal
 */
export const isSessionLost = (error: unknown): boolean =>
  isServerError(error) && (isFatal(error) || /^57P0[1-3]/.test(error.code))

const isFatal = ({ severity }: ServerError): boolean => severity === "FATAL" || severity === "PANIC"

/**
 * Errors that don't tell whether the statement took effect: another process of the server crashed (57P02), a pooler
 * lost its connection to the server (a fatal class 08), or the server itself doesn't know (40003).
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 *
 * @internal
 */
export const leavesOutcomeOpen = (error: unknown): boolean =>
  isServerError(error) && (/^(57P02|40003)/.test(error.code) || (isFatal(error) && error.code.startsWith("08")))

/** The socket refused what was written on it, since its other end is gone: EPIPE or ECONNRESET. @internal */
export const isWriteError = (error: unknown): boolean =>
  Predicate.hasProperty(error, "syscall") && error.syscall === "write"

const transientCodes: ReadonlySet<string> = new Set([
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
 * Connect failures that would only come again (R18): wrong credentials, no such database, TLS that the server does not
 * have, or whose certificate is not trusted.
 *
 * https://nodejs.org/api/tls.html#x509-certificate-error-codes
 *
 * @internal
 */
export const isPermanent = (cause: unknown): boolean =>
  permanentCodes.test(codeOf(cause) ?? "") ||
  (cause instanceof Error && cause.message === "The server does not support SSL connections")

const permanentCodes =
  /^(28...|3D000|UNABLE_TO_.*|(.*_)?(CERT|CRL)(_.*)?|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$/

/**
 * Connect failures that time may heal (R18): refused, reset, timed out, starting up, too many connections, or the
 * server went away in the middle of the handshake.
 *
 * @internal
 */
export const isTransient = (cause: unknown): boolean => {
  const code = codeOf(cause)
  if (code !== undefined) return transientCodes.has(code) || code.startsWith("08")
  return cause instanceof Error && cause.message.startsWith("Connection terminated")
}
