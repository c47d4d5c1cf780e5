/** What is kept for a statement that waits for a connection, besides its fiber. */
import { Effect } from "effect"
import { names } from "../clients.js"
import type { Rounds } from "../measure.js"
import * as Memory from "../memory.js"
import type { Goal, Section } from "../report.js"
import { atMost, figure, table } from "../report.js"

interface Options extends Rounds {
  readonly url: string
  readonly quick: boolean
}

/** At most half of the bytes that it was when the goal was set. */
const clients = [
  { name: names.ours, most: 3380 },
  { name: names.multiplex, most: 3114 },
  { name: names.stock, most: undefined }
] as const

export const waiting = ({ quick, rounds, url }: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const count = quick ? 1000 : 10_000
    const answers = yield* Memory.measure(
      clients.map(({ name }) => ({ kind: "waiting", client: name, count, rounds, url }) as const)
    )
    const weights = clients.map((client, i) => ({ ...client, ...answers[i], kept: answers[i].ours - answers[i].other }))
    return {
      title: `Memory of ${count.toLocaleString("en")} statements that wait for a connection`,
      command: "npm run bench -- queries",
      markdown: table(
        ["bytes for each", "fiber and statement", "a fiber that is suspended", "beyond the fiber"],
        weights.map(({ kept, name, other, ours }) => [name, ...[ours, other, kept].map(figure)])
      ),
      goals: weights.flatMap(({ kept, most, name }): ReadonlyArray<Goal> =>
        most === undefined ? [] : [atMost(`bytes of a statement that waits, beyond its fiber, ${name}`, kept, most)]
      )
    }
  })
