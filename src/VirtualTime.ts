/**
 * The types of `Testing.virtualTime`. `Testing` exports all of them.
 *
 * @since 0.1.0
 */
import type { PoolOptions } from "./ElasticPool.js"
import type { PoolError } from "./PoolError.js"
import type { PoolStats } from "./PoolStats.js"

/**
 * A clock that jumps from one event to the next, and what happens by it. Times are in milliseconds, and may have
 * fractions. Nothing happens by itself, but only in `runUntil`.
 *
 * What a task, a caller, or `connect` or `opens` of a pool throws comes out of `runUntil`, so that no assertion is lost.
 *
 * @since 0.1.0
 * @category virtual time
 */
export interface VirtualTime {
  /** How much time has passed since the beginning. */
  readonly now: number

  /** Calls `task` after so much time. The result calls that off. */
  readonly after: (millis: number, task: () => void) => () => void

  /**
   * Calls `task` for each item at its time. They must be in order. The next one is read when the last one has had its
   * turn, so a day of arrivals needs no memory.
   */
  readonly each: <A extends { readonly at: number }>(items: Iterable<A>, task: (item: A) => void) => void

  /** Lets time pass until then. What it calls must not call it: that throws. */
  readonly runUntil: (millis: number) => void

  /** Makes a pool. The pool lives by this time, and so it knows nothing of the time of day. */
  readonly pool: (options?: VirtualPoolOptions) => VirtualPool
}

/**
 * The options of any pool, and what its connections are like. Each connect fails in such a way that it may succeed later
 * (R18), and no connection needs a check or a reset.
 *
 * @since 0.1.0
 * @category virtual time
 */
export interface VirtualPoolOptions extends PoolOptions {
  /** How long a connect takes, in milliseconds. A function is asked when a connect begins. Default: 20. */
  readonly connect?: number | (() => number) | undefined
  /** Whether a connect succeeds. It is asked when the time of the connect has passed. Default: always. */
  readonly opens?: (() => boolean) | undefined
}

/**
 * The pool's own code: only its connections and the time are not real.
 *
 * @since 0.1.0
 * @category virtual time
 */
export interface VirtualPool {
  /** Asks for a connection. It may be lent before this returns. */
  readonly request: (caller: VirtualCaller) => void

  /**
   * The server has ended all connections. Those that are just being opened will not open. The pool knows at once, and so
   * does each caller that has one.
   */
  readonly breakConnections: () => void

  /** See `ElasticPool.resize`. A bad limit throws. */
  readonly resize: (limits: {
    readonly maxsize?: number | undefined
    readonly maxoverflow?: number | undefined
  }) => void

  /** Closes it, as the end of its scope closes another pool (R13). It takes time, as with any pool. */
  readonly close: () => void

  /** The pool at this instant. */
  readonly stats: () => PoolStats

  /** What the server has had to bear until now. */
  readonly connections: () => VirtualConnections
}

/**
 * The connections of a pool. One counts from the beginning of its connect until it is closed.
 *
 * @since 0.1.0
 * @category virtual time
 */
export interface VirtualConnections {
  /** How many there are. */
  readonly now: number
  /** On average over the time since the pool was made. */
  readonly mean: number
  readonly peak: number
  /** How many connects have begun. */
  readonly begun: number
}

/**
 * Is told what becomes of its request, and may ask again at once.
 *
 * @since 0.1.0
 * @category virtual time
 */
export interface VirtualCaller {
  /** It has a connection, until it ends the loan. */
  lent(loan: VirtualLoan): void
  /** It gets none. */
  refused?(error: PoolError): void
  /** Its connection is broken. Default: it ends the loan. */
  lost?(loan: VirtualLoan): void
}

/**
 * @since 0.1.0
 * @category virtual time
 */
export interface VirtualLoan {
  /** Gives the connection back. A second end does nothing. */
  end(): void
}
