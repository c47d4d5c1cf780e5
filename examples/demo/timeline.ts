/** Records demand, open connections and steps over time. */
import { Clock, Effect } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"

/** Something that had this value from this time on, in milliseconds since the beginning. */
export interface Point {
  readonly at: number
  readonly value: number
}

export interface Mark {
  readonly at: number
  readonly title: string
}

export interface Record {
  readonly demand: ReadonlyArray<Point>
  readonly open: ReadonlyArray<Point>
  readonly steps: ReadonlyArray<Mark>
  readonly end: number
}

export interface Timeline {
  readonly step: (title: string) => Effect.Effect<void>
  readonly demand: (change: 1 | -1) => Effect.Effect<void>
  /** Records the pool for the life of the scope. */
  readonly watch: Effect.Effect<void, never, PgPool.PgPool | Scope.Scope>
  readonly record: Effect.Effect<Record>
}

export const make: Effect.Effect<Timeline> = Effect.gen(function*() {
  const begin = yield* Clock.currentTimeMillis
  const now = Effect.map(Clock.currentTimeMillis, (time) => time - begin)
  const demand: Array<Point> = [{ at: 0, value: 0 }]
  const open: Array<Point> = [{ at: 0, value: 0 }]
  const steps: Array<Mark> = []

  const push = (series: Array<Point>, next: (last: number) => number) =>
    Effect.map(now, (at) => {
      const last = series.at(-1)?.value ?? 0
      const value = next(last)
      if (value !== last) series.push({ at, value })
    })

  return {
    step: (title) => Effect.map(now, (at) => void steps.push({ at, title })),
    demand: (change) => push(demand, (last) => last + change),
    watch: Effect.flatMap(
      PgPool.PgPool,
      (pool) =>
        Effect.flatMap(pool.stats, ({ size }) => push(open, () => size)).pipe(
          Effect.zipRight(Effect.sleep("10 millis")),
          Effect.forever,
          Effect.forkScoped,
          Effect.asVoid
        )
    ),
    record: Effect.map(now, (end) => ({ demand: [...demand], open: [...open], steps: [...steps], end }))
  }
})
