// Run by workflow.test.ts, which kills it: a runner of its workflow, on the database and the port that it is given.
import { NodeRuntime } from "@effect/platform-node"
import { Layer, Logger, LogLevel, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { clusterLayer, TripLive } from "./workflow.js"

const [url, port] = process.argv.slice(2)

// The pipe ends with the test's process, however that ends.
process.stdin.on("end", () => process.exit()).resume()

TripLive.pipe(
  Layer.provide(clusterLayer(Number(port))),
  Layer.provide(PgPool.layer({ url: Redacted.make(url), applicationName: `runner ${process.pid}` })),
  Layer.provide(Logger.minimumLogLevel(LogLevel.None)),
  Layer.launch,
  NodeRuntime.runMain
)
