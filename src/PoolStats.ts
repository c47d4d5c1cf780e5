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
 * - `failed`: it never opened
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

/**
 * A pool's state at one instant, and its counters since it was made.
 *
 * `size` is the number of permits in use: `opening + idle + busy + checking + closing`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolStats {
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
  /** Leases given out. */
  readonly acquired: number
  /** Connects that succeeded. */
  readonly opened: number
  /** Connections closed, by reason. */
  readonly closed: { readonly [reason in CloseReason]: number }
  /**
   * Callers that were refused because they had waited for as long as they may: for `acquireTimeout`, or by `whenFull:
   * "fail"`.
   */
  readonly timeouts: number
}
