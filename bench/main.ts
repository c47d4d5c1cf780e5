// What the pool costs beside its peers: npm run bench -- --help
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import type { Scope } from "effect"
import { writeFile } from "node:fs/promises"
import * as Postgres from "../test/support/postgres.js"
import { ask } from "../test/support/server.js"
import type { Arguments, Part } from "./arguments.js"
import { parse, usage } from "./arguments.js"
import { day } from "./day.js"
import { frontier } from "./frontier.js"
import { growth } from "./growth.js"
import { loads } from "./loads.js"
import { overhead } from "./overhead.js"
import { plan } from "./plan.js"
import { queries } from "./queries.js"
import type { Section } from "./report.js"
import { describe, render } from "./report.js"

/**
 * SCRAM makes both sides of a login work for some milliseconds, on purpose. Here they share their processors: in a burst
 * callers would wait for those, and not for connections.
 */
const easeLogins = (url: string) => ask(url, "SET scram_iterations = 1; ALTER ROLE postgres PASSWORD 'postgres'")

const ownServer = Effect.gen(function*() {
  const { url } = yield* Postgres.start({ parameters: { max_connections: "300" } })
  yield* easeLogins(url)
  return url
})

/** The server of the environment, or one of one's own. */
const server = Effect.suspend(() =>
  process.env.DATABASE_URL === undefined ? ownServer : Effect.succeed(process.env.DATABASE_URL)
)

type Run = Effect.Effect<ReadonlyArray<Section>, unknown, Scope.Scope>

const runOf = (options: Arguments, url: string): { readonly [P in Part]: Run } => ({
  overhead: overhead({ ...options, url }),
  queries: queries({ ...options, url }),
  growth: growth({ ...options, url }),
  day: day({ seconds: options.daySeconds, out: options.out, url }),
  frontier: frontier({ seconds: options.daySeconds, quick: options.quick, out: options.out, url }),
  plan: plan({ seconds: options.planSeconds, runs: options.planRuns, url }),
  loads: loads({ seconds: options.loadSeconds, quick: options.quick, url })
})

const measure = (options: Arguments) =>
  Effect.gen(function*() {
    const url = yield* server
    const machine = yield* describe(url)
    const run = runOf(options, url)
    const sections: Array<Section> = []
    for (const part of options.parts) {
      for (const section of yield* run[part]) sections.push(section)
      // After each part: a later one may fail.
      yield* Effect.promise(() => writeFile(options.out, render({ ...options, machine, sections })))
    }
    yield* Console.error(`The report is in ${options.out}`)
  }).pipe(Effect.scoped)

const refuse = (message: string) =>
  Effect.zipRight(
    Console.error(`${message}\n\n${usage}`),
    Effect.sync(() => {
      process.exitCode = 1
    })
  )

parse(process.argv.slice(2)).pipe(
  Effect.flatMap((options) => options.help ? Console.log(usage) : measure(options)),
  Effect.catchIf(
    (error) => error instanceof Error && "_tag" in error && error._tag === "BadArguments",
    (error) => refuse((error as Error).message)
  ),
  NodeRuntime.runMain
)
