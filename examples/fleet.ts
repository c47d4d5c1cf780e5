// A fleet in front of PgBouncer: two processes, whose pools grow and shrink with their load, share a few sessions of the
// server. It starts the PgBouncer and the processes itself, and needs the program `pgbouncer` (apt install pgbouncer).
//   DATABASE_URL=postgresql://user:password@localhost/app npx tsx examples/fleet.ts
import { Reactivity } from "@effect/experimental"
import { Command } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Config, Console, Effect, Fiber, Layer, Option, Redacted, Ref, Schedule } from "effect"
import { PgPool } from "effect-pgpool"
import * as PgBouncer from "../test/support/pgbouncer.js"
import * as Postgres from "../test/support/postgres.js"

/** Sessions of the server for the whole fleet, however many processes there are. */
const serverSessions = 4

/** A process of the fleet. With 3 times 12 callers it has many connections to PgBouncer for a moment, then few. */
const PoolLive = PgPool.layerConfig({
  url: Config.redacted("DATABASE_URL"),
  applicationName: Config.succeed("fleet"),
  maxsize: Config.succeed(2),
  maxwait: Config.succeed("20 millis"),
  maxoverflow: Config.succeed(12)
  // Not `statementTimeout`, `prepare` or `reset: "session"`: in transaction mode the next statement may be on another
  // session of the server. `queryTimeout` is ours, and works everywhere.
})

const member = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const pool = yield* PgPool.PgPool
  const most = yield* Ref.make(0)
  const watcher = yield* pool.stats.pipe(
    Effect.flatMap(({ size }) => Ref.update(most, (before) => Math.max(before, size))),
    Effect.repeat(Schedule.spaced("5 millis")),
    Effect.fork
  )
  for (let rush = 0; rush < 3; rush++) {
    const order = sql.withTransaction(sql`INSERT INTO fleet_orders (process) VALUES (${process.pid}), (${process.pid})`)
    const report = sql`SELECT pg_sleep(0.05), count(*) FROM fleet_orders`
    yield* Effect.all(Effect.replicate(Effect.zipRight(report, order), 12), { concurrency: "unbounded" })
    yield* Effect.sleep("200 millis")
  }
  yield* Fiber.interrupt(watcher)
  const { idle } = yield* pool.stats
  yield* Console.log(`  process ${process.pid}: at most ${yield* most} connections to PgBouncer, ${idle} at the end`)
})

const start = (url: Redacted.Redacted) =>
  Command.make(process.execPath, "--import", "tsx", process.argv[1], "--member").pipe(
    Command.env({ DATABASE_URL: Redacted.value(url) }),
    Command.stdout("inherit"),
    Command.stderr("inherit"),
    Command.exitCode,
    Effect.filterOrDieMessage((status) => status === 0, "A process of the fleet has failed")
  )

const fleet = Effect.gen(function*() {
  if (!PgBouncer.isInstalled) {
    return yield* Console.log(
      "MISSING: there is no program `pgbouncer` here. Install it (apt install pgbouncer) and run this again."
    )
  }
  const given = yield* Config.option(Config.redacted("DATABASE_URL"))
  const server = Option.isSome(given) ? given.value : Redacted.make((yield* Postgres.start()).url)
  const { url } = yield* PgBouncer.start({
    server,
    mode: "transaction",
    settings: { default_pool_size: serverSessions, max_client_conn: 100 }
  })
  // Past PgBouncer, to see what it does.
  const sql = (yield* PgPool.make({ url: server, applicationName: "fleet's owner" })).client
  yield* Effect.acquireRelease(
    sql`CREATE TABLE fleet_orders (id serial PRIMARY KEY, process integer NOT NULL)`,
    () => Effect.orDie(sql`DROP TABLE fleet_orders`)
  )
  const most = yield* Ref.make(0)
  const watcher = yield* sql<{ count: number }>`
    SELECT count(*)::integer AS count FROM pg_stat_activity WHERE application_name = 'fleet'
  `.pipe(
    Effect.flatMap(([{ count }]) => Ref.update(most, (before) => Math.max(before, count))),
    Effect.repeat(Schedule.spaced("5 millis")),
    Effect.fork
  )
  yield* Console.log("Two processes, three rushes of 12 callers in each:")
  yield* Effect.all([start(url), start(url)], { concurrency: 2 })
  yield* Fiber.interrupt(watcher)
  const sessions = yield* most
  const [{ count }] = yield* sql<{ count: number }>`SELECT count(*)::integer AS count FROM fleet_orders`
  yield* Console.log(`  the server: at most ${sessions} sessions for both, ${count} orders`)
  if (sessions > serverSessions || count !== 2 * 3 * 12 * 2) return yield* Effect.dieMessage("That is not as promised")
}).pipe(Effect.scoped)

if (process.argv.includes("--member")) member.pipe(Effect.provide(PoolLive), NodeRuntime.runMain)
else fleet.pipe(Effect.provide(Layer.merge(NodeContext.layer, Reactivity.layer)), NodeRuntime.runMain)
