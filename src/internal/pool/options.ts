/** @internal */
import type { PoolOptions } from "../../ElasticPool.js"
import type { DurationLimits, NumberLimits } from "../decode.js"
import { BadOption, duration, fieldsOf, fraction, ofType, oneOf, optionsOf, schedule, wholeNumber } from "../decode.js"
import { longestConnect } from "./forecast.js"
import { limitsOf } from "./limits.js"
import { Reach } from "./reach.js"
import { defaultRetry } from "./runtime.js"
import type { Settings } from "./settings.js"

/**
 * The decoded options. `share`, the number of borrowers that may share a resource, is no option of the pool.
 *
 * @internal
 */
export type DecodedPool = Omit<Settings, "share">

/**
 * The defaults of a pool, and the values that each option may have. A soft limit above the default hard limit raises
 * the hard limit, and a hard limit below the default soft limit lowers the soft one: a caller that sets one limit means
 * that one. Throws `BadOption`, as all decoders here do.
 *
 * @internal
 */
export const decodePool = (options: PoolOptions): DecodedPool => {
  optionsOf(options, "{ acquire, maxsize: 2 }")
  const integer = (option: keyof PoolOptions, orElse: number, limits: NumberLimits) =>
    options[option] === undefined ? orElse : wholeNumber(option, options[option], limits)
  const millis = (option: keyof PoolOptions, orElse: number, limits?: DurationLimits) =>
    options[option] === undefined ? orElse : duration(option, options[option], limits)
  const positive = { positive: true }
  const maxsize = options.maxsize !== undefined
    ? integer("maxsize", 0, { min: 1 })
    : Math.min(10, integer("maxoverflow", 10, { min: 1 }))
  const maxoverflow = integer("maxoverflow", Math.max(20, maxsize), { min: maxsize, why: " (not less than maxsize)" })
  const upToMaxsize = { min: 0, max: maxsize, why: " (not more than maxsize)" }
  const isAuto = options.maxwait === undefined || options.maxwait === "auto"
  const maxwait = isAuto ? "auto" : millis("maxwait", 0, { or: ", or \"auto\"" })
  const connectTimeout = millis("connectTimeout", 5000, positive)
  const acquireTimeout = millis("acquireTimeout", 30_000)
  return {
    name: options.name === undefined ? "" : nameOf(options.name),
    maxsize,
    maxoverflow,
    maxwait,
    acquireTimeout,
    limits: limitsOf({
      maxwait: maxwait === "auto" ? longestConnect : maxwait,
      whenFull: options.whenFull === undefined ? "wait" : oneOf("whenFull", options.whenFull, ["wait", "fail"]),
      connectTimeout,
      acquireTimeout,
      outageTimeout: millis("outageTimeout", 10_000)
    }),
    expires: millis("expires", 600_000, positive),
    expiresJitter: options.expiresJitter === undefined ? 0.025 : fraction("expiresJitter", options.expiresJitter),
    minsize: integer("minsize", 1, upToMaxsize),
    idleTimeout: millis("idleTimeout", Infinity, positive),
    maxUses: integer("maxUses", Infinity, { min: 1 }),
    maxWaiting: integer("maxWaiting", Infinity, { min: 1 }),
    connectTimeout,
    connectConcurrency: integer("connectConcurrency", Infinity, { min: 1 }),
    connectRetry: options.connectRetry === undefined ? defaultRetry : schedule("connectRetry", options.connectRetry),
    validateAfterIdle: millis("validateAfterIdle", 1000),
    cleanupTimeout: millis("cleanupTimeout", 500, positive),
    closeTimeout: millis("closeTimeout", 5000),
    suspendTimeout: millis("suspendTimeout", 30_000),
    warm: integer("warm", 0, upToMaxsize),
    leakThreshold: millis("leakThreshold", Infinity, positive)
  }
}

/** In characters. @internal */
export const longestName = 100

const nameOf = (name: unknown): string => {
  if (typeof name === "string" && name.length <= longestName && /^(?=.*\S)\P{Cc}+$/u.test(name)) return name
  throw new BadOption("name", name, `a text of 1 to ${longestName} characters on one line`)
}

/** A `cleanupTimeout` that was set is used as it is; the default grows with the distance. @internal */
export const reachOf = (options: PoolOptions, { cleanupTimeout }: Pick<Settings, "cleanupTimeout">): Reach =>
  new Reach({ millis: cleanupTimeout, isSet: options.cleanupTimeout !== undefined })

/** The decoded options of an `evict`; `over` is in milliseconds. @internal */
export const decodeEvict = (
  options: { readonly over?: unknown; readonly now?: unknown } | undefined
): { readonly over: number; readonly now: boolean } => {
  const { now, over } = fieldsOf("evict", options)
  ofType("now", now, "boolean")
  if (now === true && over !== undefined) throw new BadOption("now", now, "left out where over is given")
  return { over: over === undefined ? 0 : duration("over", over), now: now === true }
}

/** The time that a `drain` may take, in milliseconds. @internal */
export const decodeWithin = (options: { readonly within: unknown }): number =>
  duration("within", fieldsOf("drain", options).within)

/** The new limits of a `resize`. @internal */
export const decodeLimits = (
  current: Settings,
  limits: { readonly maxsize?: number | undefined; readonly maxoverflow?: number | undefined }
): { readonly maxsize: number; readonly maxoverflow: number } => {
  const { maxoverflow = current.maxoverflow, maxsize = current.maxsize } = fieldsOf("resize", limits)
  return {
    maxsize: wholeNumber("maxsize", maxsize, { min: Math.max(1, current.minsize) }),
    maxoverflow: wholeNumber("maxoverflow", maxoverflow, { min: maxsize, why: " (not less than maxsize)" })
  }
}
