/** Whether a stream takes more memory the more of it has been read. */
import { Console, Effect } from "effect"
import type { Name } from "../clients.js"
import { names } from "../clients.js"
import type { Section } from "../report.js"
import { atMost, figure, table } from "../report.js"
import type { Peak } from "./peak.js"
import * as Peaks from "./peak.js"

interface Options {
  readonly url: string
  readonly rows: number
}

const clients: ReadonlyArray<Name> = [names.ours, names.stock, names.pg, names.postgres]

const megabytes = (bytes: number): number => bytes / 2 ** 20

const columns = [
  "MB",
  "heap before",
  "more at most, first quarter",
  "more at most",
  "process before",
  "more at most, first quarter",
  "more at most"
]

const rowOf = (name: Name, { before, early, most }: Peak): ReadonlyArray<string> => [
  name,
  ...(["heap", "rss"] as const).flatMap((kind) =>
    [before[kind], early[kind] - before[kind], most[kind] - before[kind]].map((bytes) => figure(megabytes(bytes)))
  )
]

/** Of all rows at once, three quarters would be several times as much. */
const garbage = 32

export const streamed = ({ rows, url }: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const count = rows.toLocaleString("en")
    const title = `Memory while a stream of ${count} rows is read`
    yield* Console.error(title)
    const peaks = yield* Effect.forEach(clients, (name) => Effect.zip(Effect.succeed(name), Peaks.measure(name, url)))
    const [[, { early, most }]] = peaks
    return {
      title,
      command: "npm run bench -- queries",
      markdown: table(columns, peaks.map(([name, peak]) => rowOf(name, peak))),
      goals: [
        atMost(
          `a stream of ${count} rows, MB of heap that it takes at most, beyond the most in its first quarter`,
          megabytes(most.heap - early.heap),
          garbage
        )
      ]
    }
  })
