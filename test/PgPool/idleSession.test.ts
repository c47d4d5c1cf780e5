import type { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { PgError } from "effect-pgpool"
import type { Duplex } from "node:stream"
import { errorResponse } from "../../src/internal/testing/messages.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { causeTagOf, makePool, makeTable, serverUrl } from "../support/pgPool.js"
import type { Table } from "../support/pgPool.js"

/** The ways of a statement that writes a row. */
const writes: Record<string, (sql: PgClient.PgClient, table: Table) => Effect.Effect<unknown, SqlError.SqlError>> = {
  "a statement": (sql, { name }) => sql`INSERT INTO ${sql(name)} DEFAULT VALUES`,
  "a statement with parameters": (sql, { name }) =>
    sql`INSERT INTO ${sql(name)} (id) VALUES (DEFAULT) RETURNING ${1}::int`,
  "a transaction": (sql, { name }) => sql.withTransaction(sql`INSERT INTO ${sql(name)} DEFAULT VALUES`),
  "a stream": (sql, { name }) => Stream.runDrain(sql`INSERT INTO ${sql(name)} DEFAULT VALUES RETURNING id`.stream)
}

/** A pool of one connection; `end` has the next request meet these last words: the server reads no more of it. */
const makeIdle = (multiplex = false) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.start(serverUrl)
    const { pool, sql } = yield* makePool({
      url: proxy.url,
      maxsize: 1,
      maxoverflow: 1,
      validateAfterIdle: "1 hour",
      multiplex
    })
    let client: Duplex | undefined
    proxy.onAnswer = (chunk, from) => (client = from, chunk)
    yield* sql`SELECT 1`
    const end = (code: string, severity?: string) => {
      proxy.blackhole("requests")
      proxy.onRequest = () => {
        proxy.onRequest = () => {}
        client?.once("close", () => proxy.heal())
        client?.end(errorResponse(code, undefined, severity))
      }
    }
    return { pool, sql, end }
  })

const makeRows = makeTable("id serial PRIMARY KEY")

describe("R22: a session that the server ends because it was idle", () => {
  for (const multiplex of [false, true]) {
    for (const [name, write] of Object.entries(writes)) {
      for (const severity of ["FATAL", "ВАЖНО"]) {
        it.scopedLive(`R22: ${name} that was on its way goes to another one, and runs once (${severity}${multiplex ? ", multiplex" : ""})`, () =>
          Effect.gen(function*() {
            const table = yield* makeRows
            const { end, pool, sql } = yield* makeIdle(multiplex)
            for (const code of ["57P05", "25P03"]) {
              end(code, severity)
              yield* write(sql, table)
            }
            assert.strictEqual((yield* table.ids).length, 2)
            assert.strictEqual((yield* pool.stats).opened, 3)
          }))
      }
    }
  }

  it.scopedLive("R22: the same on a real server, again and again", () =>
    Effect.gen(function*() {
      const table = yield* makeRows
      for (const [i, write] of Object.values(writes).entries()) {
        const { sql } = yield* makePool({
          maxsize: 1,
          maxoverflow: 1,
          validateAfterIdle: "1 hour",
          onConnect: (connection) => connection.executeRaw("SET idle_session_timeout = 40", [])
        })
        for (let n = 0; n < 30; n++) {
          yield* write(sql, table)
          yield* Effect.sleep(37 + n / 6)
        }
        assert.strictEqual((yield* table.ids).length, 30 * (i + 1))
      }
    }))

  it.scopedLive("R22: inside a transaction, or on a lease, it fails as what had no effect, and may be tried again", () =>
    Effect.gen(function*() {
      const table = yield* makeRows
      const { end, sql } = yield* makeIdle()
      const insert = sql`INSERT INTO ${sql(table.name)} DEFAULT VALUES`
      const ended = Effect.sync(() => end("25P03"))
      const uses: Array<Effect.Effect<unknown, SqlError.SqlError>> = [
        sql.withTransaction(Effect.andThen(insert, Effect.andThen(ended, insert))),
        // The next request is COMMIT.
        sql.withTransaction(Effect.andThen(insert, ended)),
        Effect.scoped(
          Effect.flatMap(sql.reserve, (connection) => Effect.andThen(ended, connection.executeRaw("SELECT 1", [])))
        )
      ]
      for (const use of uses) {
        const error = yield* Effect.flip(use)
        assert.strictEqual(causeTagOf(error), "NotSent")
        assert.isTrue(PgError.isRetryable(error))
        assert.deepStrictEqual(PgError.sqlState(error), Option.some("25P03"))
        assert.include(String(error.cause), "said the server")
      }
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R22: a session that always ends so does not have a statement tried for ever", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1 })
      proxy.onRequest = (chunk) => void (isMarked ||= chunk.includes("a mark"))
      let isMarked = false
      proxy.onAnswer = (chunk, client) => {
        if (!isMarked) return chunk
        isMarked = false
        client.end(errorResponse("57P05"))
        return undefined
      }
      for (const use of [sql`SELECT 'a mark'`, Stream.runDrain(sql`SELECT 'a mark'`.stream)]) {
        const { opened } = yield* pool.stats
        const error = yield* Effect.flip(use as Effect.Effect<unknown, SqlError.SqlError>)
        assert.strictEqual(causeTagOf(error), "NotSent")
        assert.strictEqual((yield* pool.stats).opened - opened, 11)
      }
    }))

  it.scopedLive("R22: a function that raises the same code by itself ends nothing", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      for (const code of ["57P05", "25P03"]) {
        const error = yield* Effect.flip(sql.unsafe(`DO $$ BEGIN RAISE SQLSTATE '${code}'; END $$`))
        assert.notStrictEqual(causeTagOf(error), "NotSent")
      }
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))
})

describe("R22: last words that come as an answer", () => {
  const outcomes: Record<string, "failed" | "retryable" | "unknown"> = {
    "57P01": "retryable",
    "57P02": "unknown",
    "57P04": "failed",
    "25P04": "failed",
    "40001": "retryable",
    "53200": "retryable",
    "08P01": "unknown",
    "XX000": "unknown",
    "58000": "unknown",
    "ZZ999": "unknown"
  }
  for (const [code, outcome] of Object.entries(outcomes)) {
    for (const severity of ["FATAL", "ВАЖНО"]) {
      it.scopedLive(`R22: ${code}: ${outcome}, and the statement runs nowhere else (${severity})`, () =>
        Effect.gen(function*() {
          const { end, pool, sql } = yield* makeIdle()
          end(code, severity)
          const error = yield* Effect.flip(sql`SELECT 1`)
          assert.strictEqual(PgError.isOutcomeUnknown(error), outcome === "unknown")
          assert.strictEqual(PgError.isRetryable(error), outcome === "retryable")
          assert.deepStrictEqual(PgError.sqlState(error), Option.some(code))
          assert.strictEqual((yield* pool.stats).opened, 1)
        }))
    }
  }
})
