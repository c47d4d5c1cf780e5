import { Effect } from "effect"

/** One of the things that are compared: a name, and an effect that does `operations` of them. */
export interface Contender {
  readonly name: string
  readonly run: (operations: number) => Effect.Effect<unknown, unknown>
}

/** The median time of one operation, in microseconds, and all rounds. */
export interface Figure {
  readonly name: string
  readonly median: number
  readonly rounds: ReadonlyArray<number>
}

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1]

/**
 * Runs the contenders in turn, round by round, so that a machine whose speed drifts drifts for all of them. One round
 * before those that count warms up.
 */
export const compare = (
  contenders: ReadonlyArray<Contender>,
  { operations, rounds = 5 }: { readonly operations: number; readonly rounds?: number }
): Effect.Effect<ReadonlyArray<Figure>, unknown> =>
  Effect.gen(function*() {
    const times = contenders.map((): Array<number> => [])
    for (let round = 0; round <= rounds; round++) {
      for (const [i, contender] of contenders.entries()) {
        const started = process.hrtime.bigint()
        yield* contender.run(operations)
        const micros = Number(process.hrtime.bigint() - started) / 1000 / operations
        if (round > 0) times[i].push(micros)
      }
    }
    return contenders.map(({ name }, i) => ({ name, median: median(times[i]), rounds: times[i] }))
  })

/** A Markdown table; the ratio is to the first contender, which is ours. */
export const table = (title: string, figures: ReadonlyArray<Figure>): string =>
  [
    `### ${title}`,
    "",
    "| | µs for one | least | most | ratio |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...figures.map(({ median, name, rounds }) =>
      `| ${name} | ${median.toFixed(2)} | ${Math.min(...rounds).toFixed(2)} | ${Math.max(...rounds).toFixed(2)} | ` +
      `${(median / figures[0].median).toFixed(2)} |`
    ),
    ""
  ].join("\n")
