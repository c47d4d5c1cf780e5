/** What it costs that somebody looks on. */
import { Reactivity } from "@effect/experimental"
import { Effect, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"
import { look } from "./browser.js"
import { fibers } from "./crowd.js"
import type { Contender, Figure, Rounds } from "./measure.js"
import { compare, named } from "./measure.js"
import type { Section } from "./report.js"
import { atMost, figure, table } from "./report.js"

interface Options extends Rounds {
  readonly url: string
}

const names = {
  loop: "the loop alone",
  off: "nothing on",
  metrics: "metrics on, as by default",
  page: "metrics on, and the live page in one browser",
  all: "metrics on, and all events and loans listened to"
}

type Name = keyof typeof names

const makePool = (url: string, metrics: boolean) =>
  Effect.provide(
    PgPool.make({ url: Redacted.make(url), name: `bench ${metrics}`, maxsize: 1, maxoverflow: 1, metrics }),
    Reactivity.layer
  )

/** Pools that differ only in who looks on. */
const pools = (url: string) =>
  Effect.gen(function*() {
    const off = yield* makePool(url, false)
    const metrics = yield* makePool(url, true)
    const page = yield* makePool(url, true)
    yield* look(page)
    const all = yield* makePool(url, true)
    yield* Effect.forkScoped(Stream.runDrain(all.events))
    yield* Effect.forkScoped(Stream.runDrain(all.loans))
    return { off, metrics, page, all }
  })

const watched = ["off", "metrics", "page", "all"] as const

const contenders = (
  url: string,
  body: (pool: PgPool.PgPool) => Effect.Effect<unknown, unknown>
): Effect.Effect<ReadonlyArray<Contender>, unknown, Scope.Scope> =>
  Effect.map(pools(url), (pools) => [
    fibers(names.loop, 1, () => Effect.void),
    ...watched.map((name) => {
      const effect = body(pools[name])
      return fibers(names[name], 1, () => effect)
    })
  ])

const more = (figures: ReadonlyArray<Figure>, name: Name): number =>
  named(figures, names[name]).wall - named(figures, names.off).wall

const percent = (figures: ReadonlyArray<Figure>, name: Name): number =>
  100 * more(figures, name) / named(figures, names.off).wall

const tableOf = (figures: ReadonlyArray<Figure>): string =>
  table(
    ["one operation", "µs", "least", "most", "µs more", "% more"],
    figures.map(({ name, rounds, wall }) => [
      name,
      ...[wall, Math.min(...rounds), Math.max(...rounds)].map(figure),
      ...watched.slice(1).filter((one) => names[one] === name).flatMap((one) =>
        [more(figures, one), percent(figures, one)].map(figure)
      )
    ])
  )

const command = "npm run bench -- overhead"

export const watchedLoans = (options: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const title = "Taking a connection and giving it back, while somebody looks on"
    const figures = yield* compare(
      title,
      yield* contenders(options.url, (pool) => pool.use(() => Effect.void)),
      options
    )
    return {
      title,
      command,
      markdown: tableOf(figures),
      goals: [atMost("metrics, µs a loan", more(figures, "metrics"), 0.3)]
    }
  }).pipe(Effect.scoped)

export const watchedStatements = (options: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const title = "`SELECT 1`, while somebody looks on"
    const figures = yield* compare(title, yield* contenders(options.url, ({ client }) => client`SELECT 1`), options)
    return {
      title,
      command,
      markdown: tableOf(figures),
      goals: [
        atMost("metrics, % of a statement", percent(figures, "metrics"), 1),
        atMost("the live page, % of a statement", percent(figures, "page"), 10),
        atMost("everything listened to, % of a statement", percent(figures, "all"), 10)
      ]
    }
  }).pipe(Effect.scoped)
