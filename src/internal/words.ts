/** @internal */
import { isNativeError } from "node:util/types"

/**
 * Test runners such as Jest run programs in a context of their own, where `Error` is another one than that of Node, whose
 * errors then are no instances of it.
 *
 * @internal
 */
export const isError = (cause: unknown): cause is Error => isNativeError(cause) || cause instanceof Error

/** What a failure says of itself, in a few words. @internal */
export const wordsOf = (cause: unknown): string => isError(cause) ? cause.message || cause.name : String(cause)

/** In one line: a line of a log is read, searched and counted as one. @internal */
export const oneLine = (words: string): string => words.replace(/\s*\n\s*/g, " ").trim()
