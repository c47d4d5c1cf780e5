// A pool whose connections are held while nothing runs on them: what its user sees.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/who-holds-it.ts
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Console, Effect, Fiber } from "effect"
import { PgPool, PoolHolder } from "effect-pgpool"

const PoolLive = PgPool.layerFromEnv({
  name: "shop",
  maxsize: 2,
  maxoverflow: 2,
  acquireTimeout: "1 second",
  leakThreshold: "1 second"
})

/** Another service, which takes its time. */
const pay = Effect.sleep("2 seconds").pipe(Effect.withSpan("http.client POST"))

/** It calls the other service within its transaction, and so keeps a connection from everybody else. */
const transfer = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(Effect.zipRight(sql`SELECT 1`, pay))
}).pipe(Effect.withSpan("transfer"))

const report = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT 1`
}).pipe(Effect.withSpan("report"))

const program = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  yield* Effect.fork(transfer)
  yield* Effect.fork(transfer)
  yield* Effect.sleep("500 millis")
  const refused = yield* Effect.fork(Effect.flip(report))
  yield* Effect.sleep("300 millis")

  yield* Console.log("\nWho holds the connections?")
  for (const holder of yield* pool.holders) yield* Console.log(`  ${PoolHolder.describe(holder)}`)

  const { busy, maxoverflow, oldestWait, waiting } = yield* pool.stats
  yield* Console.log(
    `\nWhy do requests wait?\n  ${busy} of ${maxoverflow} are in use; ${waiting} waits, for ${oldestWait} ms`
  )
  yield* Console.log(`  The pool's health: ${(yield* pool.health)._tag}`)

  yield* Console.log(`\nWhat does a caller hear that was refused?\n  ${(yield* Fiber.join(refused)).message}\n`)
  yield* Effect.sleep("1 second")
})

program.pipe(Effect.provide(PoolLive), NodeRuntime.runMain)
