// A workflow that outlives the process it runs in. Two runners share the work by way of the database; one is killed in
// the middle of an activity, and the other goes on: what was done already is not done again.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/durable-workflow.ts
// Elsewhere it also needs @effect/cluster@^0.60.2, @effect/workflow@^0.19.1 and @effect/rpc@^0.76.2.
import { ClusterWorkflowEngine, RunnerAddress } from "@effect/cluster"
import { Command } from "@effect/platform"
import { NodeClusterSocket, NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Activity, Workflow } from "@effect/workflow"
import { Config, Console, Effect, Fiber, Layer, Logger, LogLevel, Option, Schema } from "effect"
import { PgPool } from "effect-pgpool"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { createServer } from "node:net"

// --- The workflow ---

const Order = Workflow.make({
  name: "Order",
  payload: { id: Schema.String },
  success: Schema.String,
  // Placed twice it is one order, and the second caller gets the result of the first.
  idempotencyKey: ({ id }) => id
})

/** When an activity has ended its result is kept for good. One that was cut off begins again. */
const activity = (name: string, seconds: number) =>
  Activity.make({
    name,
    execute: Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Console.log(`  runner ${process.pid} begins to ${name}`)
      yield* sql`INSERT INTO begun ${sql.insert({ activity: name, runner: process.pid })}`
      yield* Effect.sleep(`${seconds} seconds`)
    }).pipe(Effect.orDie)
  })

const OrderLive = Order.toLayer(({ id }) =>
  Effect.gen(function*() {
    yield* activity("charge the card", 0)
    yield* activity("pack the parcel", 2)
    yield* activity("send it", 0)
    return `order ${id} is on its way`
  })
)

// --- Where it runs ---

/**
 * Each runner has a pool, which lends it one connection for as long as it lives: its shards of the work are advisory
 * locks of that session. When the process dies the server ends the session, and the shards are free for others.
 */
const DatabaseLive = PgPool.layerConfig({
  url: Config.redacted("DATABASE_URL"),
  applicationName: Config.succeed(`runner ${process.pid}`),
  maxsize: Config.succeed(4),
  // All tables are in a schema of their own, so that nothing of this is left in your database.
  onConnect: Config.succeed((connection) => connection.executeRaw("SET search_path = example_workflow", []))
})

/** Without a port it is a client, which places orders but runs none. */
const cluster = (port?: number) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(NodeClusterSocket.layer({
      clientOnly: port === undefined,
      storage: "sql",
      shardingConfig: {
        runnerAddress: Option.map(Option.fromNullable(port), (port) => RunnerAddress.make("127.0.0.1", port)),
        shardsPerGroup: 20,
        // All of these are much longer by default: here nobody wants to wait for a minute.
        shardLockExpiration: "6 seconds",
        refreshAssignmentsInterval: "500 millis",
        runnerHealthCheckInterval: "1 second",
        entityMessagePollInterval: "1 second",
        entityTerminationTimeout: "1 second"
      }
    }))
  )

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  await once(server.close(), "close")
  return port
})

const RunnerLive = Layer.unwrapEffect(Effect.map(freePort, (port) => Layer.provide(OrderLive, cluster(port))))

// --- The play: this program starts itself twice as a runner, and then is the client ---

const startRunner = Command.make(process.execPath, ...process.execArgv, process.argv[1], "--runner").pipe(
  Command.stdout("inherit"),
  Command.stderr("inherit"),
  Command.start
)

const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (a: A) => boolean) =>
  Effect.delay(effect, "100 millis").pipe(Effect.repeat({ until: holds }), Effect.timeout("1 minute"))

const play = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const dropSchema = sql`DROP SCHEMA IF EXISTS example_workflow CASCADE`
  yield* dropSchema
  yield* Effect.acquireRelease(sql`CREATE SCHEMA example_workflow`, () => Effect.orDie(dropSchema))
  yield* sql`CREATE TABLE begun (activity text, runner int)`

  const locks = sql<{ runner: string; shards: number }>`
    SELECT application_name AS runner, count(*)::int AS shards FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND application_name LIKE 'runner %' GROUP BY application_name`
  // The first makes the cluster's tables and takes all shards. Two that begin at once may clash: one of two sessions
  // that do the same CREATE TABLE IF NOT EXISTS at the same time can fail.
  const first = yield* startRunner
  yield* until(locks, (held) => held.some(({ shards }) => shards === 20))
  const runners = [first, yield* startRunner]
  // Each has its half when the second is up.
  for (const { runner, shards } of yield* until(locks, (held) => held.filter((a) => a.shards === 10).length === 2)) {
    yield* Console.log(`${runner} holds ${shards} of the 20 shards`)
  }

  const order = yield* Effect.fork(Effect.provide(Order.execute({ id: "4711" }), cluster()))
  const packing = sql<{ runner: number }>`SELECT runner FROM begun WHERE activity = 'pack the parcel'`
  const [{ runner }] = yield* until(packing, (rows) => rows.length > 0)
  yield* Effect.forEach(runners, (process) => process.pid === runner ? process.kill("SIGKILL") : Effect.void)
  yield* Console.log(`runner ${runner} is killed in the middle of it`)
  yield* Console.log(yield* Fiber.join(order))

  const charged = yield* sql`SELECT FROM begun WHERE activity = 'charge the card'`
  yield* Console.log(`The card was charged ${charged.length === 1 ? "once" : `${charged.length} times`}`)
  if (charged.length !== 1) return yield* Effect.dieMessage("A completed activity was run again")
})

if (process.argv.includes("--runner")) {
  // It ends with the process that started it, even if that is killed.
  process.stdin.on("end", () => process.exit()).resume()
  RunnerLive.pipe(
    Layer.provide(DatabaseLive),
    Layer.launch,
    Logger.withMinimumLogLevel(LogLevel.Warning),
    NodeRuntime.runMain
  )
} else {
  play.pipe(Effect.scoped, Effect.provide([DatabaseLive, NodeContext.layer]), NodeRuntime.runMain)
}
