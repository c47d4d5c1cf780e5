/** What it costs that the pool always knows who holds its items. */
import { Effect } from "effect"
import type { Scope } from "effect"
import type * as Internal from "../src/internal/elasticPool.js"
import type { Contender } from "./measure.js"
import { compare, named, timed } from "./measure.js"
import type { Rounds } from "./measure.js"
import type { Section } from "./report.js"
import { atMost, figure, table } from "./report.js"

const names = {
  nobody: "nobody is remembered",
  holder: "the fiber and its span are remembered, as always"
}

/** Nobody but the pool itself can leave that out, so it is measured below the public face. */
const internal = Effect.promise(() =>
  import(new URL("internal/elasticPool.js", import.meta.resolve("effect-pgpool")).href) as Promise<typeof Internal>
)

const options = { acquire: Effect.succeed({}), maxsize: 1, maxoverflow: 1 } as const

const contender = (name: string, remembers: boolean): Effect.Effect<Contender, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { makeState } = yield* internal
    const state = yield* makeState(options)
    // What forgets the list that was shown last. Both call it in the same way, so that only what it does is measured.
    const { holders } = state
    const changed = holders.changed
    holders.changed = remembers ? () => changed.call(holders) : () => {}
    // The first loan waits until there is an item.
    yield* Effect.async<void>((resume) => {
      state.request(false, (exit) => {
        if (exit._tag === "Success") exit.value.end()
        resume(Effect.void)
      })
    })
    const lap = (operations: number) =>
      Effect.withFiberRuntime<void>((fiber) => {
        const borrower = remembers ? fiber : undefined
        for (let i = 0; i < operations; i++) {
          const taken = state.take(borrower)
          if (taken !== undefined && "begin" in taken && taken.begin()) taken.end()
          else throw new Error("there is no idle item")
        }
        return Effect.void
      })
    return { name, lap: (operations) => timed(Effect.withSpan(lap(operations), "holder")) }
  })

const command = "npm run bench -- overhead"

export const holding = (options: Rounds): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const title = "Remembering who holds an item"
    const figures = yield* compare(
      title,
      [yield* contender(names.nobody, false), yield* contender(names.holder, true)],
      options
    )
    const more = named(figures, names.holder).wall - named(figures, names.nobody).wall
    return {
      title,
      command,
      markdown: table(
        ["take and give back, without fibers around it", "µs", "least", "most", "µs more"],
        figures.map(({ name, rounds, wall }) => [
          name,
          ...[wall, Math.min(...rounds), Math.max(...rounds)].map(figure),
          name === names.holder ? figure(more) : ""
        ])
      ),
      goals: [atMost("who holds what, µs a loan", more, 0.05)]
    }
  }).pipe(Effect.scoped)
