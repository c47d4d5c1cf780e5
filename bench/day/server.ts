/** What is measured of the server: what a connect takes, and how many connections it has. */
import { Array as Arr, Effect, Redacted, Schedule } from "effect"
import type { Scope } from "effect"
import { median } from "simple-statistics"
import { watch } from "../../test/support/server.js"

/** Connections that there were, so many milliseconds after the beginning. */
export interface Sample {
  readonly at: number
  readonly connections: number
}

/** The median of nine connects, in milliseconds. */
export const connectTime = (url: string): Effect.Effect<number> => {
  const once = Effect.sync(() => performance.now()).pipe(
    Effect.flatMap((begin) => Effect.map(watch(Redacted.make(url)), () => performance.now() - begin)),
    Effect.scoped
  )
  return Effect.map(Effect.all(Arr.replicate(once, 9)), median)
}

/** Counts the connections of an application every 50 ms, until the scope is closed. */
export const sample = (
  url: string,
  applicationName: string
): Effect.Effect<ReadonlyArray<Sample>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const observer = yield* watch(Redacted.make(url))
    const samples: Array<Sample> = []
    const begin = performance.now()
    const count = Effect.map(
      observer.sessions(applicationName),
      ({ length }) => samples.push({ at: performance.now() - begin, connections: length })
    )
    yield* Effect.forkScoped(Effect.repeat(count, Schedule.fixed("50 millis")))
    return samples
  })
