/** What a pool costs that has nothing to do but to lend. */
import { Effect, Pool, Stream } from "effect"
import type { Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import { EventEmitter } from "node:events"
import * as Pg from "pg"
import * as Tarn from "tarn"
import { builds } from "./builds.js"
import { fibers, promises } from "./crowd.js"
import { holding } from "./holding.js"
import type { Contender, Figure, Rounds } from "./measure.js"
import { compare, named } from "./measure.js"
import * as Memory from "./memory.js"
import type { Section } from "./report.js"
import { atLeast, atMost, figure, table } from "./report.js"
import { watchedLoans, watchedStatements } from "./watching.js"

export interface Options extends Rounds {
  readonly url: string
  readonly quick: boolean
  /** The folder of another build of this package. */
  readonly against: string | undefined
}

const names = {
  fibers: "the loop alone, fibers",
  ours: "effect-pgpool `use`",
  oursWatched: "effect-pgpool `use` with `leakThreshold`",
  oursHeard: "effect-pgpool `use`, `events` and `loans` consumed",
  oursScoped: "effect-pgpool `get`",
  effects: "Effect 3 `Pool.get`",
  scoped: "a bare `acquireRelease`",
  promises: "the loop alone, promises",
  pgs: "pg-pool",
  tarns: "tarn"
}

const item = Effect.acquireRelease(Effect.sync(() => ({})), () => Effect.void)

/** What pg-pool needs of a client; there is no server behind it. */
class FakeClient extends EventEmitter {
  readonly _queryable = true
  connect(done: () => void): void {
    done()
  }
  end(done: () => void): void {
    done()
  }
}

const size = 10

const options = { acquire: item, maxsize: size, maxoverflow: size, acquireTimeout: "10 minutes" } as const

const pools = Effect.gen(function*() {
  const ours = yield* ElasticPool.make(options)
  const watched = yield* ElasticPool.make({ ...options, leakThreshold: "1 minute" })
  const effects = yield* Pool.make({ acquire: item, size })
  const pgs = yield* Effect.acquireRelease(
    Effect.sync(() => new Pg.Pool({ max: size, Client: FakeClient as unknown as new() => Pg.ClientBase })),
    (pool) => Effect.promise(() => pool.end())
  )
  const tarns = yield* Effect.acquireRelease(
    Effect.sync(() => new Tarn.Pool({ create: () => ({}), destroy: () => {}, min: 0, max: size })),
    (pool) => Effect.promise(() => pool.destroy())
  )
  return { ours, watched, effects, pgs, tarns }
})

/** With somebody who wants to know all. */
const heard = Effect.tap(
  ElasticPool.make(options),
  ({ events, loans }) =>
    Effect.forEach([events, loans], (told) => Effect.forkScoped(Stream.runDrain<unknown, never, never>(told)))
)

/** One alone takes and gives back. */
const alone: Effect.Effect<ReadonlyArray<Contender>, never, Scope.Scope> = Effect.gen(function*() {
  const { effects, ours, pgs, tarns, watched } = yield* pools
  const use = ours.use(() => Effect.void)
  const useHeard = (yield* heard).use(() => Effect.void)
  const useWatched = watched.use(() => Effect.void)
  const get = Effect.scoped(ours.get)
  const effectGet = Effect.scoped(effects.get)
  const scoped = Effect.scoped(item)
  return [
    fibers(names.fibers, 1, () => Effect.void),
    fibers(names.ours, 1, () => use),
    fibers(names.oursWatched, 1, () => useWatched),
    fibers(names.oursHeard, 1, () => useHeard),
    fibers(names.oursScoped, 1, () => get),
    fibers(names.effects, 1, () => effectGet),
    fibers(names.scoped, 1, () => scoped),
    promises(names.promises, 1, async (n) => {
      for (let i = 0; i < n; i++) await undefined
    }),
    promises(names.pgs, 1, async (n) => {
      for (let i = 0; i < n; i++) (await pgs.connect()).release()
    }),
    promises(names.tarns, 1, async (n) => {
      for (let i = 0; i < n; i++) tarns.release(await tarns.acquire().promise)
    })
  ]
})

/** More than there are items: each waits in the queue, is handed an item, takes a step with it, and gives it back. */
const crowded = (count: number): Effect.Effect<ReadonlyArray<Contender>, never, Scope.Scope> =>
  Effect.map(pools, ({ effects, ours, pgs, tarns }) => {
    const step = Effect.yieldNow()
    const use = ours.use(() => step)
    const get = Effect.scoped(Effect.zipRight(ours.get, step))
    const effectGet = Effect.scoped(Effect.zipRight(effects.get, step))
    return [
      fibers(names.fibers, count, () => step),
      fibers(names.ours, count, () => use),
      fibers(names.oursScoped, count, () => get),
      fibers(names.effects, count, () => effectGet),
      promises(names.promises, count, async (n) => {
        for (let i = 0; i < n; i++) await undefined
      }),
      promises(names.pgs, count, async (n) => {
        for (let i = 0; i < n; i++) {
          const client = await pgs.connect()
          await undefined
          client.release()
        }
      }),
      promises(names.tarns, count, async (n) => {
        for (let i = 0; i < n; i++) {
          const resource = await tarns.acquire().promise
          await undefined
          tarns.release(resource)
        }
      })
    ]
  })

const isLoop = (name: string) => name === names.fibers || name === names.promises

/** What it takes more than the loop that it stands in. */
const net = (figures: ReadonlyArray<Figure>, name: string): number => {
  const loop = name === names.pgs || name === names.tarns ? names.promises : names.fibers
  return named(figures, name).wall - named(figures, loop).wall
}

const tableOf = (figures: ReadonlyArray<Figure>): string =>
  table(
    ["one operation", "µs", "least", "most", "µs of CPU", "µs less the loop", "times `use`"],
    figures.map(({ cpu, name, rounds, wall }) => [
      name,
      ...[wall, Math.min(...rounds), Math.max(...rounds), cpu].map(figure),
      ...isLoop(name) ? ["", ""] : [figure(net(figures, name)), figure(net(figures, name) / net(figures, names.ours))]
    ])
  )

const command = "npm run bench -- overhead"

const idle = (options: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const title = "Taking an idle item and giving it back"
    const figures = yield* compare(title, yield* alone, options)
    const ours = net(figures, names.ours)
    return {
      title,
      command,
      markdown: tableOf(figures),
      goals: [
        atLeast("take/give back, Effect 3 `Pool` by ours", net(figures, names.effects) / ours, 10),
        atMost("take/give back, ours by pg-pool", ours / net(figures, names.pgs), 2)
      ]
    }
  }).pipe(Effect.scoped)

const waiting = (count: number, least: number, options: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const title = `Waiting for one of ${size} items, ${count} fibers`
    const figures = yield* compare(title, yield* crowded(count), options)
    const times = net(figures, names.effects) / net(figures, names.ours)
    return {
      title,
      command,
      markdown: tableOf(figures),
      goals: [atLeast(`wait/hand-over, ${count} fibers, Effect 3 \`Pool\` by ours`, times, least)]
    }
  }).pipe(Effect.scoped)

const memory = ({ quick, rounds, url }: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const counts = quick ? { waiters: 1000, sessions: 2 } : { waiters: 10_000, sessions: 20 }
    const [waiters, sessions] = yield* Memory.measure([
      { kind: "waiters", count: counts.waiters, rounds, url },
      { kind: "sessions", count: counts.sessions, rounds, url }
    ])
    return {
      title: "Memory",
      command,
      markdown: table(
        ["", "how many", "bytes for each", "beside"],
        [
          [
            "a waiter, beyond a fiber that is suspended",
            figure(counts.waiters),
            figure(waiters.ours - waiters.other),
            `the fiber: ${figure(waiters.other)}`
          ],
          [
            "an idle connection, on this side",
            figure(counts.sessions),
            figure(sessions.ours),
            `\`pg.Pool\`: ${figure(sessions.other)}`
          ]
        ]
      )
    }
  })

export const overhead = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown> =>
  Effect.all([
    ...options.against === undefined ? [] : [builds(options.against, options)],
    idle(options),
    waiting(64, 2, options),
    waiting(options.quick ? 100 : 1000, 3, options),
    holding(options),
    watchedLoans(options),
    watchedStatements(options),
    memory(options)
  ])
