/** What a connect does, and what the finaliser of the resource does. */
export interface ConnectPlan {
  readonly end: "ok" | "error" | "transient" | "permanent" | "die" | "selfInterrupt" | "never"
  readonly delay: number
  readonly uninterruptible: boolean
  readonly closeDelay: number
  readonly closeDies: boolean
}

/** What a check or a reset does. */
export interface WorkPlan {
  readonly end: "ok" | "error" | "never"
  readonly delay: number
  readonly uninterruptible: boolean
}

/** The pool's options, and what happens to its resources: the n-th plan is for the n-th use, `undefined` is well. */
export interface WorldOptions {
  readonly maxsize: number
  readonly maxoverflow: number
  /** With "auto", which is never more patient, the longest that anybody waits before he is due. */
  readonly maxwait: number
  readonly isAuto: boolean
  readonly whenFull: "wait" | "fail"
  readonly acquireTimeout: number
  readonly expires: number
  readonly expiresJitter: number
  readonly minsize: number
  readonly idleTimeout?: number | undefined
  readonly maxUses?: number | undefined
  readonly maxWaiting?: number | undefined
  readonly connectTimeout: number
  readonly connectConcurrency: number
  /** How often `connectRetry` tries, 100 ms apart. */
  readonly retries: number
  readonly outageTimeout: number
  readonly validateAfterIdle: number
  readonly cleanupTimeout: number
  readonly closeTimeout: number
  readonly suspendTimeout: number
  readonly warm: number
  readonly canCheck: boolean
  readonly reset: "none" | "always" | "odd"
  /** After how many operations a fiber that uses the pool yields, once. */
  readonly yieldAfter: number
  readonly seed: number
  /** How many may use one resource at the same time, of those who share. */
  readonly share: number
  readonly connects: ReadonlyArray<ConnectPlan>
  readonly checks: ReadonlyArray<WorkPlan>
  readonly resets: ReadonlyArray<WorkPlan>
}

export const retryDelay = 100

/**
 * R4, R18: how long somebody may wait in all, where all are held by others or for callers before it, where the pool owes
 * it one, and where connects have failed.
 */
export const limitsOf = ({ acquireTimeout, connectTimeout, maxwait, outageTimeout, whenFull }: WorldOptions) => {
  const [full, owed] = whenFull === "fail" ? [maxwait, maxwait + connectTimeout] : [Infinity, Infinity]
  return {
    full: Math.min(full, acquireTimeout),
    owed: Math.min(owed, acquireTimeout),
    outage: Math.max(outageTimeout, acquireTimeout)
  }
}

/** From design R18: so long nobody dials after a login that was refused. */
export const quietTime = 500

/** R6, a little less than the second that it may be at most: older connects are no cover for a waiter. */
export const leastTrust = 800

export const calm: WorldOptions = {
  maxsize: 2,
  maxoverflow: 4,
  maxwait: 200,
  isAuto: false,
  whenFull: "wait",
  acquireTimeout: 2000,
  expires: 600_000,
  expiresJitter: 0,
  minsize: 0,
  connectTimeout: 3000,
  connectConcurrency: 4,
  retries: Infinity,
  outageTimeout: 5000,
  validateAfterIdle: 1000,
  cleanupTimeout: 500,
  closeTimeout: 1000,
  suspendTimeout: 2000,
  warm: 0,
  canCheck: false,
  reset: "none",
  yieldAfter: 2048,
  seed: 1,
  share: 1,
  connects: [],
  checks: [],
  resets: []
}

export const well: ConnectPlan = { end: "ok", delay: 0, uninterruptible: false, closeDelay: 0, closeDies: false }
export const fine: WorkPlan = { end: "ok", delay: 0, uninterruptible: false }
