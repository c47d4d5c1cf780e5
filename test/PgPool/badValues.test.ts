import { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import { codeOf, eventually, makePool, makeTable, pidOf, promptly, serverUrl } from "../support/pgPool.js"

describe("R37: what can't be sent or read", () => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const throws = (error: unknown) => ({
    toPostgres: () => {
      throw error
    }
  })
  const unserialisable = [circular, throws(new Error("no")), throws(undefined)]

  it.scopedLive.each([{}, { prepare: true }, { multiplex: true }])(
    "a parameter that can't be serialised is a typed error, and the connection works on (%o)",
    (options) =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, ...options })
        const pid = yield* pidOf(sql)
        for (const bad of unserialisable) {
          const uses: Array<Effect.Effect<unknown, SqlError.SqlError>> = [
            sql.unsafe("SELECT $1::text", [bad as any]),
            sql.unsafe("SELECT $1::text", [bad as any]).raw,
            sql.unsafe("SELECT $1::text", [bad as any]).values,
            Stream.runDrain(sql.unsafe("SELECT $1::text", [bad as any]).stream),
            sql.withTransaction(sql.unsafe("SELECT $1::text", [bad as any])),
            sql.withTransaction(Stream.runDrain(sql.unsafe("SELECT $1::text", [bad as any]).stream))
          ]
          for (const [i, use] of uses.entries()) {
            assert.instanceOf(yield* promptly(Effect.flip(use)), SqlError.SqlError)
            assert.deepStrictEqual(yield* promptly(sql`SELECT ${i}::integer AS i`), [{ i }])
            assert.deepStrictEqual(yield* promptly(sql.unsafe(`SELECT ${i} AS i`)), [{ i }])
          }
        }
        assert.strictEqual(yield* pidOf(sql), pid)
        assert.strictEqual((yield* pool.stats).opened, 1)
      })
  )

  const reads: Record<string, (sql: PgClient.PgClient, text: string) => Effect.Effect<unknown, SqlError.SqlError>> = {
    "by the simple protocol": (sql, text) => sql.unsafe(text),
    "in a transaction's stream": (sql, text) => sql.withTransaction(Stream.runDrain(sql.unsafe(text).stream)),
    "in a stream": (sql, text) => Stream.runDrain(sql.unsafe(text).stream)
  }
  for (const [name, read] of Object.entries(reads)) {
    it.scopedLive(`a type parser that throws is a typed error, and the pool works on: ${name}`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool({
          maxsize: 1,
          maxoverflow: 1,
          types: {
            getTypeParser: (oid: number) => (text: string) => {
              if (oid === 16) throw new Error("no booleans here")
              return text
            }
          } as never
        })
        assert.instanceOf(
          yield* promptly(Effect.flip(read(sql, "SELECT true FROM generate_series(1, 3)"))),
          SqlError.SqlError
        )
        assert.deepStrictEqual(yield* promptly(sql`SELECT 'a' AS a`), [{ a: "a" }])
      }))

    it.scopedLive(`COPY from and to the client ends, and the pool works on: ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        yield* sql`INSERT INTO ${sql(table.name)} VALUES (1)`
        for (const text of [`COPY ${table.name} TO STDOUT`, `COPY ${table.name} FROM STDIN`]) {
          yield* promptly(Effect.exit(read(sql, text)))
          assert.deepStrictEqual(yield* promptly(sql`SELECT 1 AS one`), [{ one: 1 }])
        }
      }))
  }

  it.scopedLive("errors of the server are typed, with SQLSTATE, and the connection works on", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const pid = yield* pidOf(sql)
      const errors: Record<string, Effect.Effect<unknown, SqlError.SqlError>> = {
        "42601": sql`SELEC 1`,
        "42P01": sql`SELECT * FROM no_such_table`,
        "22P02": sql`SELECT ${"x"}::integer`,
        "22012": Stream.runDrain(sql`SELECT 1 / (3 - n) FROM generate_series(1, 5) n`.stream),
        "42703": sql`SELECT no_such_column`.values
      }
      for (const [code, use] of Object.entries(errors)) {
        const error = yield* Effect.flip(use)
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(codeOf(error), code)
        assert.strictEqual(yield* pidOf(sql), pid)
      }
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("R20: a password from an Effect is fetched for each connect", () =>
    Effect.gen(function*() {
      let fetched = 0
      const url = new URL(Redacted.value(serverUrl))
      const { pool, server, sql } = yield* makePool({
        url: undefined,
        host: url.hostname,
        port: Number(url.port),
        username: url.username,
        database: url.pathname.slice(1),
        password: Effect.sync(() => {
          fetched++
          return Redacted.make(url.password)
        })
      })
      yield* server.terminate(yield* pidOf(sql))
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* sql`SELECT 1`
      assert.strictEqual(fetched, 2)
    }))
})
