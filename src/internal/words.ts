/** @internal */

/** What a failure says of itself, in a few words. @internal */
export const wordsOf = (cause: unknown): string => cause instanceof Error ? cause.message || cause.name : String(cause)
