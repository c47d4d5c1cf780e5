/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"
import { headlineOnly, readable } from "../../readable.js"
import { isReadable } from "../../words.js"

// A process may have two copies of this package: errors of the other one are known by these.
const connectFailed = Symbol.for("effect-pgpool/ConnectFailed")
const noPassword = Symbol.for("effect-pgpool/NoPassword")

/** The error that users of `SqlClient` receive. */
class Failure extends readable(SqlError) {
  static override readonly name = "SqlError"
}

/** The same, for a cause whose words are all in the headline: it is not printed. @internal */
export class HeadlineFailure extends headlineOnly(SqlError) {
  static override readonly name = "SqlError"
}

/**
 * An ordinary `SqlError`; only its print differs. A cause that is not of this package is printed, as with
 * `@effect/sql-pg`: it has more of what the server says, such as a hint.
 *
 * @internal
 */
export const sqlFailure = (options: { readonly cause: unknown; readonly message: string }): SqlError =>
  isReadable(options.cause) ? new HeadlineFailure(options) : new Failure(options)

/** No connection could be opened, so no statement was sent. @internal */
export class ConnectFailed extends HeadlineFailure {
  static override readonly name = "SqlError"

  static override [Symbol.hasInstance](error: unknown): error is ConnectFailed {
    return Predicate.hasProperty(error, connectFailed)
  }

  get [connectFailed](): true {
    return true
  }
}

/** The `password` effect failed, so no server was dialled. @internal */
export class NoPassword extends ConnectFailed {
  static override readonly name = "SqlError"

  static override [Symbol.hasInstance](error: unknown): error is NoPassword {
    return Predicate.hasProperty(error, noPassword)
  }

  get [noPassword](): true {
    return true
  }
}

/** The SQLSTATE that the server answered with, or the code of a failed system call. @internal */
export const codeOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined

/** An error message of the server, with its fields. @internal */
export interface ServerError {
  /** SQLSTATE */
  readonly code: string
  readonly severity: string
  readonly message?: string
  readonly constraint?: string
}

/** Whether it is an error message of the server, not an error of the socket. @internal */
export const isServerError = (error: unknown): error is ServerError =>
  Predicate.hasProperty(error, "severity") && codeOf(error) !== undefined

/**
 * Errors after which the session is gone: shutdown, crash, and all others that the server or a pooler calls fatal
 * (R19).
 *
 * @internal
 */
export const isSessionLost = (error: unknown): boolean =>
  isServerError(error) && (isFatal(error) || /^57P0[1-3]/.test(error.code))

/**
 * Whether the word is FATAL or PANIC in English. A server says it in its own language, a pooler always in English.
 * @internal
 */
export const isFatal = ({ severity }: ServerError): boolean => severity === "FATAL" || severity === "PANIC"

/** A statement tried to write on a standby, or in a read-only transaction. @internal */
export const isReadOnly = (error: unknown): boolean => codeOf(error) === "25006"

/**
 * Errors that leave open whether the statement took effect. Either the server itself doesn't know (40003), or the
 * session ended with a message that does not tell, as when another process of the server crashed (57P02) or a pooler
 * lost its connection to the server.
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 *
 * @internal
 */
export const leavesOutcomeOpen = (error: unknown, isLast = false): boolean =>
  isServerError(error) && !isHeldBack(error) &&
  (/^(57P02|40003)/.test(error.code) || (mayBeFatal(error, isLast) && !undone.test(error.code)))

/** The word FATAL depends on the language of the server, but it is followed by the end of the session. */
const mayBeFatal = (error: ServerError, isLast: boolean): boolean =>
  isFatal(error) || (isLast && error.severity !== "ERROR")

/**
 * Messages after which the server has rolled back the running statement: it was told to end the session, or a limit of
 * time, memory or disk was reached. Or it refuses a login, and no statement ran.
 */
const undone = /^(57P0[1345]|25P0[34]|40001|53...|28...|3D000)$/

/**
 * The server ended a session because it was idle. It checks that before it reads the next message, so a statement that
 * was on its way has not run. An open transaction is rolled back.
 *
 * @internal
 */
export const hasEndedIdle = (error: unknown): boolean =>
  // A function may raise the same code, but then the word is ERROR. The word FATAL depends on the server's language.
  isServerError(error) && /^(57P05|25P03)$/.test(error.code) && error.severity !== "ERROR"

/**
 * Messages of a pooler itself. PgBouncer has one code for most of them, so only the text tells them apart. When it
 * passes on why the server refused a login, it uses this code too.
 *
 * https://github.com/pgbouncer/pgbouncer/blob/master/src/objects.c
 */
const poolerSays = (error: unknown, words: RegExp): boolean =>
  isServerError(error) && isFatal(error) && error.code === "08P01" && words.test(error.message ?? "")

/**
 * A pooler refused a client because it had no session of the server for it: nothing that the client sent has reached
 * the server.
 *
 * @internal
 */
export const isHeldBack = (error: unknown): boolean =>
  poolerSays(
    error,
    /^(query_wait_timeout|client_(login|idle)_timeout|server login |pgbouncer cannot connect|no more connections)/
  )

/** A pooler refused a login, and would refuse it again. @internal */
export const isRefusedByPooler = (error: unknown): boolean =>
  poolerSays(
    error,
    /authentication failed|^no such (database|user)|^unsupported startup parameter|does not exist|no pg_hba.conf entry/
  )

/**
 * The server, or a service that it asks such as PAM, refused the password. It may have been changed a moment ago.
 * @internal
 */
export const isPasswordRefused = (error: unknown): boolean =>
  isServerError(error) && (error.code === "28P01" || error.code === "28000")

/** A failed system call, such as `connect`. @internal */
export const isSystemError = (error: unknown): error is { readonly syscall: string; readonly code: string } =>
  Predicate.hasProperty(error, "syscall") && codeOf(error) !== undefined

/** A write failed because the other end of the socket is gone: EPIPE or ECONNRESET. @internal */
export const isWriteError = (error: unknown): boolean => isSystemError(error) && error.syscall === "write"
