/** What was asked for on the command line. */
import { Data, Effect } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { shapes } from "./clients.js"
import type { Grid } from "./queries/grids.js"
import * as Grids from "./queries/grids.js"

export const parts = ["overhead", "queries", "growth", "day", "frontier", "loads", "plan"] as const
export type Part = typeof parts[number]

export interface Arguments {
  readonly parts: ReadonlyArray<Part>
  readonly rounds: number
  /** About how long each contender works in each round. */
  readonly seconds: number
  /** How long the day is. */
  readonly daySeconds: number
  /** How long each contender of the loads works in each place. */
  readonly loadSeconds: number
  /** How long each run of the planner's loads is, and how many of each there are. */
  readonly planSeconds: number
  readonly planRuns: number
  readonly grids: ReadonlyArray<Grid>
  /** Whether the memory of queries is measured as well. */
  readonly memory: boolean
  /** In how many processes those are asked that goals are about. */
  readonly processes: number
  /** The folder of another build of this package. */
  readonly against: string | undefined
  readonly quick: boolean
  readonly out: string
  readonly help: boolean
}

export const usage = `Usage: npm run bench -- [${parts.join("] [")}] [options]

Measures the pool beside its peers and writes a report. Without a part all of them, in about an hour. Against the
server of DATABASE_URL, which must allow 180 connections and a schema effect_pgpool_bench, or one of its own.

  --out FILE         where the report goes; default: bench/report.md
  --rounds N         rounds that count, after one to warm up; default: 5
  --millis N         about how long each contender works in each round; default: 200
  --seconds N        day, frontier: how long the day is, for each contender; default: 180
  --load-seconds N   loads: how long each contender works in each place; default: 40
  --plan-seconds N   plan: how long each run is, of which there are three for each load and pool; default: 60
  --against DIR      overhead: also measures another build of this package, such as that of the commit before: its dist
  --processes N      queries: in how many, one after the other, those are asked that goals are about; default: 2; 1 with --all or --quick
  --quick            the least that shows that everything works; its figures mean nothing
  --help

What queries asks; default: what the goals are about. Several values are separated by commas.
  --connections N    default, if one of these is given: 2
  --fibers N         default: 64
  --shape NAME       ${shapes.join(", ")}; default: short
  --delay N          milliseconds to the server, each way; default: 0
  --all              1, 2, 5 and 10 connections with 1, 8, 64 and 512 fibers in all shapes, near and 1 ms away; more than an hour
`

export class BadArguments extends Data.TaggedError("BadArguments")<{ readonly message: string }> {}

const bad = (message: string): never => {
  throw new BadArguments({ message })
}

const oneOf = <A extends string>(what: string, text: string, allowed: ReadonlyArray<A>): A =>
  allowed.find((value) => value === text) ?? bad(`${what} is one of ${allowed.join(", ")}, not "${text}"`)

const whole = (name: string, text: string, least = 1): number =>
  /^\d+$/.test(text) && Number(text) >= least
    ? Number(text)
    : bad(`--${name} is a whole number of at least ${least}, not "${text}"`)

/** Where the package is not built, it has its sources. */
const build = (folder: string): string =>
  ["ElasticPool.js", "ElasticPool.ts"].some((file) => existsSync(join(folder, file)))
    ? folder
    : bad(`--against is the folder of a build, with ElasticPool.js; ${folder} has none`)

const read = (args: ReadonlyArray<string>) =>
  parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      out: { type: "string", default: fileURLToPath(new URL("./report.md", import.meta.url)) },
      rounds: { type: "string" },
      millis: { type: "string" },
      seconds: { type: "string" },
      "load-seconds": { type: "string" },
      "plan-seconds": { type: "string" },
      processes: { type: "string" },
      against: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      connections: { type: "string" },
      fibers: { type: "string" },
      shape: { type: "string" },
      delay: { type: "string" },
      all: { type: "boolean", default: false }
    }
  })

type Values = ReturnType<typeof read>["values"]

const namesGrid = ({ connections, delay, fibers, shape }: Values): boolean =>
  (connections ?? fibers ?? shape ?? delay) !== undefined

const gridsOf = (values: Values) => {
  const { all, connections, delay, fibers, quick, shape } = values
  if (all) return Grids.all
  if (!namesGrid(values)) return quick ? Grids.quick : Grids.usual
  const list = (text: string) => text.split(",")
  return list(shape ?? "short").flatMap((shape) =>
    list(delay ?? "0").map((delay) => ({
      shape: oneOf("--shape", shape, shapes),
      delay: whole("delay", delay, 0),
      connections: list(connections ?? "2").map((count) => whole("connections", count)),
      fibers: list(fibers ?? "64").map((count) => whole("fibers", count))
    }))
  )
}

export const parse = (args: ReadonlyArray<string>): Effect.Effect<Arguments, BadArguments> =>
  Effect.try({
    try: () => {
      const { positionals, values } = read(args)
      const { help, out, quick } = values
      return {
        parts: positionals.length === 0 ? parts : positionals.map((text) => oneOf("a part", text, parts)),
        rounds: whole("rounds", values.rounds ?? (quick ? "1" : "5")),
        seconds: whole("millis", values.millis ?? (quick ? "5" : "200")) / 1000,
        daySeconds: whole("seconds", values.seconds ?? (quick ? "8" : "180")),
        loadSeconds: whole("load-seconds", values["load-seconds"] ?? (quick ? "1" : "40")),
        planSeconds: whole("plan-seconds", values["plan-seconds"] ?? (quick ? "2" : "60")),
        planRuns: quick ? 1 : 3,
        grids: gridsOf(values),
        memory: !namesGrid(values),
        processes: whole("processes", values.processes ?? (quick || values.all ? "1" : "2")),
        against: values.against === undefined ? undefined : build(values.against),
        quick,
        out,
        help
      }
    },
    catch: (error) => error instanceof BadArguments ? error : new BadArguments({ message: (error as Error).message })
  })
