/**
 * The errors of a pool. Through `SqlClient` each is the `cause` of an `SqlError`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { readable } from "./internal/readable.js"
import { wordsOf } from "./internal/words.js"
import type { PoolStats } from "./PoolStats.js"

const counts = (stats: PoolStats): string =>
  `${stats.busy} busy, ${stats.idle} idle, ${stats.opening} opening, ${stats.checking} checking, ` +
  `${stats.closing} closing, ${stats.waiting} waiting; maxsize ${stats.maxsize}, maxoverflow ${stats.maxoverflow}`

/**
 * A caller waited as long as it may (`acquireTimeout`, R4, or in an outage `outageTimeout`, R18) and there was no
 * connection for it; or `connectRetry` has come to its end.
 *
 * `cause` is the last connect failure, where connects have been failing. The message contains it.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolExhausted extends readable(Data.TaggedError("PoolExhausted"))<{
  /** The pool at the moment the caller was refused. */
  readonly stats: PoolStats
  /** How long the caller had waited, in milliseconds; the time in which the pool was suspended is not counted. */
  readonly waited: number
  readonly cause?: unknown
}> {
  private get advice(): string {
    if (this.cause !== undefined) return `The last connect failed: ${wordsOf(this.cause)}`
    const { opening, waiting } = this.stats
    return opening > 0 && opening >= waiting
      ? "A connect was still under way: raise acquireTimeout (a bare number is milliseconds)."
      : "Hold connections for a shorter time, raise maxoverflow if the server can bear it, or raise acquireTimeout."
  }

  override get message(): string {
    return `No connection after ${this.waited} ms (${counts(this.stats)}). ${this.advice}`
  }
}

/**
 * The queue was longer than `maxWaiting`, so the caller was refused at once.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolQueueFull extends readable(Data.TaggedError("PoolQueueFull"))<{
  /** The pool at the moment the caller was refused. */
  readonly stats: PoolStats
  readonly maxWaiting: number
  readonly cause?: unknown
}> {
  override get message(): string {
    return `As many callers as maxWaiting allows, ${this.maxWaiting}, wait already for a connection to come back ` +
      `(${counts(this.stats)}). Send less work at once, or raise maxoverflow or maxWaiting.`
  }
}

/**
 * The pool is closing or closed (R13), or it is being drained: newcomers get no connections any more.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolClosed extends readable(Data.TaggedError("PoolClosed"))<{
  /** The pool at the moment the caller was refused. */
  readonly stats: PoolStats
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.stats.state === "draining"
      ? "The pool is drained: it takes no new callers."
      : "The pool is closed. Its scope (the layer that provides it) must outlive the effects that use it."
  }
}

/**
 * Everything that a pool itself can refuse a caller with.
 *
 * @since 0.1.0
 * @category errors
 */
export type PoolError = PoolExhausted | PoolClosed | PoolQueueFull
