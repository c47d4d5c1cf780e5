import { Effect, Pool } from "effect"
import { ElasticPool } from "effect-pgpool"
import type { Contender, Figure } from "./measure.js"
import { compare } from "./measure.js"

const item = Effect.acquireRelease(Effect.sync(() => ({})), () => Effect.void)

/** A fiber that takes a step, so that a pool's users are really in each other's way. */
const step = Effect.yieldNow()

const times = <E>(n: number, effect: Effect.Effect<unknown, E>): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    for (let i = 0; i < n; i++) yield* effect
  })

const pools = Effect.gen(function*() {
  const ours = yield* ElasticPool.make({ acquire: item, maxsize: 10, maxoverflow: 10, acquireTimeout: "10 minutes" })
  const effects = yield* Pool.make({ acquire: item, size: 10 })
  return { ours, effects }
})

/** Taking an idle item and giving it back, by one fiber. */
export const idle: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.scoped(Effect.gen(function*() {
  const { effects, ours } = yield* pools
  return yield* compare([
    { name: "effect-pgpool `use`", run: (n) => times(n, ours.use(() => Effect.void)) },
    { name: "effect-pgpool `get`", run: (n) => times(n, Effect.scoped(ours.get)) },
    { name: "Effect 3 `Pool.get`", run: (n) => times(n, Effect.scoped(effects.get)) },
    { name: "an empty `acquireRelease`", run: (n) => times(n, Effect.scoped(item)) }
  ], { operations: 20_000 })
}))

/** Fibers that want more items than there are: each waits in the queue and is handed an item. */
export const contended = (fibers: number): Effect.Effect<ReadonlyArray<Figure>, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const { effects, ours } = yield* pools
    const crowd = (effect: Effect.Effect<unknown, unknown>) => (n: number) =>
      Effect.forEach(Array.from({ length: fibers }), () => times(n / fibers, effect), {
        concurrency: "unbounded",
        discard: true
      })
    const contenders: ReadonlyArray<Contender> = [
      { name: "effect-pgpool `use`", run: crowd(ours.use(() => step)) },
      { name: "Effect 3 `Pool.get`", run: crowd(Effect.scoped(Effect.zipRight(effects.get, step))) }
    ]
    return yield* compare(contenders, { operations: fibers * Math.max(1, Math.round(6400 / fibers)) })
  }))
