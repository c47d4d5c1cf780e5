import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Option } from "effect"
import { PgError } from "effect-pgpool"
import type { PgPool } from "effect-pgpool"
import { Socket } from "node:net"
import Pg from "pg"
import Cursor from "pg-cursor"
import { eventually, insert, makePool, makeTable, promptly } from "../support/pgPool.js"

const one = { maxsize: 1, maxoverflow: 1 }

type Raw = Pg.Client & { readonly connection: { readonly stream: { readonly destroyed: boolean } }; processID: number }

describe("R15: the pg client of a lease", () => {
  it.scopedLive("does all that a client of pg does, for as long as the lease lasts", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool(one)
      yield* pool.use((connection) =>
        Effect.promise(async () => {
          const pg = connection.pg as Raw
          assert.strictEqual(connection.pg, pg)
          assert.instanceOf(pg, Pg.Client)
          assert.deepStrictEqual((await pg.query("SELECT 1 AS a")).rows, [{ a: 1 }])
          assert.deepStrictEqual((await pg.query({ text: "SELECT $1::int", values: [2], rowMode: "array" })).rows, [[
            2
          ]])
          const called = await new Promise((resolve) => pg.query("SELECT 3 AS a", (_, { rows }) => resolve(rows)))
          assert.deepStrictEqual(called, [{ a: 3 }])
          await pg.query("SELECT 1 / 0").then(() => assert.fail(), (error) => assert.strictEqual(error.code, "22012"))
          const cursor = pg.query(new Cursor("SELECT generate_series(1, 5) AS n"))
          assert.strictEqual((await cursor.read(3)).length, 3)
          await cursor.close()
          const heard: Array<unknown> = []
          assert.strictEqual(pg.on("notice", ({ message }) => heard.push(message)), pg)
          pg.once("notification", ({ payload }) => heard.push(payload))
          await pg.query("DO $$ BEGIN RAISE NOTICE 'a notice'; END $$")
          await pg.query("LISTEN here")
          await pg.query("NOTIFY here, 'a payload'")
          await pg.query("UNLISTEN here")
          assert.deepStrictEqual(heard, ["a notice", "a payload"])
          assert.strictEqual(pg.escapeIdentifier("a\"b"), "\"a\"\"b\"")
          assert.strictEqual(pg.processID, connection.processId)
          assert.strictEqual((pg as any).getTransactionStatus(), "I")
          assert.isFalse(pg.connection.stream.destroyed)
          pg.setTypeParser(23, (text) => `int ${text}`)
          assert.deepStrictEqual((await pg.query("SELECT 1 AS a")).rows, [{ a: "int 1" }])
          // As plugins of pg call it.
          const { rows } = await (Pg.Client.prototype.query as any).call(pg, "SELECT 2 AS a")
          assert.deepStrictEqual(rows, [{ a: "int 2" }])
          assert.instanceOf(pg.connection, Pg.Connection)
          assert.instanceOf(pg.connection.stream, Socket)
          assert.strictEqual(pg.connection.stream, pg.connection.stream)
        })
      )
    }))

  it.scopedLive("its type parsers are gone after the end, those of the client are not", () =>
    Effect.gen(function*() {
      const getTypeParser = (oid: number, format: any): any =>
        oid === 25 ? (text: string) => `text ${text}` : Pg.types.getTypeParser(oid, format)
      const { pool, sql } = yield* makePool({ ...one, types: { getTypeParser } as never })
      const rows = sql`SELECT 1 AS a, 'b'::text AS b`
      yield* pool.use(({ pg }) => Effect.sync(() => pg.setTypeParser(23, () => "int")))
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* rows, [{ a: 1, b: "text b" }])
      yield* pool.use((connection) =>
        Effect.gen(function*() {
          connection.pg.setTypeParser(23, () => "int")
          connection.pg.setTypeParser(16, () => "bool")
          const own = yield* connection.execute("SELECT 1 AS a, 'b'::text AS b, true AS c", [], undefined)
          assert.deepStrictEqual(own, [{ a: "int", b: "text b", c: "bool" }])
        })
      )
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* rows, [{ a: 1, b: "text b" }])
    }))

  const leases: Record<string, (pool: PgPool.PgPool) => Effect.Effect<PgPool.PgConnection, unknown>> = {
    "pool.use": (pool) => pool.use(Effect.succeed),
    "pool.get": (pool) => Effect.scoped(pool.get),
    "sql.reserve": (pool) => Effect.scoped(pool.client.reserve) as never,
    "withTransaction": (pool) =>
      pool.client.withTransaction(
        Effect.map(
          Effect.context<never>(),
          (context) =>
            Option.getOrThrow(Context.getOption(context, SqlClient.TransactionConnection))[0] as PgPool.PgConnection
        )
      )
  }
  for (const [name, lease] of Object.entries(leases)) {
    it.scopedLive(`it is dead after the end, and touches nobody's work: ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { pool, sql } = yield* makePool(one)
        const leaked = yield* lease(pool)
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 1)
          assert.throws(() => leaked.pg, PgError.LeaseEnded)
          const rollback = Effect.tryPromise(() => leaked.pg.query("ROLLBACK"))
          assert.instanceOf((yield* promptly(Effect.flip(rollback))).error, PgError.LeaseEnded)
        }))
        assert.deepStrictEqual(yield* table.ids, [1])
      }))
  }

  it.scopedLive("so it is where it, or a method of it, was taken before the end", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool(one)
      const { connection, pg, query } = yield* pool.use(({ pg }) =>
        Effect.succeed({ pg, query: pg.query.bind(pg) as any, connection: (pg as any).connection })
      )
      const uses: Array<() => unknown> = [
        () => pg.query("ROLLBACK"),
        () => query("ROLLBACK"),
        () => pg.query(new Cursor("SELECT 1")),
        () => pg.end(),
        () => pg.on("notice", () => {}),
        () => (pg as Raw).connection.stream,
        () => (pg as any).processID,
        () => (pg as any).connection = undefined,
        () => delete (pg as any).connection,
        () => Object.defineProperty(pg, "query", { value: undefined }),
        () => connection.query("ROLLBACK"),
        () => connection.stream.destroy()
      ]
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        for (const use of uses) assert.throws(use, PgError.LeaseEnded)
      }))
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("its listeners are gone after the end, and those of the pool are not", () =>
    Effect.gen(function*() {
      const { pool, server } = yield* makePool(one)
      const heard: Array<unknown> = []
      const noticing = (connection: PgPool.PgConnection) =>
        connection.executeRaw("DO $$ BEGIN RAISE NOTICE 'a notice'; END $$", [])
      const listening = (connection: PgPool.PgConnection) => {
        for (const method of ["on", "once", "addListener", "prependListener", "prependOnceListener"] as const) {
          const { pg } = connection as any
          pg[method]("notice", () => heard.push(method))
        }
        return Effect.void
      }
      yield* pool.use(listening)
      const pid = yield* pool.use((connection) => Effect.as(noticing(connection), connection.processId))
      assert.deepStrictEqual(heard, [])
      yield* pool.use((connection) => Effect.zipRight(listening(connection), noticing(connection)))
      assert.strictEqual(heard.length, 5)
      // An error without a listener would end the process.
      yield* server.terminate(pid)
      yield* eventually(pool.stats, ({ size }) => size === 0)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(pool.use(noticing))))
    }))

  it.scopedLive("it goes on while a query of its own outlives the lease", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ ...one, cleanupTimeout: "10 seconds" })
      const sleeping = yield* pool.use(({ pg }) => Effect.sync(() => ({ answer: pg.query("SELECT pg_sleep(0.2)") })))
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
      yield* Effect.promise(() => sleeping.answer.then(() => {}, () => {}))
    }))
})
