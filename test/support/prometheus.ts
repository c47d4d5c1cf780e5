/** A Prometheus that reads metrics every second. */
import { Effect, Option } from "effect"
import type { Scope } from "effect"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { promisify } from "node:util"
import * as Program from "./program.js"

const program = Program.find("prometheus")
const tool = Program.find("promtool")

export const isInstalled = Option.isSome(program) && Option.isSome(tool)
if (!isInstalled) console.warn("SKIPPED: there is no prometheus on this machine, so no query and no alert is tried")

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly values: ReadonlyArray<readonly [seconds: number, value: number]>
}

export interface Alert {
  readonly name: string
  readonly health: string
  readonly state: string
}

export interface Prometheus {
  readonly query: (expr: string) => Effect.Effect<ReadonlyArray<Sample>>
  /** What the query gives at each second between two times, which are in seconds since 1970. */
  readonly range: (expr: string, from: number, to: number) => Effect.Effect<ReadonlyArray<Series>>
  readonly alerts: Effect.Effect<ReadonlyArray<Alert>>
}

export interface Options {
  /** Programs that have metrics of their own, by their jobs. */
  readonly jobs: Readonly<Record<string, number>>
  /** One that passes metrics on, with the jobs and instances that they come from. */
  readonly collector?: number | undefined
  /** A file of alerts. */
  readonly rules: string
}

export const start = ({ collector, jobs, rules }: Options): Effect.Effect<Prometheus, never, Scope.Scope> =>
  Effect.gen(function*() {
    const folder = yield* Program.makeFolder("pgpool-prometheus-")
    const port = yield* Program.freePort
    const config = join(folder, "prometheus.yml")
    const scrape = (name: string, at: number, keepsLabels = false) => ({
      job_name: name,
      honor_labels: keepsLabels,
      static_configs: [{ targets: [`127.0.0.1:${at}`] }]
    })
    Program.writePrivate(join(folder, basename(rules)), readFileSync(rules, "utf8"))
    // Each JSON is YAML.
    Program.writePrivate(
      config,
      JSON.stringify({
        global: { scrape_interval: "1s", evaluation_interval: "1s" },
        rule_files: [basename(rules)],
        scrape_configs: [
          ...Object.entries(jobs).map(([name, at]) => scrape(name, at)),
          ...collector === undefined ? [] : [scrape("collector", collector, true)]
        ]
      })
    )
    const address = `127.0.0.1:${port}`
    const args = [`--config.file=${config}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=${address}`]
    yield* Program.serve({ folder, command: Option.getOrThrow(program), args, port })
    const api = (path: string, parameters: Readonly<Record<string, string>> = {}) =>
      Effect.promise(async () => {
        const response = await fetch(`http://${address}/api/v1/${path}?${new URLSearchParams(parameters)}`)
        const { data, error } = await response.json() as { readonly data: any; readonly error?: string }
        if (error !== undefined) throw new Error(`${JSON.stringify(parameters)}: ${error}`)
        return data
      })
    return {
      query: (expr) =>
        Effect.map(
          api("query", { query: expr }),
          ({ result }) => (result as Array<any>).map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
        ),
      range: (query, from, to) =>
        Effect.map(
          api("query_range", { query, start: String(from), end: String(to), step: "1" }),
          ({ result }) =>
            (result as Array<any>).map(({ metric, values }) => ({
              metric,
              values: (values as Array<[number, string]>).map(([at, value]) => [at, Number(value)] as const)
            }))
        ),
      alerts: Effect.map(api("rules"), ({ groups }) => (groups as Array<any>).flatMap(({ rules }) => rules))
    }
  })

/** Whether a command of promtool succeeds, and what it says. */
export const promtool = (...args: ReadonlyArray<string>) =>
  Effect.promise(() =>
    promisify(execFile)(Option.getOrThrow(tool), args).then(
      ({ stdout }) => ({ isFine: true, says: stdout }),
      ({ stderr, stdout }: { readonly stdout: string; readonly stderr: string }) => ({
        isFine: false,
        says: `${stdout}${stderr}`
      })
    )
  )
