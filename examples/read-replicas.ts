// Two pools for one service: writes go to the primary, reads to a standby, or to the primary where there is none. Then
// the primary is lost and the standby promoted, and both pools move to it by themselves.
//   npx tsx examples/read-replicas.ts    starts a primary and a standby of its own
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Console, Context, Effect, Layer, Redacted, Schedule } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import * as Cluster from "../test/support/cluster.js"

// --- The service ---

/** Where nothing may be written. What is read there may be a moment old. */
class Replicas extends Context.Tag("Replicas")<Replicas, SqlClient.SqlClient>() {}

/** `PgPool.layer` gives a pool the usual tags; this moves its client to a tag of its own. */
const replicasLayer = (options: PgPool.PgPoolOptions) =>
  Layer.project(PgPool.layer(options), SqlClient.SqlClient, Replicas, (sql) => sql)

const databaseLayer = (options: PgPool.PgPoolOptions) =>
  Layer.merge(
    PgPool.layer({ ...options, targetSessionAttrs: "primary" }),
    replicasLayer({ ...options, targetSessionAttrs: "prefer-standby", loadBalanceHosts: "random" })
  )

const sign = (name: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO example_guests (name) VALUES (${name})`)

const guests = Effect.gen(function*() {
  const sql = yield* Replicas
  const rows = yield* sql<{ name: string }>`SELECT name FROM example_guests ORDER BY name`
  return rows.map(({ name }) => name).join(", ")
})

// --- What happens to it ---

const where = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ port: number; standby: boolean }>`SELECT inet_server_port() AS port, pg_is_in_recovery() AS standby`,
    ([{ port, standby }]) => `the ${standby ? "standby" : "primary"} at port ${port}`
  )

const report = Effect.gen(function*() {
  yield* Console.log(`  writes go to ${yield* where(yield* SqlClient.SqlClient)}`)
  yield* Console.log(`  reads go to ${yield* where(yield* Replicas)}`)
})

/** The standby is a moment behind. */
const untilAll = (names: string) =>
  Effect.repeat(guests, { until: (found) => found === names, schedule: Schedule.spaced("20 millis") })

const program = ({ primary, promote }: Cluster.Cluster) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE example_guests (name text NOT NULL)`
    yield* sign("Ada")
    yield* Effect.retry(untilAll("Ada"), Schedule.spaced("20 millis"))
    yield* Console.log("Both are up:")
    yield* report

    yield* primary.stop("immediate")
    yield* Console.log("The primary has crashed. Reads go on, and a write waits for a new primary.")
    const grace = yield* Effect.fork(
      // A statement whose session was lost before it was sent may be sent again.
      Effect.retry(sign("Grace"), { while: PgError.isRetryable, schedule: Schedule.spaced("50 millis") })
    )
    yield* Console.log(`  guests: ${yield* guests}`)
    yield* promote
    yield* grace
    yield* untilAll("Ada, Grace")
    yield* Console.log(`The standby was promoted. Nothing was restarted or configured anew:`)
    yield* report
    yield* Console.log(`  guests: ${yield* guests}`)
  })

Effect.gen(function*() {
  const cluster = yield* Cluster.start({ synchronous: true })
  const { primary, standby } = cluster
  // As in a URL: postgresql://postgres:postgres@a:5432,b:5432/postgres?target_session_attrs=primary
  yield* Effect.provide(
    program(cluster),
    databaseLayer({
      hosts: [`127.0.0.1:${primary.port}`, `127.0.0.1:${standby.port}`],
      database: "postgres",
      username: "postgres",
      password: Redacted.make("postgres"),
      maxsize: 2
    })
  )
}).pipe(Effect.scoped, NodeRuntime.runMain)
