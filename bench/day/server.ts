/** What is measured of the server: what a connect takes, how much it can serve, how many connections it has. */
import { Array as Arr, Effect, Redacted, Schedule } from "effect"
import type { Scope } from "effect"
import * as Pg from "pg"
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

/** How often in a second so many connections together can do a statement. */
export const capacity = (url: string, statement: string, connections: number): Effect.Effect<number> =>
  Effect.promise(async () => {
    const each = 200
    const pool = new Pg.Pool({ connectionString: url, max: connections })
    const round = () =>
      Promise.all(Arr.makeBy(connections, async () => {
        for (let i = 0; i < each; i++) await pool.query(statement)
      }))
    await round()
    const begin = performance.now()
    await round()
    const seconds = (performance.now() - begin) / 1000
    await pool.end()
    return connections * each / seconds
  })

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
