/** @internal */
import { isNativeError } from "node:util/types"

/**
 * Test runners such as Jest run programs in a context of their own, where `Error` is another one than that of Node, whose
 * errors then are no instances of it.
 *
 * @internal
 */
export const isError = (cause: unknown): cause is Error => isNativeError(cause) || cause instanceof Error

/**
 * An error and what caused it, outermost first. Something else than an error of ours may be its own cause.
 *
 * @internal
 */
export const causes = (error: unknown): ReadonlyArray<unknown> => {
  const found: Array<unknown> = []
  while (found.length < 32 && error !== undefined && error !== null) {
    found.push(error)
    error = (error as { readonly cause?: unknown }).cause
  }
  return found
}

/** Marks an error of ours, whose message has the words of its causes. @internal */
export const saysAll = Symbol.for("effect-pgpool/saysAll")

/** What a failure says of itself and of its causes, in a few words, and nothing of it twice. @internal */
export const wordsOf = (failure: unknown): string => {
  let said = ownWords(failure)
  for (let error = failure; isError(error) && !(saysAll in error); error = error.cause) {
    const more = error.cause === undefined ? "" : ownWords(error.cause)
    if (!said.includes(more)) said += `: ${more}`
  }
  return said
}

const ownWords = (failure: unknown): string => {
  if (!isError(failure)) return String(failure)
  return failure.message || partsOf(failure) || String("code" in failure ? failure.code : failure.name)
}

/** Of several failures at once, as where a name has several addresses, Node itself says nothing. */
const partsOf = (failure: object): string =>
  "errors" in failure && Array.isArray(failure.errors) ? [...new Set(failure.errors.map(wordsOf))].join("; ") : ""

/** In one line: a line of a log is read, searched and counted as one. @internal */
export const oneLine = (words: string): string => words.replace(/\s*\n\s*/g, " ").trim()
