/** What the user has to change: a sentence without a stack, and exit status 2. */
import * as Data from "effect/Data"

export class Mistake extends Data.TaggedError("Mistake")<{ readonly message: string }> {}

export const mistake = (message: string): Mistake => new Mistake({ message })
