/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"
import { headlineOnly, readable } from "../../readable.js"
import { isReadable } from "../../words.js"

// A process may have two copies of this package: errors of the other one are known by these.
const connectFailed = Symbol.for("effect-pgpool/ConnectFailed")
const noPassword = Symbol.for("effect-pgpool/NoPassword")

/** What users of `SqlClient` are told. @internal */
class Failure extends readable(SqlError) {
  static override readonly name = "SqlError"
}

/** The same, where there is nothing to be seen in the cause that the headline has not. @internal */
export class HeadlineFailure extends headlineOnly(SqlError) {
  static override readonly name = "SqlError"
}

/**
 * An `SqlError` as any other, but for what is printed of it. A cause that is none of this package's is printed, as that of
 * `@effect/sql-pg` is: it has what the server says besides, such as a hint.
 *
 * @internal
 */
export const sqlFailure = (options: { readonly cause: unknown; readonly message: string }): SqlError =>
  isReadable(options.cause) ? new HeadlineFailure(options) : new Failure(options)

/** No connection could be opened: nothing that was to run on it has been sent. @internal */
export class ConnectFailed extends HeadlineFailure {
  static override readonly name = "SqlError"

  static override [Symbol.hasInstance](error: unknown): error is ConnectFailed {
    return Predicate.hasProperty(error, connectFailed)
  }

  get [connectFailed](): true {
    return true
  }
}

/** Nor was one dialled, since the `password` effect failed. @internal */
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

/** In the server's own language: what a pooler says is English. @internal */
export const isFatal = ({ severity }: ServerError): boolean => severity === "FATAL" || severity === "PANIC"

/** It was to write where nothing can be written: on a standby, or in a read-only transaction. @internal */
export const isReadOnly = (error: unknown): boolean => codeOf(error) === "25006"

/**
 * Errors that don't tell whether the statement took effect: the server itself doesn't know (40003), or the session has
 * ended with words that don't say so, as when another process of the server crashed (57P02), or a pooler lost its
 * connection to the server.
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 *
 * @internal
 */
export const leavesOutcomeOpen = (error: unknown, isLast = false): boolean =>
  isServerError(error) && !isHeldBack(error) &&
  (/^(57P02|40003)/.test(error.code) || (mayBeFatal(error, isLast) && !undone.test(error.code)))

/** The word for it depends on the server's language, but after it the session has ended. */
const mayBeFatal = (error: ServerError, isLast: boolean): boolean =>
  isFatal(error) || (isLast && error.severity !== "ERROR")

/**
 * Last words of the server after which it has rolled back what ran: it was told to end the session, or a limit of time,
 * memory or disk has. Or it refuses a login, where nothing ran.
 */
const undone = /^(57P0[1345]|25P0[34]|40001|53...|28...|3D000)$/

/**
 * The server ended a session because that did nothing, which it looks for before it begins what has come meanwhile: a
 * statement that was on its way has not run, and a transaction that was open is rolled back.
 *
 * @internal
 */
export const hasEndedIdle = (error: unknown): boolean =>
  // A function may raise the same code; then the word is ERROR. That for FATAL depends on the server's language.
  isServerError(error) && /^(57P05|25P03)$/.test(error.code) && error.severity !== "ERROR"

/**
 * A pooler's own words. PgBouncer has one code for most of them, so that only the text tells them apart. Where it passes
 * on why the server has refused a login, that comes under this code too.
 *
 * https://github.com/pgbouncer/pgbouncer/blob/master/src/objects.c
 */
const poolerSays = (error: unknown, words: RegExp): boolean =>
  isServerError(error) && isFatal(error) && error.code === "08P01" && words.test(error.message ?? "")

/**
 * A pooler has given up a client for which it had no session of the server: nothing of what that had asked for has
 * reached the server.
 *
 * @internal
 */
export const isHeldBack = (error: unknown): boolean =>
  poolerSays(
    error,
    /^(query_wait_timeout|client_(login|idle)_timeout|server login |pgbouncer cannot connect|no more connections)/
  )

/** What a pooler refuses a login for, and would refuse again. @internal */
export const isRefusedByPooler = (error: unknown): boolean =>
  poolerSays(
    error,
    /authentication failed|^no such (database|user)|^unsupported startup parameter|does not exist|no pg_hba.conf entry/
  )

/** The server didn't like the password, or whoever it asks about it, such as PAM: that of a moment ago? @internal */
export const isPasswordRefused = (error: unknown): boolean =>
  isServerError(error) && (error.code === "28P01" || error.code === "28000")

/** A failed system call, such as `connect`. @internal */
export const isSystemError = (error: unknown): error is { readonly syscall: string; readonly code: string } =>
  Predicate.hasProperty(error, "syscall") && codeOf(error) !== undefined

/** The socket refused what was written on it, since its other end is gone: EPIPE or ECONNRESET. @internal */
export const isWriteError = (error: unknown): boolean => isSystemError(error) && error.syscall === "write"
