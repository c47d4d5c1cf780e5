/** What all inputs do with the lines that they read. */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { Mistake } from "../mistake.js"

/** Stops at the first mistake. */
export const takeAll = <A>(items: Chunk.Chunk<A>, take: (item: A) => Mistake | undefined) =>
  Effect.suspend(() => {
    for (const item of items) {
      const wrong = take(item)
      if (wrong !== undefined) return Effect.fail(wrong)
    }
    return Effect.void
  })

/** Said of a file whose times are so. */
export const wholeSeconds = "The times are whole seconds: the requests of a second are spread over it by chance."
