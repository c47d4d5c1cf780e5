/** @internal */
import * as Duration from "effect/Duration"
import { isNativeError } from "node:util/types"

/**
 * Test runners such as Jest run programs in a context of their own. There `Error` is not the class of Node's own
 * errors.
 *
 * @internal
 */
export const isError = (cause: unknown): cause is Error =>
  isNativeError(cause) || readOr(() => cause instanceof Error, false)

/** What is a program's own may do anything when it is looked at: a getter may throw, or a proxy may be revoked. @internal */
export const readOr = <A>(read: () => A, orElse: A): A => {
  try {
    return read()
  } catch {
    return orElse
  }
}

/**
 * An error and its causes, outermost first. A foreign error may be its own cause, so there is a limit.
 *
 * @internal
 */
export const causes = (error: unknown): ReadonlyArray<unknown> => {
  const found: Array<unknown> = []
  while (found.length < 32 && error !== undefined && error !== null) {
    found.push(error)
    error = causeOf(error)
  }
  return found
}

const causeOf = (error: unknown): unknown => readOr(() => (error as { readonly cause?: unknown }).cause, undefined)

/** Marks an error of this package: its message has the words of its causes. @internal */
export const saysAll = Symbol.for("effect-pgpool/saysAll")

/** @internal */
export const isReadable = (error: unknown): error is Error => isError(error) && readOr(() => saysAll in error, false)

/** The messages of a failure and its causes, in a few words, none of them twice. @internal */
export const wordsOf = (failure: unknown): string => wordsTo(failure, deepestPart)

const deepestPart = 3

const wordsTo = (failure: unknown, depth: number): string => {
  let said = ownWords(failure, depth)
  for (const error of causes(failure)) {
    if (!isError(error) || isReadable(error)) break
    const cause = causeOf(error)
    const more = cause === undefined ? "" : ownWords(cause, depth)
    if (!said.includes(more)) said += `: ${more}`
  }
  return said
}

const ownWords = (failure: unknown, depth: number): string =>
  readOr(() => {
    if (!isError(failure)) return String(failure)
    return String(failure.message || partsOf(failure, depth) || ("code" in failure ? failure.code : failure.name))
  }, "a failure that can't be read")

/** For several failures at once, as where a name has several addresses, Node gives no message of its own. */
const partsOf = (failure: object, depth: number): string =>
  depth > 0 && "errors" in failure && Array.isArray(failure.errors)
    ? [...new Set(failure.errors.slice(0, mostParts).map((part) => wordsTo(part, depth - 1)))].join("; ")
    : ""

const mostParts = 10

/** Joins the lines: a log is read, searched and counted by lines. @internal */
export const oneLine = (words: string): string =>
  words.split("\n").map((line) => line.trim()).filter((line) => line !== "").join(" ")

/** A line of the log: that of a pool with a name begins with it. @internal */
export const named = (pool: string, line: string): string => pool === "" ? line : `${pool}: ${line}`

/** @internal */
export const formatMillis = (millis: number): string => Duration.format(Duration.millis(millis))
