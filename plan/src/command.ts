/** The command: from its options to what is asked, and from the plan to what is printed. */
import * as Command from "@effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { askedOf } from "./asked.js"
import { mostOverflow } from "./fleet.js"
import type { Mistake } from "./mistake.js"
import { mistake } from "./mistake.js"
import { wrongName } from "./names.js"
import { options } from "./options.js"
import type { Plan, PlayAll } from "./plan.js"
import { make } from "./plan.js"
import { screen, withProgress } from "./progress.js"
import { svg } from "./report/chart.js"
import { html } from "./report/html.js"
import { json } from "./report/json.js"
import { text } from "./report/text.js"
import { counted, noneWords, oneDigit, percent, pool, refusedPart, time } from "./report/words.js"
import { defaultAcquireTimeout } from "./simulate.js"

const reports = { text, json, html, svg }

const command = (playAll: PlayAll) =>
  Command.make("effect-pgpool-plan", options, ({ format = "text", ...given }) =>
    Effect.gen(function*() {
      const asked = yield* Effect.mapError(askedOf({ ...given, format }), mistake)
      const plan = yield* withProgress(screen(), (onProgress) => make(asked, playAll, onProgress))
      yield* Console.log(reports[format](plan).trimEnd())
      if (plan.chosen === undefined) return yield* mistake(noneMeets(plan))
    })).pipe(
      Command.withDescription(
        "Plays a load against the pool of effect-pgpool in simulated time, and tells the smallest pool that serves it."
      )
    )

const noneMeets = (plan: Plan): string => {
  const { best, outcomes } = plan
  const growth = Math.min(...outcomes.map(({ queueGrowth }) => queueGrowth))
  return growth > 0
    ? `No candidate can serve this load: the queue grows for ever, by at least ${
      counted(growth, "caller")
    } each second. ${moreNeeded(plan)}`
    : `${noneWords(plan)}. The closest is ${pool(best.candidate)}: ` +
      `p99 wait ${time(best.wait.p99)}, ${percent(refusedPart(best))} refused${queueBefore(plan)}`
}

const highestOf = ({ outcomes }: Plan): number => Math.max(...outcomes.map(({ candidate }) => candidate.maxoverflow))

/** What to do where no candidate has the connections for the load. */
const moreNeeded = (plan: Plan): string => {
  const { asked: { fleet }, demand } = plan
  const most = mostOverflow(fleet)
  return `${oneDigit(demand.mean)} connections are in use on average where there are enough: ${
    most > highestOf(plan)
      ? "take a higher --maxoverflow"
      : `--max-connections ${fleet.maxConnections} leaves each process ${most}, so let the server allow more`
  }, or make the statements shorter`
}

/** Callers that are refused end a queue that else grew for ever. */
const queueBefore = (plan: Plan): string => {
  const { asked: { options: { acquireTimeout = defaultAcquireTimeout, whenFull } }, demand } = plan
  return whenFull === "fail" || acquireTimeout === 0 || demand.mean <= highestOf(plan)
    ? ""
    : `. The queue grows until callers are refused, who have waited ${time(acquireTimeout)}. ${moreNeeded(plan)}`
}

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

/** The parser of the command line puts one behind each mistake. */
const withoutEmptyLines = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Console.consoleWith((console) =>
    Effect.withConsole(self, { ...console, error: (text) => console.error(String(text).trimEnd()) })
  )

/** Runs the command with the arguments of a process, the first two of which are node and the program. */
export const run = (playAll: PlayAll) => (args: ReadonlyArray<string>) => {
  const wrong = wrongName(args.slice(2))
  return wrong === undefined
    ? Effect.tapErrorTag(
      withoutEmptyLines(Command.run(command(playAll), { name: "effect-pgpool-plan", version })(args)),
      "Mistake",
      ({ message }: Mistake) => Console.error(message)
    )
    : Effect.zipRight(Console.error(wrong), mistake(wrong))
}
