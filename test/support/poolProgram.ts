// Run by close.test.ts: uses a pool in many ways, closes it, and must then end by itself.
import { Reactivity } from "@effect/experimental"
import { Effect, Redacted, Stream } from "effect"
import { PgPool } from "effect-pgpool"

const program = Effect.gen(function*() {
  const pool = yield* PgPool.make({
    url: Redacted.make(process.argv[2]),
    maxsize: 2,
    warm: 1,
    closeTimeout: 100,
    leakThreshold: "10 minutes"
  })
  const sql = pool.client
  yield* Effect.all(Effect.replicate(sql`SELECT 1`, 5), { concurrency: "unbounded" })
  yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, 50)
  yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.fail("no"))))
  yield* Effect.timeoutOption(Stream.runDrain(sql.listen("channel")), 100)
  yield* Stream.runDrain(Stream.take(sql`SELECT n FROM generate_series(1, 1000) n`.stream, 1))
  yield* Effect.forkDaemon(Effect.ignore(sql`SELECT pg_sleep(60)`))
  yield* Effect.sleep(50)
}).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

Effect.runPromise(program).then(() => {
  console.log(JSON.stringify(process.getActiveResourcesInfo().filter((resource) => /TCP|Timeout/.test(resource))))
})
