/**
 * The errors of a pool. Through `SqlClient` each is the `cause` of an `SqlError`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { readable } from "./internal/readable.js"
import { named, oneLine, wordsOf } from "./internal/words.js"
import type { Holder } from "./PoolHolder.js"
import * as PoolHolder from "./PoolHolder.js"
import type { PoolStats } from "./PoolStats.js"

const counts = (stats: PoolStats): string =>
  named(
    stats.name,
    `${stats.busy} busy, ${stats.idle} idle, ${stats.opening} opening, ${stats.checking} checking, ` +
      `${stats.closing} closing, ${stats.waiting} waiting; maxsize ${stats.maxsize}, maxoverflow ${stats.maxoverflow}`
  )

const called = ({ name }: PoolStats): string => name === "" ? "" : ` ${name}`

/**
 * A caller waited for as long as it may, and no connection became free for it (R4, R18). `limit` says which option
 * ended the wait, and the message says what would have helped.
 *
 * If connects have been failing, `cause` is the last connect failure. The message contains it.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolExhausted extends readable(Data.TaggedError("PoolExhausted"))<{
  /** The pool at the moment the caller was refused. */
  readonly stats: PoolStats
  /** The time that the caller had waited, in milliseconds. Time in which the pool was suspended is not counted. */
  readonly waited: number
  /**
   * The option that ended the wait:
   *
   * - `acquireTimeout`: the longest that a caller waits in all.
   * - `outageTimeout`: the longest that a caller waits while connects fail, if that is longer.
   * - `maxwait`, only with `whenFull: "fail"`: the hard limit was reached when `maxwait` had passed.
   * - `connectTimeout`, only with `whenFull: "fail"`: the pool owed the caller a connection, and the caller had waited
   *   for `connectTimeout` beyond `maxwait`.
   * - `connectRetry`: the schedule has come to its end.
   * - `handOver`, which is no option: the caller was given one connection after the other, and each was lost before the
   *   caller could use it.
   */
  readonly limit: "acquireTimeout" | "outageTimeout" | "maxwait" | "connectTimeout" | "connectRetry" | "handOver"
  /**
   * The longest time that this option lets a caller wait in all, in milliseconds. `undefined` with `connectRetry` and
   * `handOver`.
   */
  readonly limitMillis: number | undefined
  /**
   * Whether the pool owed the caller a connection: borrowers did not hold all connections that are allowed, and the
   * rest was enough for this caller and all callers before it. So the caller lacked only time.
   */
  readonly wasOwed: boolean
  /** Who held the connections at that moment, the longest first. */
  readonly holders: ReadonlyArray<Holder>
  readonly cause?: unknown
}> {
  override get message(): string {
    const held = oneLine(PoolHolder.summary(this.holders))
    return `No connection after ${this.waited} ms (${limits[this.limit](this.limitMillis)})${reason(this)} ` +
      `(${counts(this.stats)})${held === "" ? "" : `. Held: ${held}`}`
  }
}

const limits: { readonly [K in PoolExhausted["limit"]]: (millis: number | undefined) => string } = {
  acquireTimeout: (millis) => `acquireTimeout: ${millis} ms`,
  outageTimeout: (millis) => `outageTimeout: ${millis} ms`,
  maxwait: (millis) => `maxwait: ${millis} ms, with whenFull "fail"`,
  connectTimeout: (millis) => `maxwait and connectTimeout: ${millis} ms, with whenFull "fail"`,
  connectRetry: () => "connectRetry has come to its end",
  handOver: () => "each one that was handed over was lost before its use"
}

/** Says what the problem was, and gives only advice that would have helped. */
const reason = ({ cause, limit, limitMillis, stats, wasOwed }: PoolExhausted): string => {
  const { busy, checking, closing, maxoverflow, maxsize, opening, size } = stats
  if (limit === "handOver") return ". Look in the server's log, or at a proxy, for what ends new connections"
  const isShort = limitMillis !== undefined && limitMillis < 1000
  const waitLonger = limit === "maxwait"
    ? "set whenFull to \"wait\""
    : `raise ${limit}${isShort ? " (a bare number is milliseconds)" : ""}`
  const allowMore = "raise maxoverflow if the server can bear it"
  if (!wasOwed && busy >= maxoverflow) {
    const advice = advise("hold connections for a shorter time", allowMore, waitLonger)
    return `: ${all(maxoverflow, "maxoverflow")} in use. ${advice}`
  }
  if (cause !== undefined) return `. The last connect failed: ${wordsOf(cause)}`
  if (!wasOwed) {
    return `: ${all(maxoverflow, "maxoverflow")} in use or on the way to callers before it. ` +
      advise(allowMore, waitLonger)
  }
  if (opening > 0) return `: a connect was still under way. ${advise(waitLonger)}`
  if (checking > 0) return `: a connection was still being checked or reset. ${advise(waitLonger)}`
  if (closing > 0 && size >= maxoverflow) {
    return `: a connection was still being closed, and counts until the server has let go of it. ` +
      advise(allowMore, waitLonger)
  }
  return `: ${all(maxsize, "maxsize")} in use, and maxwait had not passed. ${advise(waitLonger, "lower maxwait")}`
}

const all = (n: number, limit: string): string =>
  n === 1 ? `the only one that ${limit} allows is` : `all ${n} that ${limit} allows are`

const advise = (...what: ReadonlyArray<string>): string => {
  const before = what.slice(0, -1).join(", ")
  const sentence = before === "" ? what.join() : `${before}, or ${what.at(-1)}`
  return `${sentence[0].toUpperCase()}${sentence.slice(1)}.`
}

/**
 * The queue was longer than `maxWaiting`, so the caller was refused at once.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolQueueFull extends readable(Data.TaggedError("PoolQueueFull"))<{
  /** The pool at the moment the caller was refused. */
  readonly stats: PoolStats
  readonly maxWaiting: number
  readonly cause?: unknown
}> {
  override get message(): string {
    return `As many callers as maxWaiting allows, ${this.maxWaiting}, wait already for a connection to come back ` +
      `(${counts(this.stats)}). Send less work at once, or raise maxoverflow or maxWaiting.`
  }
}

/**
 * The pool is closing or closed (R13), or it is being drained: new callers get no connections any more.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolClosed extends readable(Data.TaggedError("PoolClosed"))<{
  /** The pool at the moment the caller was refused. */
  readonly stats: PoolStats
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.stats.state === "draining"
      ? `The pool${called(this.stats)} is drained: it takes no new callers.`
      : `The pool${
        called(this.stats)
      } is closed. Its scope (the layer that provides it) must outlive the effects that use it.`
  }
}

/**
 * All errors with which a pool itself can refuse a caller.
 *
 * @since 0.1.0
 * @category errors
 */
export type PoolError = PoolExhausted | PoolClosed | PoolQueueFull
