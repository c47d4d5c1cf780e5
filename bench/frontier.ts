/** The same day for pools of many sizes: what a shorter wait costs in connections, with ours and with `pg-pool`. */
import { Array as Arr, Effect } from "effect"
import type { Scope } from "effect"
import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Member } from "./day/contenders.js"
import { families } from "./day/contenders.js"
import type { Options as DayOptions, Played } from "./day/stage.js"
import { playDay } from "./day/stage.js"
import { notes, tableOf } from "./day/words.js"
import { svg } from "./frontier/chart.js"
import { curveOf, goalOf } from "./frontier/curve.js"
import type { Section } from "./report.js"

export interface Options extends DayOptions {
  readonly quick: boolean
}

/** All of a family, or its two largest: they are ready first. */
const chosen = (family: ReadonlyArray<Member>, quick: boolean): ReadonlyArray<Member> =>
  quick ? family.slice(-2) : family

/** Where its members stand. Requests that failed are among the times. */
const curve = (family: ReadonlyArray<Member>, played: ReadonlyArray<Played>) =>
  curveOf(family.map(({ name, size }) => {
    const one = played.find((one) => one.name === name)!
    return { size, ...one, ...one.withFailures }
  }))

const failed = "what failed is infinitely slow, in the chart and the goals too"

const explained = [
  "The goals compare each pool of ours with the line that joins `pg-pool`'s points, where that has as many connections.",
  "Where ours has more than any of them, it is compared with the largest `pg-pool`; where it has fewer, `pg-pool` can't",
  "do with so few. The chart has no pool whose p99 is infinite."
].join(" ")

export const frontier = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { out, quick, seconds } = options
    const [ours, rivals] = [families.ours, families.rivals].map((family) => chosen(family, quick))
    // In turn, so that each pool plays at the same time as those of about its size.
    const outcome = yield* playDay(Arr.zip(ours, rivals).flat().map(({ name }) => name), options)
    const [of, against] = [ours, rivals].map((family) => curve(family, outcome.played))
    const chart = "frontier.svg"
    yield* Effect.promise(() => writeFile(join(dirname(out), chart), svg(of, against)))
    return [{
      title: `Connections and waits in a day of ${seconds} seconds`,
      command: `npm run bench -- frontier --seconds ${seconds}`,
      markdown: [
        tableOf([...of, ...against]),
        `![p99 of each pool against its mean connections](${chart})`,
        explained,
        notes(outcome, seconds, failed)
      ].join("\n\n"),
      goals: of.map((one) => goalOf(one, against))
    }]
  })
