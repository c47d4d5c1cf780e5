/** @internal */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import * as Schedule from "effect/Schedule"
import type { PoolOptions } from "../ElasticPool.js"
import { longestConnect } from "./pool/forecast.js"
import { limitsOf } from "./pool/limits.js"
import type { Settings } from "./pool/settings.js"

/** An option whose value is not allowed. @internal */
export class BadOption {
  constructor(readonly option: string, readonly value: unknown, readonly allowed: string) {}

  get message(): string {
    return `${this.option}: ${show(this.value)} is not allowed, it must be ${this.allowed}`
  }
}

const show = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : Inspectable.toStringUnknown(value, 0)

interface Limits {
  readonly min: number
  readonly max?: number
  /** Said after the range. */
  readonly why?: string
}

/** @internal */
export const wholeNumber = (
  option: string,
  value: unknown,
  limits: Limits
): number => {
  const max = limits.max ?? Infinity
  if (typeof value === "number" && Number.isInteger(value) && value >= limits.min && value <= max) return value
  const range = max === Infinity ? `of at least ${limits.min}` : `from ${limits.min} to ${max}`
  throw new BadOption(option, value, `a whole number ${range}${limits.why ?? ""}`)
}

interface DurationLimits {
  readonly positive?: boolean
  /** What else is allowed, said at the end. */
  readonly or?: string
}

/**
 * Decodes a duration to milliseconds. `Duration.decode` itself takes negative numbers for zero. A part of a millisecond
 * is refused: it is a number of seconds, as 0.2 is in other pools.
 *
 * @internal
 */
export const duration = (option: string, value: unknown, limits?: DurationLimits): number => {
  const decoded = isNegative(value) ? undefined : decode(value)
  const millis = decoded === undefined ? NaN : Duration.toMillis(decoded)
  if (Number.isFinite(millis) && (millis >= 1 || millis === 0 && limits?.positive !== true)) return millis
  const range = limits?.positive === true ? "of a millisecond or more" : "of zero, or of a millisecond or more"
  throw new BadOption(
    option,
    value,
    `a finite duration ${range}, such as "200 millis" or a number of milliseconds${limits?.or ?? ""}`
  )
}

const isNegative = (value: unknown): boolean =>
  typeof value === "number" || typeof value === "bigint"
    ? !(value >= 0)
    : Array.isArray(value)
    ? value.some(isNegative)
    : typeof value === "string" && value.trim().startsWith("-")

const decode = (value: unknown): Duration.Duration | undefined => {
  try {
    return Duration.decode(value as Duration.DurationInput)
  } catch {
    return undefined
  }
}

const part = (option: string, value: unknown): number => {
  if (typeof value === "number" && value >= 0 && value < 1) return value
  throw new BadOption(option, value, "a number from 0 up to, but not including, 1")
}

/** @internal */
export const schedule = (option: string, value: unknown): Schedule.Schedule<unknown, unknown> => {
  if (Schedule.isSchedule(value)) return value as Schedule.Schedule<unknown, unknown>
  throw new BadOption(option, value, "a Schedule")
}

const whenFull = (value: PoolOptions["whenFull"] = "wait"): "wait" | "fail" => {
  if (value === "wait" || value === "fail") return value
  throw new BadOption("whenFull", value, `"wait" or "fail"`)
}

const typed = { string: "a string", function: "a function", boolean: "true or false", object: "an object" } as const

/** A value of which nothing more is asked than its type, if there is one. @internal */
export const ofType = (option: string, value: unknown, type: keyof typeof typed): void => {
  if (value !== undefined && (typeof value !== type || value === null)) throw new BadOption(option, value, typed[type])
}

/** 50 ms, growing to 500 ms, each up to a fifth shorter by chance (R18). */
const defaultConnectRetry = Schedule.exponential(50).pipe(
  Schedule.either(Schedule.spaced(500)),
  Schedule.jitteredWith({ min: 0.8, max: 1 })
)

/** Whether its resources can be shared is not the user's choice. */
type Decoded = Omit<Settings, "share">

/**
 * The defaults of design and README, and what is allowed. A soft limit above the default hard limit raises the hard
 * limit, and a hard limit below the default soft limit lowers the soft one: who sets one of them means that one.
 */
const settings = (options: PoolOptions): Decoded => {
  const integer = (option: keyof PoolOptions, orElse: number, limits: Limits) =>
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
    maxsize,
    maxoverflow,
    maxwait,
    acquireTimeout,
    limits: limitsOf({
      maxwait: maxwait === "auto" ? longestConnect : maxwait,
      whenFull: whenFull(options.whenFull),
      connectTimeout,
      acquireTimeout,
      outageTimeout: millis("outageTimeout", 10_000)
    }),
    expires: millis("expires", 600_000, positive),
    expiresJitter: options.expiresJitter === undefined ? 0.025 : part("expiresJitter", options.expiresJitter),
    minsize: integer("minsize", 1, upToMaxsize),
    idleTimeout: millis("idleTimeout", Infinity, positive),
    maxUses: integer("maxUses", Infinity, { min: 1 }),
    maxWaiting: integer("maxWaiting", Infinity, { min: 1 }),
    connectTimeout,
    connectConcurrency: integer("connectConcurrency", Infinity, { min: 1 }),
    connectRetry: options.connectRetry === undefined
      ? defaultConnectRetry
      : schedule("connectRetry", options.connectRetry),
    validateAfterIdle: millis("validateAfterIdle", 1000),
    cleanupTimeout: millis("cleanupTimeout", 500, positive),
    closeTimeout: millis("closeTimeout", 5000),
    suspendTimeout: millis("suspendTimeout", 30_000),
    warm: integer("warm", 0, upToMaxsize),
    leakThreshold: millis("leakThreshold", Infinity, positive)
  }
}

/** Runs a decoder that throws `BadOption`. @internal */
export const attempt = <A>(decoder: () => A): Either.Either<A, BadOption> => {
  try {
    return Either.right(decoder())
  } catch (error) {
    if (error instanceof BadOption) return Either.left(error)
    throw error
  }
}

/** @internal */
export const decodePool = (options: PoolOptions): Either.Either<Decoded, BadOption> => attempt(() => settings(options))

/** The options of a method: an object, or none. A duration in its place would not be looked at. @internal */
export const fieldsOf = <A extends object>(option: string, value: A | undefined): Partial<A> => {
  if (value === undefined) return {}
  if (typeof value === "object" && value !== null) return value
  throw new BadOption(option, value, "an object of options")
}

/** How an `evict` goes about it; `over` in milliseconds. @internal */
export const decodeEvict = (
  options: { readonly over?: unknown; readonly now?: unknown } | undefined
): Either.Either<{ readonly over: number; readonly now: boolean }, BadOption> =>
  attempt(() => {
    const { now, over } = fieldsOf("evict", options)
    ofType("now", now, "boolean")
    if (now === true && over !== undefined) throw new BadOption("now", now, "left out where over is given")
    return { over: over === undefined ? 0 : duration("over", over), now: now === true }
  })

/** How long a `drain` may take, in milliseconds. @internal */
export const decodeWithin = (options: { readonly within: unknown }): Either.Either<number, BadOption> =>
  attempt(() => duration("within", fieldsOf("drain", options).within))

/** The new limits of a `resize`. @internal */
export const decodeLimits = (
  current: Settings,
  limits: { readonly maxsize?: number | undefined; readonly maxoverflow?: number | undefined }
): Either.Either<{ readonly maxsize: number; readonly maxoverflow: number }, BadOption> =>
  attempt(() => {
    const { maxoverflow = current.maxoverflow, maxsize = current.maxsize } = fieldsOf("resize", limits)
    return {
      maxsize: wholeNumber("maxsize", maxsize, { min: Math.max(1, current.minsize) }),
      maxoverflow: wholeNumber("maxoverflow", maxoverflow, { min: maxsize, why: " (not less than maxsize)" })
    }
  })
