/**
 * The errors of PostgreSQL and its connections, and functions that read them from any error.
 *
 * An error of one of these classes is the `cause` of an `SqlError`. The functions look through all causes of an error,
 * so they also work where a program has wrapped an `SqlError` in an error of its own.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Option from "effect/Option"
import * as internal from "./internal/postgres/errors/predicates.js"
import { readable } from "./internal/readable.js"
import { wordsOf } from "./internal/words.js"

/**
 * A statement was sent, and its answer was lost or did not come within `queryTimeout`. The statement may have taken
 * effect or not. This library never retries it. A caller may do so only if running the statement twice does no harm
 * (R22).
 *
 * @since 0.1.0
 * @category errors
 */
export class OutcomeUnknown extends readable(Data.TaggedError("OutcomeUnknown"))<{
  /** How the connection was lost, or that `queryTimeout` has passed. */
  readonly cause: unknown
}> {
  override get message(): string {
    const reason = wordsOf(this.cause)
    return `The statement was sent, and its answer did not come (${reason}): it may have taken effect or not`
  }
}

/**
 * A COMMIT was sent, and its answer was lost. The transaction may be stored or not (R22).
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitOutcomeUnknown extends readable(Data.TaggedError("CommitOutcomeUnknown"))<{
  /** How the connection was lost. */
  readonly cause: unknown
}> {
  override get message(): string {
    const reason = wordsOf(this.cause instanceof OutcomeUnknown ? this.cause.cause : this.cause)
    return `COMMIT was sent, and its answer did not come (${reason}): the transaction may be stored or not`
  }
}

/**
 * A transaction failed because the answer to its BEGIN or to one of its statements was lost, or did not come within
 * `queryTimeout`. No COMMIT was sent, so the transaction was certainly not committed. It may be run again as a whole,
 * as `PgPool.transaction` does with `retry` (R22).
 *
 * Inside the transaction the same failure is an `OutcomeUnknown`. It is one outside too, if the body of the transaction
 * has sent a COMMIT itself.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotCommitted extends readable(Data.TaggedError("NotCommitted"))<{
  /** The `OutcomeUnknown` of the statement. */
  readonly cause: unknown
}> {
  override get message(): string {
    const reason = wordsOf(this.cause instanceof OutcomeUnknown ? this.cause.cause : this.cause)
    return `The transaction was not committed, since an answer did not come (${reason}): it may be run again as a whole`
  }
}

/**
 * The connection ended before the statement was sent, or before the server looked at it. The statement has had no
 * effect and may be tried again. In a transaction, the whole transaction was rolled back.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotSent extends readable(Data.TaggedError("NotSent"))<{
  /** How the connection was lost, if that is known. Often it is the last message of the server. */
  readonly cause?: unknown
}> {
  override get message(): string {
    const reason = this.cause === undefined ? "" : ` (${wordsOf(this.cause)})`
    return `The connection was closed before the statement was sent${reason}, so it has had no effect`
  }
}

/**
 * The transaction can't be committed any more, for one of three reasons:
 *
 * - One of its statements was interrupted while its body went on, so nobody knows what that statement did.
 * - Its body ended while a nested transaction was still running.
 * - Its body sent a COMMIT or ROLLBACK as a statement, which ended the transaction too early.
 *
 * All later statements of the transaction fail with this error. So does the transaction, after a ROLLBACK (R22).
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionDoomed extends readable(Data.TaggedError("TransactionDoomed"))<{
  readonly reason: "StatementInterrupted" | "NestedTransactionOpen" | "EndedByHand"
}> {
  override get message(): string {
    return dooms[this.reason]
  }
}

const dooms = {
  StatementInterrupted: "A statement of this transaction was interrupted, so it can only be rolled back. If the rest " +
    "is to go on, put the statement into a withTransaction of its own.",
  NestedTransactionOpen: "The transaction ended while a nested one was still running in another fiber, so it was " +
    "rolled back. Join the fibers that a transaction forks.",
  EndedByHand: "A COMMIT or ROLLBACK that was sent as a statement has ended this transaction, so what follows would " +
    "run outside of it. Let its effect succeed or fail instead."
} as const

/**
 * A connection was used after it was given back, or a transaction after it ended (R15).
 *
 * @since 0.1.0
 * @category errors
 */
export class LeaseEnded extends readable(Data.TaggedError("LeaseEnded")) {
  override get message(): string {
    return "This connection was given back, it can't be used any more"
  }
}

/**
 * A statement waited for `acquireTimeout` because a nested transaction, or a stream outside a transaction, had the
 * connection to itself (R23). If that holder waits for the statement in turn, both would wait for ever.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionBusy extends readable(Data.TaggedError("ConnectionBusy"))<{
  readonly holder: "nested transaction" | "transaction" | "stream"
  /** How long it waited, in milliseconds: `acquireTimeout`, or longer if several others had their turns before it. */
  readonly waited: number
  /** `acquireTimeout`, in milliseconds. */
  readonly limitMillis: number
}> {
  override get message(): string {
    return `A ${this.holder} had this connection for itself for ${this.waited} ms ` +
      `(acquireTimeout: ${this.limitMillis} ms). Only the fibers inside it can use the connection meanwhile: ` +
      "run the statement inside it, or after it."
  }
}

/**
 * A connection to a host was opened, but the host does not have the role that `targetSessionAttrs` asks for.
 *
 * @since 0.1.0
 * @category errors
 */
export class WrongRole extends readable(Data.TaggedError("WrongRole"))<{
  readonly wanted: "read-write" | "read-only" | "primary" | "standby"
  readonly found: "read-write" | "read-only" | "primary" | "standby"
}> {
  override get message(): string {
    return `the server is ${articles[this.found]}, and targetSessionAttrs asks for ${articles[this.wanted]}`
  }
}

const articles = {
  "read-write": "read-write",
  "read-only": "read-only",
  "primary": "a primary",
  "standby": "a standby"
} as const

/**
 * No connection could be opened to any of several hosts, or to any address of one host.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoHost extends readable(Data.TaggedError("NoHost"))<{
  /** In the order of the attempts: `host:port`, with the address if it was looked up, and what went wrong. */
  readonly failures: ReadonlyArray<{ readonly place: string; readonly reason: string; readonly cause: unknown }>
  /** What went wrong with one host. If some failures may pass by themselves, it is one of these. */
  readonly cause: unknown
}> {
  override get message(): string {
    const places = new Map<string, ReadonlyArray<string>>()
    for (const { place, reason } of this.failures) places.set(reason, [...places.get(reason) ?? [], place])
    return `no host could be used: ${[...places].map(([reason, of]) => `${of.join(", ")}: ${reason}`).join("; ")}`
  }
}

/**
 * The SQLSTATE: the five characters by which the server names what went wrong, such as `23505`.
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Option } from "effect"
 * import { PgError } from "effect-pgpool"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const error = yield* Effect.flip(sql`SELECT 1 / 0`)
 *   console.log(Option.getOrNull(PgError.sqlState(error))) // 22012
 * })
 * ```
 *
 * @since 0.1.0
 * @category readers
 */
export const sqlState: (error: unknown) => Option.Option<string> = internal.sqlState

/**
 * The name of the constraint that was violated.
 *
 * @since 0.1.0
 * @category readers
 */
export const constraint: (error: unknown) => Option.Option<string> = internal.constraint

/**
 * Whether a constraint of any kind was violated: class 23.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isConstraintViolation: (error: unknown) => boolean = internal.isConstraintViolation

/**
 * Whether a unique constraint was violated, because such a row exists already: 23505.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { PgError } from "effect-pgpool"
 *
 * const register = (email: string) =>
 *   Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO users (email) VALUES (${email})`).pipe(
 *     Effect.catchIf(PgError.isUniqueViolation, () => Effect.fail("taken" as const))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUniqueViolation: (error: unknown) => boolean = internal.isUniqueViolation

/**
 * Whether a foreign key was violated: the row that is referred to is missing, or is to be deleted: 23503.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isForeignKeyViolation: (error: unknown) => boolean = internal.isForeignKeyViolation

/**
 * Whether concurrent transactions could not be put into an order: 40001. The whole transaction may be run again, as
 * `PgPool.transaction` does with `retry`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isSerializationFailure: (error: unknown) => boolean = internal.isSerializationFailure

/**
 * Whether transactions waited for each other, and the server ended this one: 40P01.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isDeadlock: (error: unknown) => boolean = internal.isDeadlock

/**
 * Whether the server cancelled the statement, because of `statement_timeout` or a request to cancel: 57014.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isQueryCanceled: (error: unknown) => boolean = internal.isQueryCanceled

/**
 * Whether a caller got no connection in time (`PoolExhausted`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPoolExhausted: (error: unknown) => boolean = internal.isPoolExhausted

/**
 * Whether a caller was refused because the pool is closed or is being drained (`PoolClosed`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPoolClosed: (error: unknown) => boolean = internal.isPoolClosed

/**
 * Whether a caller was refused because `maxWaiting` callers were waiting already (`PoolQueueFull`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPoolQueueFull: (error: unknown) => boolean = internal.isPoolQueueFull

/**
 * Whether the pool had no connection for a caller, whatever the reason: `PoolExhausted`, `PoolClosed` or
 * `PoolQueueFull`. Nothing was sent. An HTTP service answers this with 503, as `AtomicRequests` does.
 *
 * A login that the server refuses, for instance because of a wrong password, is none of these: it fails again until the
 * configuration is corrected.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServerResponse } from "@effect/platform"
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { PgError } from "effect-pgpool"
 *
 * const count = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* HttpServerResponse.json(yield* sql`SELECT count(*)::int AS users FROM users`)
 * })
 *
 * const router = HttpRouter.empty.pipe(
 *   HttpRouter.get("/count", count),
 *   HttpRouter.catchTag("SqlError", (error) =>
 *     PgError.isUnavailable(error) ? HttpServerResponse.empty({ status: 503 }) : Effect.fail(error))
 * )
 * ```
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUnavailable: (error: unknown) => boolean = internal.isUnavailable

/**
 * Whether it is unknown if the statement, or the COMMIT, has taken effect (R22).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isOutcomeUnknown: (error: unknown) => boolean = internal.isOutcomeUnknown

/**
 * Whether the statement has certainly had no effect, and may succeed if it is run again. That is true of:
 *
 * - serialization failures and deadlocks, and a lock that was not available
 * - a server that is full, shutting down or starting up, and a session that the server ended because it was idle
 * - a connect that failed and is not known to fail again (R18), and a pool that had no connection
 * - a transaction whose connection was lost before COMMIT was sent
 *
 * In a transaction, the whole transaction may be run again. It is never true of an unknown outcome, nor of an error
 * that would come again. A statement that commits by itself in the middle, as CALL can, may have had an effect all the
 * same.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Schedule } from "effect"
 * import { PgError } from "effect-pgpool"
 *
 * const count = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT count(*) FROM users`).pipe(
 *   Effect.retry({ while: PgError.isRetryable, schedule: Schedule.exponential("50 millis"), times: 5 })
 * )
 * ```
 *
 * @since 0.1.0
 * @category predicates
 */
export const isRetryable: (error: unknown) => boolean = internal.isRetryable
