/** @internal */
import * as Duration from "effect/Duration"
import { isNativeError } from "node:util/types"

/**
 * Test runners such as Jest run programs in a context of their own, where `Error` is another one than that of Node, whose
 * errors then are no instances of it.
 *
 * @internal
 */
export const isError = (cause: unknown): cause is Error =>
  isNativeError(cause) || readOr(() => cause instanceof Error, false)

/** What a program fails with may be anything: a getter may throw, or a proxy have been revoked. */
const readOr = <A>(read: () => A, orElse: A): A => {
  try {
    return read()
  } catch {
    return orElse
  }
}

/**
 * An error and what caused it, outermost first. Something else than an error of ours may be its own cause.
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

/** Marks an error of ours, whose message has the words of its causes. @internal */
export const saysAll = Symbol.for("effect-pgpool/saysAll")

/** @internal */
export const isReadable = (error: unknown): error is Error => isError(error) && readOr(() => saysAll in error, false)

/** What a failure says of itself and of its causes, in a few words, and nothing of it twice. @internal */
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

/** Of several failures at once, as where a name has several addresses, Node itself says nothing. */
const partsOf = (failure: object, depth: number): string =>
  depth > 0 && "errors" in failure && Array.isArray(failure.errors)
    ? [...new Set(failure.errors.slice(0, mostParts).map((part) => wordsTo(part, depth - 1)))].join("; ")
    : ""

const mostParts = 10

/** In one line: a line of a log is read, searched and counted as one. @internal */
export const oneLine = (words: string): string =>
  words.split("\n").map((line) => line.trim()).filter((line) => line !== "").join(" ")

/** @internal */
export const formatMillis = (millis: number): string => Duration.format(Duration.millis(millis))
