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

/** What a connection is really held for by one that sleeps for so many milliseconds: the median of thirty. */
export const sleepTime = (url: string, millis: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { query } = yield* watch(Redacted.make(url))
    return median(yield* Effect.all(Arr.replicate(timed(query(`select pg_sleep(${millis / 1000})`)), 30)))
  }).pipe(Effect.scoped)

const timed = <R>(effect: Effect.Effect<unknown, never, R>): Effect.Effect<number, never, R> =>
  Effect.suspend(() => {
    const begin = performance.now()
    return Effect.map(effect, () => performance.now() - begin)
  })

/** The median of nine connects, in milliseconds. */
export const connectTime = (url: string): Effect.Effect<number> =>
  Effect.map(Effect.all(Arr.replicate(Effect.scoped(timed(watch(Redacted.make(url)))), 9)), median)

/** Counts the connections of an application every 100 ms, until the scope is closed. */
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
    yield* Effect.forkScoped(Effect.repeat(count, Schedule.fixed("100 millis")))
    return samples
  })
