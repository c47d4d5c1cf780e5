/** @internal */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { readable } from "./readable.js"

/** An option whose value is not allowed. @internal */
export class BadOption {
  constructor(readonly option: string, readonly value: unknown, readonly allowed: string) {}

  get message(): string {
    return `${this.option}: ${show(this.value)} is not allowed, it must be ${this.allowed}`
  }
}

const show = (value: unknown): string =>
  typeof value === "string"
    ? JSON.stringify(value)
    : typeof value === "bigint"
    ? `${value}n`
    : Inspectable.toStringUnknown(value, 0)

// --- One value ---

/** The values that a number may have. @internal */
export interface NumberLimits {
  readonly min: number
  readonly max?: number
  /** Added to the message behind the range. */
  readonly why?: string
}

/** @internal */
export const wholeNumber = (option: string, value: unknown, limits: NumberLimits): number => {
  const max = limits.max ?? Infinity
  if (typeof value === "number" && Number.isInteger(value) && value >= limits.min && value <= max) return value
  const range = max === Infinity ? `of at least ${limits.min}` : `from ${limits.min} to ${max}`
  throw new BadOption(option, value, `a whole number ${range}${limits.why ?? ""}`)
}

/** The values that a duration may have. @internal */
export interface DurationLimits {
  readonly positive?: boolean
  /** What else the option may be; added at the end of the message. */
  readonly or?: string
}

/**
 * Decodes a duration to milliseconds. `Duration.decode` itself takes negative numbers for zero. A part of a millisecond
 * is refused, because it is meant as seconds: other pools write 0.2 for 200 milliseconds.
 *
 * @internal
 */
export const duration = (option: string, value: unknown, limits?: DurationLimits): number => {
  const decoded = isNegative(value) ? undefined : decodeDuration(value)
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

const decodeDuration = (value: unknown): Duration.Duration | undefined => {
  try {
    return Duration.decode(value as Duration.DurationInput)
  } catch {
    return undefined
  }
}

/** @internal */
export const fraction = (option: string, value: unknown): number => {
  if (typeof value === "number" && value >= 0 && value < 1) return value
  throw new BadOption(option, value, "a number from 0 up to, but not including, 1")
}

/** @internal */
export const schedule = (option: string, value: unknown): Schedule.Schedule<unknown, unknown> => {
  if (Schedule.isSchedule(value)) return value as Schedule.Schedule<unknown, unknown>
  throw new BadOption(option, value, "a Schedule")
}

/** @internal */
export const oneOf = <const A extends string>(option: string, value: unknown, words: ReadonlyArray<A>): A => {
  if (words.includes(value as A)) return value as A
  const quoted = words.map((word) => JSON.stringify(word))
  throw new BadOption(option, value, `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`)
}

const typed = { string: "a string", function: "a function", boolean: "true or false", object: "an object" } as const

/** For an option of which only the type is checked. It may be left out. @internal */
export const ofType = (option: string, value: unknown, type: keyof typeof typed): void => {
  if (value !== undefined && (typeof value !== type || value === null)) throw new BadOption(option, value, typed[type])
}

class NoOptions extends BadOption {
  constructor(kind: string, example: string) {
    super("options", kind, example)
  }

  /** What came instead is not shown: it may have a password. */
  override get message(): string {
    return `The options must be an object, such as ${this.allowed}, and not ${this.value}`
  }
}

/** Undefined for what may be options. */
const otherKind = (value: unknown): string | undefined => {
  if (value === null || value === undefined) return String(value)
  if (Redacted.isRedacted(value)) return "a Redacted"
  if (Array.isArray(value)) return "an array"
  // As a `Config` is one, and an `Option`.
  if (Effect.isEffect(value)) return "an Effect"
  if (Predicate.isPromise(value)) return "a Promise"
  return typeof value === "object" ? undefined : `a ${typeof value}`
}

/** The options that a pool is made of. Anything else would be taken for none of them. @internal */
export const optionsOf = <A extends object>(options: A, example: string): A => {
  const kind = otherKind(options)
  if (kind === undefined) return options
  throw new NoOptions(kind, example)
}

/** The options of a method: an object, or none. A duration in its place would be ignored, so it is refused. @internal */
export const fieldsOf = <A extends object>(option: string, value: A | undefined): Partial<A> => {
  if (value === undefined) return {}
  if (typeof value === "object" && value !== null) return value
  throw new BadOption(option, value, "an object of options")
}

// --- A whole decoder ---

/** Runs a decoder that throws `BadOption`. @internal */
export const attempt = <A>(decoder: () => A): Either.Either<A, BadOption> => {
  try {
    return Either.right(decoder())
  } catch (error) {
    if (error instanceof BadOption) return Either.left(error)
    throw error
  }
}

/** For options that are literals in the program: there a bad one is a mistake of the programmer. @internal */
export const orDie = <A>(decoded: Either.Either<A, BadOption>): Effect.Effect<A> =>
  Either.isRight(decoded)
    ? Effect.succeed(decoded.right)
    : misuse(decoded.left.message)

/** The same, where no effect runs that could die of it. @internal */
export const orThrow = <A>(decoded: Either.Either<A, BadOption>): A => {
  if (Either.isRight(decoded)) return decoded.right
  throw new Misuse(decoded.left.message)
}

/** A mistake of the programmer that is none of an option. @internal */
export const misuse = (message: string): Effect.Effect<never> => Effect.die(new Misuse(message))

/** @internal */
export class Misuse extends readable(Cause.IllegalArgumentException) {}
