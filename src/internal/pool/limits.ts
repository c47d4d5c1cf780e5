/** @internal */
import type { PoolExhausted } from "../../PoolError.js"

/** How long a caller may wait in all, and which option says so. @internal */
export interface WaitLimit {
  readonly limit: PoolExhausted["limit"]
  readonly limitMillis: number
}

/** Why a wait is over. @internal */
export type Refusal = Pick<PoolExhausted, "limit" | "limitMillis" | "wasOwed">

/**
 * The limits of a wait, by what the pool can do for the caller (R4, R18). None is shorter than the one before.
 *
 * @internal
 */
export interface WaitLimits {
  /** All connections that are allowed are in use, or are on their way to callers before it. */
  readonly full: WaitLimit
  /** The pool owes it a connection that no borrower holds: one is opened, checked or closed, or may be opened. */
  readonly owed: WaitLimit
  /** Connects have failed while it waited. */
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

/** `acquireTimeout` bounds every wait but that in an outage. @internal */
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
