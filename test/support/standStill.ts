import { Effect } from "effect"

/** The whole process does nothing else for so long: a large JSON, say, or no processor. */
export const standStill = (millis: number): Effect.Effect<void> =>
  Effect.sync(() => {
    const end = performance.now() + millis
    while (performance.now() < end);
  })
