/**
 * What goes wrong with PostgreSQL, and how to read it off an error.
 *
 * The classes are the `cause` of an `SqlError`. The functions take any error and look through all its causes, so they
 * also work where a program has wrapped an `SqlError` in an error of its own.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { ServerError } from "./internal/postgres/errors/codes.js"
import { ConnectFailed, isHeldBack, isServerError, leavesOutcomeOpen } from "./internal/postgres/errors/codes.js"
import { isPermanent } from "./internal/postgres/errors/permanent.js"
import { readable } from "./internal/readable.js"
import { causes, wordsOf } from "./internal/words.js"

/**
 * A statement was sent and its answer was lost, or did not come within `queryTimeout`: it may have taken effect or not. Never retried by this library, and
 * only to be retried by a caller who knows that running it twice does no harm (R22).
 *
 * @since 0.1.0
 * @category errors
 */
export class OutcomeUnknown extends readable(Data.TaggedError("OutcomeUnknown"))<{
  /** How the connection was lost, or that time was up. */
  readonly cause: unknown
}> {
  override get message(): string {
    const reason = wordsOf(this.cause)
    return `The statement was sent, and its answer did not come (${reason}): it may have taken effect or not`
  }
}

/**
 * A COMMIT was sent and its answer was lost: the transaction may be stored or not (R22).
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
 * `queryTimeout`. No COMMIT was sent, so it was certainly not committed, whatever became of that statement: it may be
 * run again as a whole, as `PgPool.transaction` does with `retry` (R22).
 *
 * Inside the transaction the same failure is an `OutcomeUnknown`, and so it is where its body has sent a COMMIT itself.
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
 * The connection had ended before the statement could be sent, or before the server has looked at it: it has had no
 * effect, and may be tried again. In a transaction it is the whole transaction that was rolled back.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotSent extends readable(Data.TaggedError("NotSent"))<{
  /** How the connection was lost, where that is known: often the server's last words. */
  readonly cause?: unknown
}> {
  override get message(): string {
    const reason = this.cause === undefined ? "" : ` (${wordsOf(this.cause)})`
    return `The connection was closed before the statement was sent${reason}, so it has had no effect`
  }
}

/**
 * The transaction can't be committed any more. A statement of it was interrupted while its body went on, so nobody
 * knows what it did; or its body ended while a nested transaction of it was still running; or a COMMIT or ROLLBACK that
 * the body sent as a statement has ended it before its time. What follows in it fails with this, and so does the
 * transaction, after a ROLLBACK (R22).
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
 * A connection was used after it had been given back, or a transaction after it had ended (R15).
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
 * A statement waited for `acquireTimeout` while something else had its connection to itself: a nested transaction, or a
 * stream outside a transaction (R23). Where that something waits for the statement in turn, it never ends.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionBusy extends readable(Data.TaggedError("ConnectionBusy"))<{
  readonly holder: "nested transaction" | "transaction" | "stream"
  /** How long it waited, in milliseconds: `acquireTimeout`, or longer where several had their turns before it. */
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
 * A host could be connected to, but is not of the kind that `targetSessionAttrs` asks for.
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
 * No connection could be opened to any of several hosts, or of the addresses of one.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoHost extends readable(Data.TaggedError("NoHost"))<{
  /** In the order in which they were tried: `host:port`, with the address if it was looked up, and what went wrong. */
  readonly failures: ReadonlyArray<{ readonly place: string; readonly reason: string; readonly cause: unknown }>
  /** What went wrong with one of them, for which time may heal it if there is such a one. */
  readonly cause: unknown
}> {
  override get message(): string {
    const places = new Map<string, ReadonlyArray<string>>()
    for (const { place, reason } of this.failures) places.set(reason, [...places.get(reason) ?? [], place])
    return `no host could be used: ${[...places].map(([reason, of]) => `${of.join(", ")}: ${reason}`).join("; ")}`
  }
}

const find = <A>(error: unknown, is: Predicate.Refinement<unknown, A>): Option.Option<A> => {
  for (const cause of causes(error)) if (is(cause)) return Option.some(cause)
  return Option.none()
}

const hasTag = (error: unknown, ...tags: ReadonlyArray<string>): boolean =>
  Option.isSome(find(error, (cause): cause is unknown => tags.some((tag) => Predicate.isTagged(cause, tag))))

const serverError = (error: unknown): Option.Option<ServerError> => find(error, isServerError)

const connectFailure = (error: unknown): Option.Option<ConnectFailed> =>
  find(error, (cause): cause is ConnectFailed => cause instanceof ConnectFailed)

/**
 * The five characters by which the server names what went wrong, such as `23505`.
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
export const sqlState = (error: unknown): Option.Option<string> => Option.map(serverError(error), ({ code }) => code)

/**
 * The name of the constraint that was violated.
 *
 * @since 0.1.0
 * @category readers
 */
export const constraint = (error: unknown): Option.Option<string> =>
  Option.flatMapNullable(serverError(error), ({ constraint }) => constraint)

const hasState = (...states: ReadonlyArray<string>) => (error: unknown): boolean =>
  Option.exists(sqlState(error), (state) => states.some((prefix) => state.startsWith(prefix)))

/**
 * Whether a constraint of any kind was violated: class 23.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isConstraintViolation: (error: unknown) => boolean = hasState("23")

/**
 * Whether a row like it is there already: 23505.
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
export const isUniqueViolation: (error: unknown) => boolean = hasState("23505")

/**
 * Whether a row that is referred to is not there, or one that is referred to would go: 23503.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isForeignKeyViolation: (error: unknown) => boolean = hasState("23503")

/**
 * Whether concurrent transactions could not be put into an order: 40001. Run the whole transaction again, as
 * `PgPool.transaction` does with `retry`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isSerializationFailure: (error: unknown) => boolean = hasState("40001")

/**
 * Whether transactions waited for each other, and this one was chosen to fail: 40P01.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isDeadlock: (error: unknown) => boolean = hasState("40P01")

/**
 * Whether the server cancelled the statement: `statement_timeout`, or a cancel of the user's own: 57014.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isQueryCanceled: (error: unknown) => boolean = hasState("57014")

/**
 * Whether a caller got no connection in time (`PoolExhausted`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPoolExhausted = (error: unknown): boolean => hasTag(error, "PoolExhausted")

/**
 * Whether a caller was refused because the pool is closed, or is being drained (`PoolClosed`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPoolClosed = (error: unknown): boolean => hasTag(error, "PoolClosed")

/**
 * Whether a caller was refused because as many as `maxWaiting` allows were waiting already (`PoolQueueFull`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPoolQueueFull = (error: unknown): boolean => hasTag(error, "PoolQueueFull")

/**
 * Whether the pool had no connection to give, for whichever reason: `PoolExhausted`, `PoolClosed` or `PoolQueueFull`.
 * Nothing was sent. An HTTP service answers this with 503, as `AtomicRequests` does.
 *
 * A login that the server refuses, such as one with a wrong password, is none of these: it fails again until somebody
 * mends it.
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
export const isUnavailable = (error: unknown): boolean => hasTag(error, "PoolExhausted", "PoolClosed", "PoolQueueFull")

/**
 * Whether it can't be known if the statement, or the COMMIT, has taken effect (R22).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isOutcomeUnknown = (error: unknown): boolean => {
  for (const cause of causes(error)) {
    if (Predicate.isTagged(cause, "OutcomeUnknown") || Predicate.isTagged(cause, "CommitOutcomeUnknown")) return true
    if (hasNoEffect(cause)) return false
  }
  return Option.exists(serverError(error), leavesOutcomeOpen)
}

/** What the server said then, it did not say of a statement, or of one of `onConnect`, or of one that was rolled back. */
const hasNoEffect = (cause: unknown): boolean =>
  cause instanceof ConnectFailed ||
  ["NotSent", "NotCommitted", "PoolExhausted"].some((tag) => Predicate.isTagged(cause, tag))

/**
 * Serialization failure, deadlock, lock not available, insufficient resources, shut down, starting up, ended for being
 * idle.
 */
const isPassing = hasState("40001", "40P01", "55P03", "53", "57P01", "57P03", "57P05", "25P03")

/**
 * Whether it has had no effect for sure, and may go well another time: serialization failures and deadlocks, a lock
 * that was not to be had, a server that is full, shutting down or starting up, a session that it ended for being idle, a
 * connect that failed and is not known to fail again (R18), a pool that had no connection, a transaction whose
 * connection was lost before COMMIT was sent. In a transaction it is the whole transaction that may be run again.
 *
 * Never after an unknown outcome, and never for what would go wrong again. A statement that itself commits in the middle,
 * as CALL can, may have had an effect all the same.
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
export const isRetryable = (error: unknown): boolean => {
  if (isOutcomeUnknown(error)) return false
  if (hasTag(error, "PoolExhausted", "PoolQueueFull", "NotSent", "NotCommitted")) return true
  return isPassing(error) || Option.exists(serverError(error), isHeldBack) ||
    Option.exists(connectFailure(error), (failure) => !isPermanent(failure))
}
