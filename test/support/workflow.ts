/** The workflow of workflow.test.ts, and the cluster that runs it. */
import { ClusterWorkflowEngine, RunnerAddress } from "@effect/cluster"
import { NodeClusterSocket } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Activity, Workflow } from "@effect/workflow"
import { Effect, Layer, Option, Schedule, Schema } from "effect"

/** Succeeds with what its first activity gave. */
export const Trip = Workflow.make({
  name: "Trip",
  payload: { id: Schema.String },
  success: Schema.String,
  idempotencyKey: ({ id }) => id
})

const begin = (activity: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`INSERT INTO ledger ${sql.insert({ activity, runner: process.pid })}`
  ).pipe(Effect.orDie)

const depart = Activity.make({
  name: "depart",
  success: Schema.String,
  execute: Effect.as(begin("depart"), `departed from ${process.pid}`)
})

/** Ends when the test has written down that it has killed a runner: no other moment would be in the middle of it. */
const change = Activity.make({
  name: "change",
  execute: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* begin("change")
    yield* Effect.repeat(sql`SELECT FROM ledger WHERE activity = 'killed'`, {
      until: (rows) => rows.length > 0,
      schedule: Schedule.spaced("100 millis")
    })
  }).pipe(Effect.orDie)
})

const arrive = Activity.make({ name: "arrive", execute: Effect.asVoid(begin("arrive")) })

export const TripLive = Trip.toLayer(() => Effect.zipLeft(depart, Effect.zipRight(change, arrive)))

/** Intervals that are short for a test. Without a port it is a client, which runs nothing itself. */
export const clusterLayer = (port?: number) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(NodeClusterSocket.layer({
      clientOnly: port === undefined,
      storage: "sql",
      shardingConfig: {
        runnerAddress: Option.map(Option.fromNullable(port), (port) => RunnerAddress.make("127.0.0.1", port)),
        // They move one by one when a runner comes.
        shardsPerGroup: 20,
        shardLockExpiration: "15 seconds",
        refreshAssignmentsInterval: "500 millis",
        runnerHealthCheckInterval: "1 second",
        entityMessagePollInterval: "1 second"
      }
    }))
  )
