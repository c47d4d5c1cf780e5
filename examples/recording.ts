// Records what becomes of each caller of a pool, and reads the recording back.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/recording.ts
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Console, Effect, Stream } from "effect"
import { PgPool, PoolRecording } from "effect-pgpool"

/** Three connections at most, so that some of the callers have to wait. */
const PoolLive = PgPool.layerFromEnv({ maxsize: 2, maxoverflow: 3, maxwait: "50 millis" })

const order = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(sql`SELECT pg_sleep(0.02)`)
}).pipe(Effect.withSpan("order"))

const report = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_sleep(0.2)`
}).pipe(Effect.withSpan("report"))

/** A busy second, and its recording, which ends with the pool. */
const load = (path: string) =>
  Effect.gen(function*() {
    const pool = yield* PgPool.PgPool
    // A daemon outlives the pool, and so hears of its last callers.
    const recording = yield* Effect.forkDaemon(PoolRecording.record(pool, path))
    const orders = Array.from({ length: 40 }, (_, i) => Effect.delay(order, i * 20))
    yield* Effect.all([...orders, report, report], { concurrency: "unbounded" })
    return recording
  }).pipe(Effect.provide(PoolLive))

interface Summary {
  readonly callers: number
  readonly waited: number
  readonly longestWait: number
  readonly held: number
}

const nothing: Summary = { callers: 0, waited: 0, longestWait: 0, held: 0 }

const summaries = (path: string) =>
  Stream.runFold(PoolRecording.read(path), new Map<string, Summary>(), (sums, line) => {
    if (line._tag !== "Loan") return sums
    const { callers, held, longestWait, waited } = sums.get(line.span ?? "") ?? nothing
    return sums.set(line.span ?? "", {
      callers: callers + 1,
      waited: waited + (line.waited > 0 ? 1 : 0),
      longestWait: Math.max(longestWait, line.waited),
      held: held + line.held
    })
  })

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = `${yield* fs.makeTempDirectoryScoped()}/pool.ndjson`
  const recording = yield* load(path)
  yield* recording.await
  for (const [span, { callers, held, longestWait, waited }] of yield* summaries(path)) {
    yield* Console.log(
      `${span}: ${callers} callers, ${waited} of them waited, up to ${longestWait} ms; ` +
        `they held a connection for ${Math.round(held / callers)} ms on average`
    )
  }
})

program.pipe(Effect.scoped, Effect.provide(NodeContext.layer), NodeRuntime.runMain)
