/** A day of load in a minute or a few, on a real server: how long callers wait, and how many connections that takes. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { svg } from "./day/chart.js"
import { adaptive, ofTheDay, rival } from "./day/contenders.js"
import type { Options, Played } from "./day/stage.js"
import { playDay } from "./day/stage.js"
import { notes, tableOf } from "./day/words.js"
import type { Goal, Section } from "./report.js"
import { atMost } from "./report.js"

const goals = (played: ReadonlyArray<Played>): ReadonlyArray<Goal> => {
  const [ours, other] = [adaptive, rival].map((wanted) => played.find(({ name }) => name === wanted)!)
  return [
    atMost(`day, ${adaptive}: failures`, ours.failures, 0),
    atMost(`day, ${adaptive}: p99 beside ${rival}`, ours.p99 / other.p99, 1.1),
    atMost(`day, ${adaptive}: mean connections beside ${rival}`, ours.mean / other.mean, 0.5)
  ]
}

/** `pg-pool`, `@effect/sql-pg` and pools of ours play the same day. */
export const day = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { out, seconds } = options
    const outcome = yield* playDay(ofTheDay, options)
    const { plan, played } = outcome
    const chart = "day.svg"
    yield* Effect.promise(() => writeFile(join(dirname(out), chart), svg(plan, played)))
    return [{
      title: `A day in ${seconds} seconds`,
      command: `npm run bench -- day --seconds ${seconds}`,
      markdown: [
        tableOf(played),
        `![The load, and connections held](${chart})`,
        notes(outcome, seconds, "what failed has no time")
      ].join("\n\n"),
      goals: goals(played)
    }]
  })
