/** @internal */
import type * as Schedule from "effect/Schedule"

/**
 * The decoded options of the generic pool. Durations are in milliseconds, and `Infinity` is off.
 *
 * @internal
 */
export interface Settings {
  /** Changed by `resize`. */
  maxsize: number
  /** Changed by `resize`. */
  maxoverflow: number
  readonly maxwait: number
  readonly acquireTimeout: number
  /** How long a waiter may wait in all whom the pool owes a connect. */
  readonly owedTimeout: number
  /** How long a waiter may wait in all while connects fail (R18). */
  readonly outageTimeout: number
  readonly expires: number
  readonly expiresJitter: number
  readonly minsize: number
  readonly idleTimeout: number
  readonly maxUses: number
  readonly maxWaiting: number
  readonly connectTimeout: number
  readonly connectConcurrency: number
  readonly connectRetry: Schedule.Schedule<unknown, unknown>
  readonly validateAfterIdle: number
  readonly cleanupTimeout: number
  readonly closeTimeout: number
  readonly warm: number
  readonly leakThreshold: number
}
