/** @internal */
import type { Actions } from "./life.js"
import type { WaitLimits } from "./limits.js"
import type { Reach } from "./reach.js"
import type { RetryPolicy, Runtime } from "./runtime.js"

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
  readonly maxwait: number | "auto"
  readonly acquireTimeout: number
  readonly limits: WaitLimits
  readonly expires: number
  readonly expiresJitter: number
  readonly minsize: number
  readonly idleTimeout: number
  readonly maxUses: number
  readonly maxWaiting: number
  readonly connectTimeout: number
  readonly connectConcurrency: number
  readonly connectRetry: RetryPolicy
  readonly validateAfterIdle: number
  readonly cleanupTimeout: number
  readonly closeTimeout: number
  readonly suspendTimeout: number
  readonly warm: number
  readonly leakThreshold: number
  /** How many borrowers may use one connection at the same time, of those who share. */
  readonly share: number
}

/** What the pool is given by the place where it is built. @internal */
export interface Environment extends Runtime {
  readonly reach: Reach
}

/** What the pool must know of its resources. @internal */
export interface Resource<A, E> extends Actions<A, E> {
  readonly canCheck: boolean
  /** Whether it is known to work no more. Asked before it is lent, and again when its borrower gets it. */
  readonly isUsable: (a: A) => boolean
  /** Whether one that others use has room for one more. */
  readonly canShare: (a: A) => boolean
  readonly needsReset: (a: A) => boolean
  /** Names one in the log. */
  readonly describe: ((a: A) => string) | undefined
  readonly isTransient: (error: E) => boolean
  readonly isPermanent: (error: E) => boolean
}
