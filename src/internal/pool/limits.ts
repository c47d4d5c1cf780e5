/** @internal */
import type { PoolExhausted } from "../../PoolError.js"

/** The longest that a caller may wait in all, and the option that says so. @internal */
export interface WaitLimit {
  readonly limit: PoolExhausted["limit"]
  readonly limitMillis: number
}

/** The reason why a wait is over. @internal */
export type Refusal = Pick<PoolExhausted, "limit" | "limitMillis" | "wasOwed">

/**
 * The limits of a wait, by what the pool can do for the caller (R4, R18). No limit is shorter than the one before.
 *
 * @internal
 */
export interface WaitLimits {
  /** The limit while all allowed connections are in use, or are on their way to callers before this one. */
  readonly full: WaitLimit
  /**
   * The limit while the pool owes the caller a connection that no borrower holds: one is being opened, checked or
   * closed, or may be opened.
   */
  readonly owed: WaitLimit
  /** The limit if connects have failed while the caller waited. */
  readonly outage: WaitLimit
}

interface Options {
  /** The longest that a caller waits before it is due. */
  readonly maxwait: number
  readonly whenFull: "wait" | "fail"
  readonly connectTimeout: number
  readonly acquireTimeout: number
  readonly outageTimeout: number
}

/** Derives the limits of a wait. `acquireTimeout` bounds every wait except one in an outage. @internal */
export const limitsOf = (
  { acquireTimeout, connectTimeout, maxwait, outageTimeout, whenFull }: Options
): WaitLimits => {
  const inAll: WaitLimit = { limit: "acquireTimeout", limitMillis: acquireTimeout }
  const limit = (option: WaitLimit["limit"], millis: number): WaitLimit =>
    whenFull === "fail" && millis < acquireTimeout ? { limit: option, limitMillis: millis } : inAll
  return {
    full: limit("maxwait", maxwait),
    owed: limit("connectTimeout", maxwait + connectTimeout),
    outage: outageTimeout > acquireTimeout ? { limit: "outageTimeout", limitMillis: outageTimeout } : inAll
  }
}
