/** Plays the worked example of django_pgpool against a real PostgreSQL: `npm run demo`, `npm run demo -- --help`. */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Data, Duration, Effect, Exit, Layer, Logger, LogLevel, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { parseArgs } from "node:util"
import * as Postgres from "../../test/support/postgres.js"
import * as Chart from "./chart.js"
import * as Observer from "./observer.js"
import { Report } from "./report.js"
import * as Steps from "./steps.js"
import * as Timeline from "./timeline.js"
import * as View from "./view.js"

const usage = `Usage: npm run demo -- [--chart FILE] [--watch]

Plays the worked example of django_pgpool against an embedded PostgreSQL, and compares
what the pool says and what pg_stat_activity says with what was promised.

  --chart FILE   where to write the chart (SVG); default: in a new temporary folder
  --watch        serves the pool's live page, and plays on until it is stopped
  --help         shows this

DATABASE_URL     a server of your own, instead of the embedded one: any user will do, nothing is
                 created there; ${Steps.seed.maxoverflow + 2} connections must be free, and no pooler in between`

class BadArguments extends Data.TaggedError("BadArguments")<{ readonly message: string }> {}

const parse = Effect.try({
  try: () =>
    parseArgs({
      options: { chart: { type: "string" }, watch: { type: "boolean" }, help: { type: "boolean", short: "h" } }
    }).values,
  catch: (error) => new BadArguments({ message: error instanceof Error ? error.message : String(error) })
})

/** The name by which the sessions of this run are known to the server. */
const applicationName = `effect-pgpool demo ${process.pid} ${Math.random().toString(36).slice(2, 8)}`

const services = (url: string, isWatched: boolean) =>
  Layer.merge(
    Observer.layer(url, applicationName),
    Layer.provideMerge(
      isWatched ? Layer.provide(Dashboard.layer(), Logger.minimumLogLevel(LogLevel.Warning)) : Layer.empty,
      PgPool.layer({
        ...Steps.seed,
        name: "demo",
        expires: Duration.millis(Steps.seed.expires),
        url: Redacted.make(url),
        applicationName
      })
    )
  )

/** So that one can see each state before the next. */
const pace = Effect.sleep("250 millis")

const demo = Effect.gen(function*() {
  const { chart, help, watch = false } = yield* parse
  if (help === true) return yield* Console.log(usage)
  if (chart !== undefined) yield* checkChart(chart)
  const view = yield* View.make(process.stdout)
  yield* Effect.raceFirst(present(view, chart, watch), view.closed)
}).pipe(Effect.scoped)

const present = (view: View.View, chart: string | undefined, isWatched: boolean) =>
  Effect.gen(function*() {
    const url = process.env["DATABASE_URL"] || (yield* startServer(view))
    const timeline = yield* Timeline.make
    const report = Report.of({
      step: (title) => Effect.zipRight(timeline.step(title), view.step(title)),
      check: (check) => Effect.zipRight(view.check(check), pace),
      demand: timeline.demand
    })
    if (isWatched) yield* view.say("The pool's live page: http://127.0.0.1:7432/ (Ctrl-C ends it)")
    const result = yield* Effect.all([view.watch, timeline.watch]).pipe(
      Effect.zipRight(isWatched ? playOn : Effect.exit(Steps.play())),
      Effect.scoped,
      Effect.provide(services(url, isWatched)),
      Effect.provideService(Report, report)
    )
    const file = yield* writeChart(chart, Chart.svg(yield* timeline.record, Steps.seed))
    yield* view.say(`\nThe chart is in ${file}`)
    yield* result
    yield* view.say("All is as promised")
  })

/** Again and again. Only the first time the pool begins empty, as the checks expect it. */
const playOn = Effect.zipRight(
  Effect.exit(Steps.play()),
  Effect.forever(Effect.ignore(Steps.play())).pipe(
    Effect.provideService(
      Report,
      Report.of({ step: () => Effect.void, check: () => Effect.void, demand: () => Effect.void })
    )
  )
)

const startServer = (view: View.View) =>
  Effect.gen(function*() {
    yield* view.say("Starting an embedded PostgreSQL ...")
    const { folder, url } = yield* Postgres.start()
    yield* view.say(`It is in ${folder} and will be removed at the end`)
    return url
  })

/** Better at the beginning than after half a minute. */
const checkChart = (chart: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.dirname(path.resolve(chart))
    yield* Effect.mapError(
      fs.access(folder, { writable: true }),
      () => new BadArguments({ message: `The chart can't be written: ${folder} is no folder that you may write to` })
    )
  })

const writeChart = (chart: string | undefined, content: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.resolve(
      chart ?? path.join(yield* fs.makeTempDirectory({ prefix: "effect-pgpool-demo-" }), "chart.svg")
    )
    yield* fs.writeFileString(file, content)
    return file
  })

let status = 0
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.once(signal, () => {
    status = code
  })
}

demo.pipe(
  Effect.tapErrorCause((cause) => {
    if (Cause.isInterruptedOnly(cause)) return Effect.void
    const error = Cause.squash(cause)
    if (error instanceof View.OutputClosed) return Effect.void
    if (error instanceof BadArguments) return Console.error(`${error.message}\n\n${usage}`)
    return Console.error(Cause.isFailure(cause) && error instanceof Error ? error.message : Cause.pretty(cause))
  }),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      if (status !== 0 || Exit.isSuccess(exit)) return onExit(status)
      onExit(Cause.squash(exit.cause) instanceof BadArguments ? 2 : 1)
    }
  })
)
