/** What all inputs do with the lines that they read. */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import type { Requests } from "./requests.js"

/** Stops at the first mistake. */
export const takeAll = <A>(items: Chunk.Chunk<A>, take: (item: A) => Mistake | undefined) =>
  Effect.suspend(() => {
    for (const item of items) {
      const wrong = take(item)
      if (wrong !== undefined) return Effect.fail(wrong)
    }
    return Effect.void
  })

/** Spreads requests whose times are not exact, and gives the note that says so. */
export const spreadTimes = (file: string, requests: Requests): Effect.Effect<ReadonlyArray<string>, Mistake> =>
  Effect.suspend(() => {
    const unit = requests.unit()
    if (unit === undefined) return Effect.succeed([])
    if (unit === "hour") {
      return mistake(`The times of ${file} are whole hours: they do not tell how requests come within them`)
    }
    requests.spread(unit, 1)
    return Effect.succeed([
      `The times are whole ${unit}s: the requests of a ${unit} are spread over it by chance.`
    ])
  })
