// Three pools whose callers wait, each for another reason, and what the log advises at the end of the minute.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/advice.ts
import { Reactivity } from "@effect/experimental"
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect } from "effect"
import { PgPool } from "effect-pgpool"

const makePool = (name: string, limits: { readonly maxsize: number; readonly maxoverflow: number }) =>
  Effect.flatMap(Config.redacted("DATABASE_URL"), (url) => PgPool.make({ url, name, ...limits, maxwait: "150 millis" }))

/** So many callers, each of which does this again and again. */
const callers = (count: number, work: Effect.Effect<unknown, unknown>) =>
  Effect.forEach(
    Array.from({ length: count }),
    () => Effect.forkScoped(Effect.forever(Effect.zipRight(work, Effect.sleep("100 millis")))),
    { discard: true }
  )

const query = ({ client }: PgPool.PgPool) => client`SELECT pg_sleep(0.1)`

/** It calls another service within its transaction, which takes its time. */
const payment = ({ client }: PgPool.PgPool) =>
  client.withTransaction(
    Effect.zipRight(client`SELECT 1`, Effect.sleep("2 seconds").pipe(Effect.withSpan("http.client POST")))
  ).pipe(Effect.withSpan("payment"))

const program = Effect.gen(function*() {
  // Connections beyond `maxsize` serve this load, but only after `maxwait`.
  const shop = yield* makePool("shop", { maxsize: 2, maxoverflow: 20 })
  yield* callers(8, query(shop))

  // There are no more connections.
  const reports = yield* makePool("reports", { maxsize: 2, maxoverflow: 2 })
  yield* callers(8, query(reports))

  // There would be enough, if they were not held.
  const payments = yield* makePool("payments", { maxsize: 4, maxoverflow: 4 })
  yield* callers(8, payment(payments))

  yield* Console.log("Three pools at work. In a minute the log says why their callers wait.")
  yield* Effect.sleep("61 seconds")
}).pipe(Effect.scoped)

program.pipe(Effect.provide(Reactivity.layer), NodeRuntime.runMain)
