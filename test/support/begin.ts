/** What the tests of how a transaction begins have in common. */
import { SqlClient } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Stream } from "effect"
import type { TransactionLevel } from "../../src/internal/postgres/transaction/level.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { insert, makePool, serverUrl } from "./pgPool.js"
import type { Table } from "./pgPool.js"

export type Sql = PgClient.PgClient

/** What a transaction may send first. */
export const firsts: Record<string, (sql: Sql, table: Table) => Effect.Effect<unknown, SqlError>> = {
  "a SELECT": (sql, table) => Effect.zipRight(sql`SELECT 1`, insert(sql, table, 1)),
  "a statement": (sql, { name }) => sql`INSERT INTO ${sql(name)} (id) VALUES (1)`,
  "a statement with parameters": (sql, table) => insert(sql, table, 1),
  "values": (sql, { name }) => sql`INSERT INTO ${sql(name)} (id) VALUES (${1}) RETURNING id`.values,
  "a raw statement": (sql, { name }) => sql`INSERT INTO ${sql(name)} (id) VALUES (${1})`.raw,
  "several statements": (sql, { name }) => sql.unsafe(`SELECT 1; INSERT INTO ${name} (id) VALUES (1)`),
  "another command": (sql, { name }) => sql.unsafe(`DO $$ BEGIN INSERT INTO ${name} (id) VALUES (1); END $$`),
  "a stream": (sql, { name }) => Stream.runDrain(sql`INSERT INTO ${sql(name)} (id) VALUES (${1}) RETURNING id`.stream),
  "a nested transaction": (sql, table) => sql.withTransaction(insert(sql, table, 1))
}

/** These go with BEGIN. */
export const together = ["a SELECT", "a statement with parameters", "values", "a raw statement"]

export const optionsOf: Record<string, object> = {
  "by default": {},
  "with prepare": { prepare: true },
  "with queryTimeout": { queryTimeout: "20 seconds" }
}

/**
 * A pool of one connection by way of a proxy, and what its client sends, one string for each piece. `lose` ends its session
 * while nothing is in flight, and gives the client time to hear of it.
 */
export const watched = (options: object = {}) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.start(serverUrl)
    const test = yield* makePool({
      url: proxy.url,
      maxsize: 1,
      maxoverflow: 1,
      validateAfterIdle: "1 hour",
      ...options
    })
    yield* test.sql`SELECT 1`
    const pieces: Array<string> = []
    proxy.onRequest = (chunk) => void pieces.push(chunk.toString("latin1"))
    const lose = Effect.gen(function*() {
      const [{ pid }] = yield* test.sessions
      yield* test.server.terminate(pid)
      yield* test.until((sessions) => sessions.every((session) => session.pid !== pid))
      yield* Effect.sleep(50)
    })
    return { ...test, proxy, pieces, lose: Effect.orDie(lose) }
  })

/** Ends the only session as a server does that shuts down, just when it is asked next: it reads no more of it. */
export const endAtNext = (proxy: Proxy.Proxy, words = "BEGIN") => {
  proxy.onRequest = (chunk) => {
    if (!chunk.includes(words)) return
    proxy.onRequest = () => {}
    proxy.reset()
  }
}

/** Has the server refuse the next BEGIN, as something that it does not know. */
export const spoilBegin = (proxy: Proxy.Proxy) => {
  proxy.onRequest = (chunk) => {
    const at = chunk.indexOf("BEGIN\0")
    if (at < 0) return
    proxy.onRequest = () => {}
    chunk.write("BEGUN", at)
  }
}

export const failed = Effect.fail("no" as const)

/** Writes by the client of `pg` that the transaction's connection has. */
export const byHand = ({ name }: Table, id: number) =>
  Effect.orDie(Effect.flatMap(
    Effect.serviceOptional(SqlClient.TransactionConnection),
    ([connection]) =>
      Effect.promise(() => (connection as TransactionLevel).pg.query(`INSERT INTO ${name} (id) VALUES (${id})`))
  ))
