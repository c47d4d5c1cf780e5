/** What becomes of the pool and of its peers under the same faults: `npm run faults -- --help`. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Option } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { cpus, loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import type { Case, Report } from "../test/support/faults/case.js"
import { cases } from "../test/support/faults/cases.js"
import type { Name } from "../test/support/faults/contender.js"

const usage = `Usage: npm run faults -- [--only TEXT,...] [--out faults.md]

Plays the cases of \`npm run test:faults\` with this pool and its peers, each in a process of its own, in turn, and
writes a table of what became of their callers.

  --only TEXT,...  only cases with one of these in their names, such as "blackhole"`

const contenders: ReadonlyArray<Name> = ["effect-pgpool", "@effect/sql-pg", "pg.Pool"]

/** What it reports, or how its process ended. */
type Result = Report | string

/** Milliseconds. What has not ended by then hangs. */
const patience = 60_000

const player = fileURLToPath(new URL("../test/support/faults/player.ts", import.meta.url))

const start = (title: string, name: Name) =>
  Effect.acquireRelease(
    Effect.sync(() => fork(player, [title, name], { stdio: ["ignore", "ignore", "pipe", "ipc"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Of an error that nobody has caught, what it says. */
const lastWords = (stderr: string) => stderr.split("\n").find((line) => /^\S*error: /i.test(line.trim()))?.trim() ?? "?"

const playWith = (title: string, name: Name): Effect.Effect<Result> =>
  Effect.gen(function*() {
    const child = yield* start(title, name)
    let stderr = ""
    child.stderr!.on("data", (chunk) => stderr += chunk)
    const exited = once(child, "exit").then(() => `**its process ended**: ${lastWords(stderr)}`)
    const result = Effect.promise(() => Promise.race([once(child, "message").then(([one]) => one as Report), exited]))
    return Option.getOrElse(yield* Effect.timeoutOption(Effect.disconnect(result), patience), () => "**it hangs**")
  }).pipe(Effect.scoped)

const millis = (value: number | null) => value === null || value === Infinity ? "never" : `${Math.round(value)} ms`

const columns = [
  "",
  "ok",
  "failed",
  "past their deadline",
  "latest",
  "full rate after",
  "dials/s",
  "sockets",
  "usable",
  "acknowledged and lost"
]

/** A process that has told nothing has left its calls unanswered. */
const row = (name: Name, result: Result): ReadonlyArray<string> =>
  typeof result === "string" ? [name, result, ...columns.slice(2).map(() => "")] : [
    name,
    String(result.ok),
    String(result.failed),
    `${result.deadlines}${result.stuck > 0 ? `, ${result.stuck} stuck` : ""}`,
    `+${Math.round(result.late)} ms`,
    result.before > 0 ? millis(result.recovery) : "",
    result.dials.toFixed(1),
    String(result.sockets),
    `${result.usable} of 10`,
    String(result.faults.filter((fault) => fault.includes("acknowledged and is not there")).length)
  ]

const table = (rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [columns, columns.map((_, i) => i === 0 ? "---" : "---:"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join(
    "\n"
  )

const section = (one: Case) =>
  Effect.gen(function*() {
    const rows: Array<ReadonlyArray<string>> = []
    for (const name of contenders) {
      yield* Console.error(`${one.name}: ${name}`)
      rows.push(row(name, yield* playWith(one.name, name)))
    }
    return `### ${one.name}\n\nDeadline of each caller: ${one.deadline} ms.\n\n${table(rows)}`
  })

const versionOf = (name: string): string =>
  JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), "utf8")).version

const machine = [
  `- ${new Date().toISOString()}, \`npm run faults\``,
  `- ${cpus().length} x ${cpus()[0].model}, load ${loadavg()[0].toFixed(1)} before; Node ${process.version}`,
  `- @effect/sql-pg ${versionOf("@effect/sql-pg")}, pg ${versionOf("pg")}, pg-pool ${versionOf("pg-pool")}`
].join("\n")

const program = Effect.gen(function*() {
  const { help, only, out } = parseArgs({
    options: {
      only: { type: "string", default: "" },
      out: { type: "string", default: "faults.md" },
      help: { type: "boolean", short: "h", default: false }
    }
  }).values
  if (help) return yield* Console.log(usage)
  const sections: Array<string> = []
  for (const one of cases.filter(({ name }) => only.split(",").some((text) => name.includes(text)))) {
    const missing = one.missing?.()
    sections.push(missing === undefined ? yield* section(one) : `### ${one.name}\n\nSkipped: ${missing}`)
    // After each: a later one may fail.
    yield* Effect.promise(() => writeFile(out, [machine, ...sections].join("\n\n") + "\n"))
  }
  yield* Console.error(`The table is in ${out}`)
})

NodeRuntime.runMain(program)
