/**
 * What happens in a pool, as it happens.
 *
 * @since 0.1.0
 */
import type { Holder } from "./PoolHolder.js"
import type { CloseReason, PoolStats, RefusalReason } from "./PoolStats.js"

interface Event<Tag extends string> {
  readonly _tag: Tag
  /** The time of day by the pool's clock, in milliseconds since 1970. */
  readonly at: number
}

/** The connections of a pool are numbered from 1, in the order in which their connects began. */
interface ConnectionEvent<Tag extends string> extends Event<Tag> {
  readonly connection: number
}

/**
 * A connect has begun.
 *
 * @since 0.1.0
 * @category models
 */
export interface Opening extends ConnectionEvent<"Opening"> {}

/**
 * A connect has succeeded. It took so many milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Opened extends ConnectionEvent<"Opened"> {
  readonly took: number
  /** The server's process. `undefined` if it is not known. */
  readonly processId: number | undefined
}

/**
 * A connect has failed. After one of kind `other` the next connect follows at once; else it waits for `connectRetry`
 * (R18). One that the pool itself breaks off has not failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectFailed extends ConnectionEvent<"ConnectFailed"> {
  readonly cause: unknown
  readonly kind: "transient" | "permanent" | "other"
}

/**
 * A connection has been closed, and its permit is free.
 *
 * @since 0.1.0
 * @category models
 */
export interface Closed extends ConnectionEvent<"Closed"> {
  readonly reason: CloseReason
  /** How long ago it was opened, in milliseconds; 0 if it never was. */
  readonly age: number
  /** How often it was lent. */
  readonly uses: number
}

/**
 * The connect that has just begun is for a connection beyond `maxsize`: the pool has `size` of them now, those that are
 * being opened or closed included.
 *
 * @since 0.1.0
 * @category models
 */
export interface Overflow extends ConnectionEvent<"Overflow"> {
  readonly size: number
}

/**
 * A caller has failed with `PoolExhausted`. Each such caller has an event of its own, and those that fail together share
 * the list of holders.
 *
 * @since 0.1.0
 * @category models
 */
export interface Exhausted extends Event<"Exhausted"> {
  readonly limit: Exclude<RefusalReason, "queueFull" | "closed">
  /** How long it had waited, in milliseconds. */
  readonly waited: number
  readonly stats: PoolStats
  readonly holders: ReadonlyArray<Holder>
}

/**
 * A caller was refused without a wait, with `PoolQueueFull` or `PoolClosed`, or the pool was closed while it waited.
 *
 * @since 0.1.0
 * @category models
 */
export interface Refused extends Event<"Refused"> {
  readonly reason: "queueFull" | "closed"
}

/**
 * A loan has lasted for longer than `leakThreshold`. Each is told once, also those for which the log has no line left.
 *
 * @since 0.1.0
 * @category models
 */
export interface Leaked extends ConnectionEvent<"Leaked"> {
  readonly holder: Holder
}

/**
 * A loan that had been `Leaked` has ended after all.
 *
 * @since 0.1.0
 * @category models
 */
export interface CameBack extends ConnectionEvent<"CameBack"> {
  readonly holder: Holder
}

/**
 * Connects fail, and the pool waits before it tries again (R18).
 *
 * @since 0.1.0
 * @category models
 */
export interface OutageBegan extends Event<"OutageBegan"> {
  readonly cause: unknown
}

/**
 * A connect has succeeded again, or `connectRetry` has come to its end, or the pool has: then it tries no connect any
 * more. The outage lasted for so many milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutageEnded extends Event<"OutageEnded"> {
  readonly lasted: number
}

/**
 * The pool was suspended, resumed, drained or closed.
 *
 * @since 0.1.0
 * @category models
 */
export interface StateChanged extends Event<"StateChanged"> {
  readonly from: PoolStats["state"]
  readonly to: PoolStats["state"]
}

/**
 * `resize` has changed a limit.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resized extends Event<"Resized"> {
  readonly maxsize: number
  readonly maxoverflow: number
}

/**
 * The listener was too slow for so many events. They came before the next event that it reads. `at` is when it reads
 * this.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dropped extends Event<"Dropped"> {
  readonly count: number
}

/**
 * What happens in a pool.
 *
 * @since 0.1.0
 * @category models
 */
export type PoolEvent =
  | Opening
  | Opened
  | ConnectFailed
  | Closed
  | Overflow
  | Exhausted
  | Refused
  | Leaked
  | CameBack
  | OutageBegan
  | OutageEnded
  | StateChanged
  | Resized
  | Dropped

/**
 * What became of a caller:
 *
 * - `returned`: it got a connection and gave it back
 * - `cutOff`: it got one, and the pool closed the connection before it was given back (R13)
 * - a `RefusalReason`: it was refused
 * - `interrupted`: it was interrupted before it had a connection
 * - `failed`: the connect that it waited for failed for good
 *
 * @since 0.1.0
 * @category models
 */
export type LoanOutcome = "returned" | "cutOff" | RefusalReason | "interrupted" | "failed"

/**
 * One caller of a pool, told when it has done with it. A caller that was handed a lost connection and then another one
 * is told of once. If it is refused or interrupted while it waits for the other one, `asked` and `waited` tell of that
 * wait alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface Loan extends Event<"Loan"> {
  /** When it asked for a connection, in milliseconds since 1970 by the pool's clock. */
  readonly asked: number
  /** How long it waited, in milliseconds. A suspension of the pool that has ended meanwhile does not count. */
  readonly waited: number
  /** How long it held the connection, in milliseconds. 0 if it got none. */
  readonly held: number
  readonly outcome: LoanOutcome
  /** The name of the span in which it asked, if it was in any. */
  readonly span: string | undefined
}
