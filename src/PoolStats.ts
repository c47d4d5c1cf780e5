/**
 * The state and the counters that a pool reports.
 *
 * @since 0.1.0
 */

/**
 * The reason why a connection was closed.
 *
 * - `expired`: it reached the end of its life (`expires`, R9)
 * - `evicted`: it was opened before an `evict` or a `suspend` (R19)
 * - `renewed`: a successor took its place shortly before the end of its life (R9)
 * - `idle`: it was not used for `idleTimeout` (R10)
 * - `used`: it had `maxUses` leases
 * - `surplus`: more than `maxsize` were idle (with `maxwait: "auto"`: for some time), or the pool was made smaller (R7)
 * - `invalidated`: it was broken, or `invalidate` was called for it
 * - `dirty`: a check or a reset failed or took too long
 * - `closed`: the pool was closed (R13), or drained
 * - `failed`: its connect failed
 * - `abandoned`: its connect hung, while others succeed or are tried, and its permit was needed for the next one (R6)
 *
 * @since 0.1.0
 * @category models
 */
export type CloseReason =
  | "expired"
  | "evicted"
  | "renewed"
  | "idle"
  | "used"
  | "surplus"
  | "invalidated"
  | "dirty"
  | "closed"
  | "failed"
  | "abandoned"

/**
 * Why the pool has refused a caller: the limit of `PoolExhausted` that ended its wait, or that the queue was full
 * (`PoolQueueFull`), or that the pool was closed (`PoolClosed`).
 *
 * @since 0.1.0
 * @category models
 */
export type RefusalReason =
  | "acquireTimeout"
  | "outageTimeout"
  | "maxwait"
  | "connectTimeout"
  | "connectRetry"
  | "handOver"
  | "queueFull"
  | "closed"

/**
 * How long something took, in milliseconds: half of the times were not longer than `p50`, and 99 of 100 not longer than
 * `p99`. Each figure is at most a quarter more than the exact one. All are 0 where `count` is 0.
 *
 * @since 0.1.0
 * @category models
 */
export interface Percentiles {
  /** How many times there were. */
  readonly count: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/**
 * A pool's state at one instant, and its counters since it was made.
 *
 * `size` is the number of permits in use: `opening + idle + busy + checking + closing`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolStats {
  /** The pool's name. */
  readonly name: string
  /**
   * - `suspended`: callers wait until the pool is resumed.
   * - `draining`: waiting callers are served, and new ones are refused. The state stays the same when the drain has
   *   ended, by itself or after `within`.
   * - `closing`: no caller is served any more (R13).
   */
  readonly state: "open" | "suspended" | "draining" | "closing"
  /** The soft limit in force. */
  readonly maxsize: number
  /** The hard limit in force. */
  readonly maxoverflow: number
  /** Connections that hold a permit, in any state. */
  readonly size: number
  /** Connects in flight. */
  readonly opening: number
  /** Connections ready to be taken. */
  readonly idle: number
  /** Connections that are lent to a borrower. */
  readonly busy: number
  /** Connections that no borrower holds but that are not ready: a check or a reset is under way. */
  readonly checking: number
  /** Connections that are being closed. */
  readonly closing: number
  /** Callers in the queue. */
  readonly waiting: number
  /** How long the oldest caller in the queue has waited, in milliseconds; 0 if the queue is empty. */
  readonly oldestWait: number
  /** The most connections that were lent at the same time. */
  readonly peakBusy: number
  /** The most permits that were in use at the same time. */
  readonly peakSize: number
  /**
   * Callers that got a connection. One whose connection was lost before it had used it, and that got another one, counts
   * once. If it gets no other one and is refused, it counts in `refused` as well.
   */
  readonly acquired: number
  /** Those of them whose caller had to wait in the queue. */
  readonly waited: number
  /** How long all these callers have waited in all, in milliseconds. */
  readonly waitedTotal: number
  /** How long the leases that have ended lasted in all, in milliseconds. One that was lost before its use does not count. */
  readonly heldTotal: number
  /** Connects that succeeded. */
  readonly opened: number
  /**
   * Connects that failed: as many as were `closed` as `failed`. One that the pool itself breaks off has not failed: such
   * connections are `closed` as `abandoned`, or as `closed`.
   */
  readonly connectFailures: number
  /** The reason why the last connect failed that has failed, also if others have succeeded since. */
  readonly lastConnectError: unknown
  /** Connections closed, by reason. */
  readonly closed: { readonly [reason in CloseReason]: number }
  /**
   * Callers that were refused because they had waited for as long as they may: for `acquireTimeout`, or by `whenFull:
   * "fail"`.
   */
  readonly timeouts: number
  /** Callers that were refused, by reason. */
  readonly refused: { readonly [reason in RefusalReason]: number }
  /** Loans that lasted longer than `leakThreshold`. */
  readonly leaked: number
  /**
   * Transactions that the server has rolled back: their effect failed or was interrupted, or the server would not commit
   * them, or their connection came back without their end, or was lost or closed before COMMIT was sent. One whose effect
   * failed before it had sent anything counts too; nested ones do not. Only a pool of PostgreSQL sessions knows.
   */
  readonly rolledBack: number
  /**
   * Statements that the server was asked to cancel, because their caller was interrupted or `queryTimeout` had passed.
   * Only a pool of PostgreSQL sessions knows.
   */
  readonly cancelled: number
  /** How long callers waited for a connection that they got, during the last minute. Most wait for 0 ms. */
  readonly waitTimes: Percentiles
  /** How long leases lasted that ended during the last minute. */
  readonly holdTimes: Percentiles
  /** How long connects took that succeeded during the last minute. */
  readonly connectTimes: Percentiles
}
