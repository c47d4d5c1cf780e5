import { Reactivity } from "@effect/experimental"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import * as Pg from "pg"
import type { Figure } from "./measure.js"
import { compare } from "./measure.js"

/** `select $1::int` by 64 fibers over the same number of connections. */
export const queries = (url: string, connections: number): Effect.Effect<ReadonlyArray<Figure>, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const options = { url: Redacted.make(url) }
    const pool = yield* PgPool.make({ ...options, maxsize: connections, maxoverflow: connections })
    const stock = yield* Layer.build(PgClient.layer({ ...options, maxConnections: connections }))
    const pg = yield* Effect.acquireRelease(
      Effect.sync(() => new Pg.Pool({ connectionString: url, max: connections })),
      (pool) => Effect.promise(() => pool.end())
    )
    const crowd = (query: (i: number) => Effect.Effect<unknown, unknown>) => (n: number) =>
      Effect.forEach(Array.from({ length: 64 }), () =>
        Effect.gen(function*() {
          for (let i = 0; i < n / 64; i++) yield* query(i)
        }), { concurrency: "unbounded", discard: true })
    const through = (sql: SqlClient.SqlClient) => crowd((i) => sql`select ${i}::int`)
    return yield* compare([
      { name: "effect-pgpool", run: through(pool.client) },
      { name: "@effect/sql-pg", run: through(Context.get(stock, SqlClient.SqlClient)) },
      { name: "`pg.Pool`", run: crowd((i) => Effect.promise(() => pg.query("select $1::int", [i]))) }
    ], { operations: 64 * 60 })
  })).pipe(Effect.provide(Reactivity.layer))
