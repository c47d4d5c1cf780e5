/** The clients that are compared, and what each is asked. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Redacted } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"
import * as Pg from "pg"
import postgres from "postgres"
import { ask } from "../test/support/server.js"
import { fibers, promises } from "./crowd.js"
import type { Contender } from "./measure.js"

export const shapes = ["short", "rows", "insert", "transaction"] as const
export type Shape = typeof shapes[number]

export const titles: { readonly [S in Shape]: string } = {
  short: "`select $1::int`",
  rows: "a result of 100 rows",
  insert: "an insert",
  transaction: "a transaction: begin, insert, commit"
}

/** A client's own way of doing each, as so many fibers. */
export interface Client {
  readonly name: string
  readonly asked: (shape: Shape, fibers: number) => Contender
}

export const names = {
  ours: "effect-pgpool",
  multiplex: "effect-pgpool, `multiplex: true`",
  prepare: "effect-pgpool, `prepare: true`",
  both: "effect-pgpool, both",
  stock: "@effect/sql-pg",
  pg: "`pg.Pool`",
  postgres: "postgres.js"
} as const

export type Name = typeof names[keyof typeof names]

const readRows = "SELECT id, name, price, at FROM effect_pgpool_bench.rows"
const writeRow = "INSERT INTO effect_pgpool_bench.log (n, note) VALUES ($1, $2)"

/** The tables, for the life of the scope. */
export const tables = (url: string): Effect.Effect<void, never, Scope.Scope> => {
  const drop = "DROP SCHEMA IF EXISTS effect_pgpool_bench CASCADE"
  return Effect.acquireRelease(
    ask(
      url,
      `
      ${drop};
      CREATE SCHEMA effect_pgpool_bench;
      CREATE TABLE effect_pgpool_bench.rows (id int, name text, price float8, at timestamptz);
      INSERT INTO effect_pgpool_bench.rows SELECT n, 'the name of ' || n, n * 1.5, now() FROM generate_series(1, 100) n;
      CREATE TABLE effect_pgpool_bench.log (n int, note text)
    `
    ),
    () => ask(url, `SET client_min_messages = warning; ${drop}`)
  )
}

const overSqlClient = (name: string, sql: SqlClient.SqlClient): Client => {
  const asks: { readonly [S in Shape]: () => Effect.Effect<unknown, unknown> } = {
    short: () => sql`select ${1}::int`,
    rows: () => sql.unsafe(readRows),
    insert: () => sql.unsafe(writeRow, [1, "a note"]),
    transaction: () => sql.withTransaction(sql.unsafe(writeRow, [1, "a note"]))
  }
  return { name, asked: (shape, count) => fibers(name, count, asks[shape]) }
}

const overPromises = (name: string, asks: { readonly [S in Shape]: () => Promise<unknown> }): Client => ({
  name,
  asked: (shape, count) => {
    const ask = asks[shape]
    return promises(name, count, async (n) => {
      for (let i = 0; i < n; i++) await ask()
    })
  }
})

type Made = Effect.Effect<Client, unknown, Scope.Scope>

export const ours = (
  name: string,
  url: string,
  connections: number,
  options: { readonly multiplex?: boolean | number; readonly prepare?: boolean } = {}
): Made =>
  PgPool.make({ ...options, url: Redacted.make(url), maxsize: connections, maxoverflow: connections }).pipe(
    Effect.map(({ client }) => overSqlClient(name, client)),
    Effect.provide(Reactivity.layer)
  )

const stock = (url: string, connections: number): Made =>
  Effect.map(
    Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: connections })),
    (context) => overSqlClient(names.stock, Context.get(context, SqlClient.SqlClient))
  )

const pg = (url: string, connections: number): Made =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Pg.Pool({ connectionString: url, max: connections })),
      (pool) => Effect.promise(() => pool.end())
    ),
    (pool) =>
      overPromises(names.pg, {
        short: () => pool.query("select $1::int", [1]),
        rows: () => pool.query(readRows),
        insert: () => pool.query(writeRow, [1, "a note"]),
        transaction: async () => {
          const client = await pool.connect()
          try {
            await client.query("BEGIN")
            await client.query(writeRow, [1, "a note"])
            await client.query("COMMIT")
          } finally {
            client.release()
          }
        }
      })
  )

const postgresJs = (url: string, connections: number): Made =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => postgres(url, { max: connections })),
      (sql) => Effect.promise(() => sql.end())
    ),
    (sql) =>
      overPromises(names.postgres, {
        short: () => sql`select ${1}::int`,
        rows: () => sql.unsafe(readRows),
        insert: () => sql`INSERT INTO effect_pgpool_bench.log (n, note) VALUES (${1}, ${"a note"})`,
        transaction: () =>
          sql.begin((sql) => sql`INSERT INTO effect_pgpool_bench.log (n, note) VALUES (${1}, ${"a note"})`)
      })
  )

/** Makes each of them, with so many connections. */
export const make: { readonly [N in Name]: (url: string, connections: number) => Made } = {
  [names.ours]: (url, connections) => ours(names.ours, url, connections),
  [names.multiplex]: (url, connections) => ours(names.multiplex, url, connections, { multiplex: true }),
  [names.prepare]: (url, connections) => ours(names.prepare, url, connections, { prepare: true }),
  [names.both]: (url, connections) => ours(names.both, url, connections, { multiplex: true, prepare: true }),
  [names.stock]: stock,
  [names.pg]: pg,
  [names.postgres]: postgresJs
}
