/** The report: what was measured, where, and how to measure it again. */
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { cpus, loadavg } from "node:os"
import { ask } from "../test/support/server.js"
import type { Ratio } from "./measure.js"

export interface Section {
  readonly title: string
  /** What measures it again. */
  readonly command: string
  readonly markdown: string
  readonly goals?: ReadonlyArray<Goal> | undefined
}

/** What was hoped for, and what came of it. */
export interface Goal {
  readonly goal: string
  readonly measured: string
  readonly met: string
}

const verdict = (isMet: boolean, isPossible: boolean): string =>
  isMet ? "yes" : isPossible ? "within the noise" : "**no**"

const intervalOf = (measured: number | Ratio): Ratio =>
  typeof measured === "number" ? { median: measured, from: measured, to: measured } : measured

export const atLeast = (goal: string, measured: number | Ratio, least: number): Goal => {
  const { median, to } = intervalOf(measured)
  return { goal: `${goal}: at least ${least}`, measured: ratio(measured), met: verdict(median >= least, to >= least) }
}

export const atMost = (goal: string, measured: number | Ratio, most: number): Goal => {
  const { from, median } = intervalOf(measured)
  return { goal: `${goal}: at most ${most}`, measured: ratio(measured), met: verdict(median <= most, from <= most) }
}

const quotient = (value: number): string =>
  value === Infinity ? "∞" : Math.abs(value) >= 100 ? figure(value) : value.toFixed(2)

/** With what the rounds leave open. */
export const ratio = (value: number | Ratio): string =>
  typeof value === "number"
    ? quotient(value)
    : `${quotient(value.median)} (${quotient(value.from)} to ${quotient(value.to)})`

/** A Markdown table. The columns but the first stand to the right. */
export const table = (columns: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [columns, columns.map((_, i) => i === 0 ? "---" : "---:"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join(
    "\n"
  )

/** More digits would be noise. */
export const figure = (value: number): string =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString()

const peers = ["effect", "@effect/sql", "@effect/sql-pg", "pg", "pg-pool", "postgres", "tarn"]

/** Read from its folder, since not every package exports its own. */
const versionOf = (name: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    const file = await readFile(new URL(`../node_modules/${name}/package.json`, import.meta.url), "utf8")
    return `${name} ${JSON.parse(file).version}`
  })

const serverVersion = (url: string): Effect.Effect<string> =>
  Effect.map(ask(url, "SHOW server_version"), ([{ server_version }]) => server_version)

/** Where it was measured, as it was before. */
export const describe = (url: string): Effect.Effect<string> =>
  Effect.gen(function*() {
    const versions = yield* Effect.forEach(peers, versionOf)
    const built = import.meta.resolve("effect-pgpool").endsWith("/dist/index.js")
    return [
      `- ${new Date().toISOString()}`,
      `- ${cpus().length} x ${cpus()[0].model}, load ${loadavg().map((load) => load.toFixed(1)).join(" ")} before`,
      `- Node ${process.version}, PostgreSQL ${yield* serverVersion(url)}`,
      `- effect-pgpool, ${built ? "as it is built" : "from its sources, which are slower than what is built"}`,
      `- beside ${versions.join(", ")}`
    ].join("\n")
  })

const goalsOf = (goals: ReadonlyArray<Goal>): ReadonlyArray<string> =>
  goals.length === 0 ? [] : [
    "## Goals",
    table(
      ["of the parts that ran", "measured", "met"],
      goals.map(({ goal, measured, met }) => [goal, measured, met])
    )
  ]

export const render = (
  { machine, quick, rounds, sections }: {
    readonly machine: string
    readonly quick: boolean
    readonly rounds: number
    readonly sections: ReadonlyArray<Section>
  }
): string =>
  [
    "# What the pool costs beside its peers",
    machine,
    ...quick ? ["**Of `--quick`: that everything works is all that it shows. The figures mean nothing.**"] : [],
    `What stands in one table was measured in turn in one run, round by round; the clients of queries and of the days are ` +
    `each in a process of its own. Figures are medians of ${rounds} rounds, after one to warm up, and so is how many ` +
    "times one is by another: of the rounds' own ratios, with the interval in which their median lies, nineteen times in " +
    "twenty. Of queries those that goals are about have as many rounds in each of their processes, of which there may be " +
    "several. CPU time is that of the contender's process.",
    ...goalsOf(sections.flatMap(({ goals = [] }) => goals)),
    ...sections.flatMap(({ command, markdown, title }) => [`## ${title}`, `\`${command}\``, markdown])
  ].join("\n\n") + "\n"
