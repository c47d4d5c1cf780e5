/** The clients that are compared, and what each is asked. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"
import * as Pg from "pg"
import Cursor from "pg-cursor"
import postgres from "postgres"
import { ask } from "../test/support/server.js"
import { fibers, promises } from "./crowd.js"
import type { Contender } from "./measure.js"

export const shapes = ["short", "rows", "many", "insert", "transaction", "stream"] as const
export type Shape = typeof shapes[number]

/** Of a table with so many rows. */
export const titles = (rows: number): { readonly [S in Shape]: string } => ({
  short: "`select $1::int`",
  rows: "a result of 100 rows",
  many: "a result of 10,000 rows",
  insert: "an insert",
  transaction: "a transaction: begin, select, insert, commit",
  stream: `a stream of ${rows.toLocaleString("en")} rows`
})

/** A client's own way of doing each, as so many fibers. */
export interface Client {
  readonly name: string
  readonly asked: (shape: Shape, fibers: number) => Contender
}

/** In the order of the tables. */
export const names = {
  ours: "effect-pgpool",
  stock: "@effect/sql-pg",
  multiplex: "effect-pgpool, `multiplex: true`",
  prepare: "effect-pgpool, `prepare: true`",
  both: "effect-pgpool, both",
  pg: "`pg.Pool`",
  postgres: "postgres.js"
} as const

export type Name = typeof names[keyof typeof names]

const readAll = "SELECT id, name, price, at FROM effect_pgpool_bench.rows"
const readRows = `${readAll} LIMIT 100`
const readMany = `${readAll} LIMIT 10000`
const writeRow = "INSERT INTO effect_pgpool_bench.log (n, note) VALUES ($1, $2)"

/** How many rows of a stream are fetched at a time by those that have a choice: as many as ours comes to by itself. */
const pageSize = 1024

const drop = "DROP SCHEMA IF EXISTS effect_pgpool_bench CASCADE"

const create = (rows: number) => `
  ${drop};
  CREATE SCHEMA effect_pgpool_bench;
  CREATE TABLE effect_pgpool_bench.rows (id int, name text, price float8, at timestamptz);
  INSERT INTO effect_pgpool_bench.rows SELECT n, 'the name of ' || n, n * 1.5, now() FROM generate_series(1, ${rows}) n;
  CREATE TABLE effect_pgpool_bench.log (n int, note text)
`

/** The tables, for the life of the scope; one of them with so many rows. */
export const tables = (url: string, rows: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    // Else the server would do that at some time during the measurement.
    Effect.zipRight(ask(url, create(rows)), ask(url, "VACUUM ANALYZE effect_pgpool_bench.rows")),
    () => ask(url, `SET client_min_messages = warning; ${drop}`)
  )

const overSqlClient = (name: string, sql: SqlClient.SqlClient): Client => {
  const short = () => sql`select ${1}::int`
  const insert = () => sql.unsafe(writeRow, [1, "a note"])
  const asks: { readonly [S in Shape]: () => Effect.Effect<unknown, unknown> } = {
    short,
    rows: () => sql.unsafe(readRows),
    many: () => sql.unsafe(readMany),
    insert,
    transaction: () => sql.withTransaction(Effect.zipRight(short(), insert())),
    stream: () => Stream.runDrain(sql.unsafe(readAll).stream)
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

type MadeSql = Effect.Effect<SqlClient.SqlClient, unknown, Scope.Scope>

interface Options {
  readonly multiplex?: boolean | number
  readonly prepare?: boolean
}

const oursSql = (url: string, connections: number, options: Options = {}): MadeSql =>
  PgPool.make({ ...options, url: Redacted.make(url), maxsize: connections, maxoverflow: connections }).pipe(
    Effect.map(({ client }) => client),
    Effect.provide(Reactivity.layer)
  )

/** Those of Effect's programs. */
export const sqlClients = {
  [names.ours]: oursSql,
  [names.multiplex]: (url: string, connections: number) => oursSql(url, connections, { multiplex: true }),
  [names.prepare]: (url: string, connections: number) => oursSql(url, connections, { prepare: true }),
  [names.both]: (url: string, connections: number) => oursSql(url, connections, { multiplex: true, prepare: true }),
  [names.stock]: (url: string, connections: number): MadeSql =>
    Effect.map(
      Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: connections })),
      Context.get(SqlClient.SqlClient)
    )
}

export const ours = (name: string, url: string, connections: number, options?: Options): Made =>
  Effect.map(oursSql(url, connections, options), (sql) => overSqlClient(name, sql))

const onEffect = (name: keyof typeof sqlClients) => (url: string, connections: number): Made =>
  Effect.map(sqlClients[name](url, connections), (sql) => overSqlClient(name, sql))

/** What it does with a connection to itself. */
const withClient = async (pool: Pg.Pool, use: (client: Pg.PoolClient) => Promise<void>): Promise<void> => {
  const client = await pool.connect()
  try {
    await use(client)
  } finally {
    client.release()
  }
}

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
        many: () => pool.query(readMany),
        insert: () => pool.query(writeRow, [1, "a note"]),
        transaction: () =>
          withClient(pool, async (client) => {
            await client.query("BEGIN")
            await client.query("select $1::int", [1])
            await client.query(writeRow, [1, "a note"])
            await client.query("COMMIT")
          }),
        stream: () =>
          withClient(pool, async (client) => {
            const cursor = client.query(new Cursor(readAll))
            while ((await cursor.read(pageSize)).length > 0);
            await cursor.close()
          })
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
        many: () => sql.unsafe(readMany),
        insert: () => sql`INSERT INTO effect_pgpool_bench.log (n, note) VALUES (${1}, ${"a note"})`,
        transaction: () =>
          sql.begin(async (sql) => {
            await sql`select ${1}::int`
            await sql`INSERT INTO effect_pgpool_bench.log (n, note) VALUES (${1}, ${"a note"})`
          }),
        stream: () => sql.unsafe(readAll).cursor(pageSize, () => {})
      })
  )

/** Makes each of them, with so many connections. */
export const make: { readonly [N in Name]: (url: string, connections: number) => Made } = {
  [names.ours]: onEffect(names.ours),
  [names.multiplex]: onEffect(names.multiplex),
  [names.prepare]: onEffect(names.prepare),
  [names.both]: onEffect(names.both),
  [names.stock]: onEffect(names.stock),
  [names.pg]: pg,
  [names.postgres]: postgresJs
}
