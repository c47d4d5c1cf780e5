/** @internal */
import type { Actions } from "./life.js"
import type { WaitLimits } from "./limits.js"
import type { Port } from "./port.js"
import type { Reach } from "./reach.js"
import type { RetryPolicy, Runtime } from "./runtime.js"
import type { Meter } from "./tally.js"

/** The decoded options of the generic pool. Durations are in milliseconds, and `Infinity` means off. @internal */
export interface Settings {
  readonly name: string
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
  /** The number of borrowers that may use one connection at the same time, if they share. */
  readonly share: number
}

/** The values that the pool gets from the place where it is built. @internal */
export interface Environment extends Runtime {
  readonly reach: Reach
  readonly makeMeter: ((pool: Port<any, any>) => Meter) | undefined
}

/** The properties of its resources that the pool must know. @internal */
export interface Resource<A, E> extends Actions<A, E> {
  readonly canCheck: boolean
  /** Whether the resource is not known to be dead. Asked before it is lent, and again when its borrower gets it. */
  readonly isUsable: (a: A) => boolean
  /** Whether a resource in shared use has room for one more borrower. */
  readonly canShare: (a: A) => boolean
  readonly needsReset: (a: A) => boolean
  /** Whether its borrower has it do something now. */
  readonly isRunning: ((a: A) => boolean) | undefined
  /** The server's process behind it. */
  readonly processId: ((a: A) => number | undefined) | undefined
  readonly isTransient: (error: E) => boolean
  readonly isPermanent: (error: E) => boolean
}
