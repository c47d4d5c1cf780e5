/** A long storm on an embedded PostgreSQL, see test/support/storm.ts: `npm run storm -- --help`. */
import { NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Data, Effect, Redacted } from "effect"
import { loadavg } from "node:os"
import { parseArgs } from "node:util"
import * as Postgres from "../test/support/postgres.js"
import * as Storm from "../test/support/storm.js"

const usage = `Usage: npm run storm -- [--seconds 120] [--seed 1] [--fibers 32] [--client pool|prepared|multiplex|stock]
                             [--only NAME] [--kill 150]
       npm run storm -- --innocents 10000 [--seconds 600] [--seed 1] [--fibers 32]
                             [--client pool|prepared|multiplex|stock]

Interrupts everything that one can do with the pool, at any moment, and looks for what must not be.

  --innocents N   half of the statements are cut off, and N others must not notice; --seconds is the most it may take
  --only NAME     only operations with this in their names, such as "listen"
  --kill MILLIS   kills a session each so many milliseconds: callers may fail then, but nothing else may be different
  --client prepared
                  the same with prepared statements, very few for each connection
  --client multiplex
                  the same with connections that plain statements share
  --client stock  the same with PgClient.make of @effect/sql-pg, for comparison`

class BadArguments extends Data.TaggedError("BadArguments")<{ readonly message: string }> {}
class NotAsPromised extends Data.TaggedError("NotAsPromised")<{ readonly message: string }> {}

const parse = Effect.try({
  try: () => {
    const { client, fibers, help, innocents, kill, only, seconds, seed } = parseArgs({
      options: {
        seconds: { type: "string" },
        seed: { type: "string", default: "1" },
        fibers: { type: "string", default: "32" },
        client: { type: "string", default: "pool" },
        innocents: { type: "string" },
        only: { type: "string", default: "" },
        kill: { type: "string" },
        help: { type: "boolean", short: "h", default: false }
      }
    }).values
    if (client !== "pool" && client !== "prepared" && client !== "multiplex" && client !== "stock") {
      throw new Error(`--client is pool, prepared, multiplex or stock, not ${client}`)
    }
    return {
      help,
      client,
      only,
      killEvery: kill === undefined ? undefined : natural("kill", kill),
      seconds: natural("seconds", seconds ?? (innocents === undefined ? "120" : "600")),
      seed: natural("seed", seed),
      fibers: natural("fibers", fibers),
      innocents: innocents === undefined ? undefined : natural("innocents", innocents)
    } as const
  },
  catch: (error) => new BadArguments({ message: `${error instanceof Error ? error.message : error}\n\n${usage}` })
})

const natural = (name: string, text: string): number => {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name} is a whole number, not ${text}`)
  return Number(text)
}

/** Milliseconds in which what is interrupted has to end, for 99 of 100. */
const promptness = 100

const millis = ({ max, p50, p99 }: Storm.Latency) =>
  `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`

const list = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).sort(([, a], [, b]) => b - a).map(([name, n]) => `\n    ${String(n).padStart(7)}  ${name}`)
    .join("")

const describe = (report: Storm.Report): string =>
  [
    `operations          ${report.operations}, with ${report.statements} statements`,
    `interrupts          ${report.interrupts}`,
    `acknowledged        ${report.acknowledged} transactions`,
    `failures            ${list(report.failures) || "none"}`,
    ...report.innocents === undefined
      ? []
      : [`innocents           ${report.innocents.asked}, while ${report.innocents.cutOff} others were cut off`],
    `innocent failures   ${report.innocentFailures}`,
    `stuck               ${report.stuck}`,
    ...report.interrupts === 0 ? [] : [`interrupt latency   ${millis(report.latency)}`],
    ...Object.entries(report.latencies).map(([name, latency]) => `    ${name.padEnd(29)} ${millis(latency)}`),
    `lateness of timers  ${millis(report.eventLoop)} (load ${loadavg()[0].toFixed(1)})`,
    `permits usable      ${report.usable} of 10`,
    `faults              ${list(report.faults) || "none"}`
  ].join("\n")

const program = Effect.gen(function*() {
  const { client, fibers, help, innocents, killEvery, only, seconds, seed } = yield* parse
  if (help) return yield* Console.log(usage)
  const { url } = yield* Postgres.start()
  const options = { url: Redacted.make(url), client, fibers, seed }
  yield* Console.log(`client ${client}, seed ${seed}, ${fibers} fibers`)
  const report = innocents === undefined
    ? yield* Storm.run({ ...options, only, killEvery, duration: seconds * 1000 })
    : yield* Storm.runInnocents({ ...options, innocents, atMost: seconds * 1000 })
  yield* Console.log(describe(report))
  const faults = [
    ...Object.keys(report.faults).length === 0 ? [] : ["There are faults"],
    ...innocents !== undefined || report.latency.p99 <= promptness
      ? []
      : [`99 of 100 interrupts must have ended within ${promptness} ms`],
    ...innocents === undefined || report.innocents!.asked >= innocents
      ? []
      : [`The time was over before ${innocents} innocents had been asked`]
  ]
  if (faults.length > 0) return yield* new NotAsPromised({ message: faults.join("\n") })
  yield* Console.log("All is as promised")
}).pipe(Effect.scoped)

program.pipe(
  Effect.tapErrorCause((cause) => {
    const error = Cause.squash(cause)
    return Console.error(Cause.isFailure(cause) && error instanceof Error ? error.message : Cause.pretty(cause))
  }),
  // What is logged stands in the report.
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
