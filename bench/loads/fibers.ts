/** Twenty fibers that always want a connection: what of that a pool serves, by the rule by which its callers wait. */
import { Reactivity } from "@effect/experimental"
import { PgClient } from "@effect/sql-pg"
import * as SqlClient from "@effect/sql/SqlClient"
import { Console, Context, Effect, Layer, Redacted } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"
import type { Section } from "../report.js"
import { table } from "../report.js"
import { timesOf } from "../times.js"

type Client = (url: Redacted.Redacted) => Effect.Effect<SqlClient.SqlClient, unknown, Scope.Scope>

const fibers = 20

/** How long each statement holds its connection, in milliseconds. */
const statement = 20

const stock = (maxConnections: number): Client => (url) =>
  Effect.map(Layer.build(PgClient.layer({ url, maxConnections })), Context.get(SqlClient.SqlClient))

const ours = (options: PgPool.PgPoolOptions): Client => (url) =>
  Effect.map(PgPool.make({ ...options, url }), ({ client }) => client).pipe(Effect.provide(Reactivity.layer))

const two = { maxsize: 2, maxoverflow: 20 } as const

const clients: Record<string, Client> = {
  "@effect/sql-pg, 20 connections": stock(20),
  "no options (10 / auto / 20)": ours({}),
  "2 / auto / 20": ours(two),
  "2 / 200 ms / 20": ours({ ...two, maxwait: "200 millis" }),
  "2 / none / 20": ours({ ...two, maxwait: 0 })
}

/** How long each statement took in so many seconds. */
const timesIn = (sql: SqlClient.SqlClient, seconds: number): Effect.Effect<ReadonlyArray<number>, unknown> =>
  Effect.gen(function*() {
    const times: Array<number> = []
    const ask = sql.unsafe(`select pg_sleep(${statement / 1000})`)
    const until = performance.now() + 1000 * seconds
    const fiber = Effect.gen(function*() {
      while (performance.now() < until) {
        const begin = performance.now()
        yield* ask
        times.push(performance.now() - begin)
      }
    })
    yield* Effect.replicateEffect(fiber, fibers, { concurrency: "unbounded", discard: true })
    return times
  })

export const twentyFibers = (
  { seconds, url }: { readonly seconds: number; readonly url: string }
): Effect.Effect<Section, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const rows: Array<ReadonlyArray<string>> = []
    for (const [name, client] of Object.entries(clients)) {
      yield* Console.error(`Loads, twenty fibers: ${name}`)
      const times = yield* client(Redacted.make(url)).pipe(
        // To compile the code, and to open what is kept.
        Effect.tap((sql) => timesIn(sql, seconds / 10)),
        Effect.flatMap((sql) => timesIn(sql, seconds)),
        Effect.scoped
      )
      const { p50, p99 } = timesOf([...times])
      rows.push([name, Math.round(times.length / seconds).toLocaleString("en"), p50.toFixed(1), p99.toFixed(1)])
    }
    return {
      title: "Twenty fibers on a pool that may have twenty connections",
      command: `npm run bench -- loads --load-seconds ${seconds}`,
      markdown: [
        table(["", "statements a second", "p50 ms", "p99"], rows),
        `Each fiber sends one statement of ${statement} ms after the other. The pools have their turn in one process.`
      ].join("\n\n")
    }
  })
