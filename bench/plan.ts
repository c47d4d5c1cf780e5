/** Whether the planner foretells what a real pool does: from a recording of it, and from one of a pool of another size. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Console, Effect, Redacted } from "effect"
import type { Scope } from "effect"
import * as Proxy from "../src/internal/testing/proxy.js"
import type { Comparison } from "./plan/compare.js"
import { apart, compare } from "./plan/compare.js"
import { loads } from "./plan/loads.js"
import type { Goal, Section } from "./report.js"
import { atMost, table } from "./report.js"

export interface Options {
  readonly url: string
  /** How long each run is. */
  readonly seconds: number
  readonly runs: number
}

/** How much longer connects take than on this machine, in milliseconds: so that they count. */
export const connectDelay = 40

const nameOf = ({ candidate: { maxoverflow, maxsize, maxwait }, load }: Comparison): string =>
  `${load}, ${maxsize} / ${maxwait === "auto" ? maxwait : `${maxwait} ms`} / ${maxoverflow}`

const row = (comparison: Comparison): ReadonlyArray<string> => {
  const { foretold, real } = comparison
  return [nameOf(comparison), ...[real.mean, foretold.mean, real.p99, foretold.p99].map((figure) => figure.toFixed(1))]
}

const goals = (comparison: Comparison): ReadonlyArray<Goal> => {
  const { foretold, real } = comparison
  const name = `plan, ${nameOf(comparison)}`
  return [
    atMost(
      `${name}: connections, foretold beside real`,
      Math.max(foretold.mean, real.mean) / Math.min(foretold.mean, real.mean),
      1.2
    ),
    atMost(`${name}: p99 wait, foretold beside real`, apart(foretold.p99, real.p99), 1.5)
  ]
}

export const plan = ({ runs, seconds, url }: Options): Effect.Effect<ReadonlyArray<Section>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const door = yield* Proxy.start(Redacted.make(url))
    door.connectDelay = connectDelay
    const comparisons: Array<Comparison> = []
    for (const load of loads(seconds)) {
      yield* Console.error(`Plan, ${load[0]}`)
      for (const comparison of yield* compare(Redacted.value(door.url), load, runs)) comparisons.push(comparison)
    }
    return [{
      title: "What the planner foretells",
      command: `npm run bench -- plan --plan-seconds ${seconds}`,
      markdown: [
        table(["", "connections", "foretold", "p99 wait ms", "foretold"], comparisons.map(row)),
        `Each load is played ${runs} times for ${seconds} s on a real server, and all figures are medians of these. Each ` +
        "request is a \`pg_sleep\` of 20 ms and more, 40 on average. The pool of 2 / auto / 10 was recorded, and the planner was " +
        "given the recordings; the other pool was foretold from the same ones. A connect took what it took on average in the run " +
        "to foretell. A run whose requests were made late, because the machine was busy, was played again."
      ].join("\n\n"),
      goals: comparisons.flatMap(goals)
    }]
  }).pipe(Effect.provide(NodeFileSystem.layer))
