import { SqlClient, SqlError } from "@effect/sql"
import * as PgDrizzle from "@effect/sql-drizzle/Pg"
import { assert, layer } from "@effect/vitest"
import * as Orm from "drizzle-orm"
import type * as OrmTypes from "drizzle-orm" with { "resolution-mode": "require" }
import * as Core from "drizzle-orm/pg-core"
import type * as CoreTypes from "drizzle-orm/pg-core" with { "resolution-mode": "require" }
import { Effect, Fiber, Layer, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import { makeMeeting } from "../support/ecosystem.js"
import type { Backend } from "../support/pgPool.js"
import { causeTagOf, codeOf, eventually, makeTable, promptly, serverUrl, uniqueName, watch } from "../support/pgPool.js"

// To the compiler @effect/sql-drizzle is CommonJS and has drizzle-orm's other declarations, which are not the same types.
const { asc, eq, sql: fragment } = Orm as unknown as typeof OrmTypes
const { integer, pgTable, text } = Core as unknown as typeof CoreTypes

const makePeople = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const table = yield* makeTable("id integer PRIMARY KEY, full_name text NOT NULL")
  const people = pgTable(table.name, { id: integer("id").primaryKey(), fullName: text("full_name").notNull() })
  const db = yield* PgDrizzle.PgDrizzle
  const pid = Effect.map(
    db.select({ pid: fragment<number>`pg_backend_pid()` }).from(fragment`(VALUES (1)) AS one`),
    (rows) => rows[0].pid
  )
  return { sql, table, people, db, pid }
})

const ada = { id: 1, fullName: "Ada" }
const eve = { id: 2, fullName: "Eve" }
const grace = { id: 3, fullName: "Grace" }

const app = uniqueName()

const isAsleep = ({ query, state }: Backend) => query.includes("pg_sleep") && state === "active"

const liveOf = (options?: PgPool.PgPoolOptions) =>
  PgDrizzle.layer.pipe(Layer.provideMerge(PgPool.layer({
    url: serverUrl,
    transformResultNames: Str.snakeToCamel,
    transformQueryNames: Str.camelToSnake,
    applicationName: app,
    ...options
  })))

layer(liveOf(), { excludeTestServices: true })("drizzle", (it) => {
  it.scoped("R31: insert, select, update and delete", () =>
    Effect.gen(function*() {
      const { db, people, table } = yield* makePeople
      assert.deepStrictEqual(yield* db.insert(people).values([ada, eve]).returning(), [ada, eve])
      yield* db.insert(people).values(grace)
      assert.deepStrictEqual(yield* db.select().from(people).where(eq(people.fullName, "Grace")), [grace])
      const renamed = yield* db.update(people).set({ fullName: "Bob" }).where(eq(people.id, 2)).returning({
        name: people.fullName
      })
      assert.deepStrictEqual(renamed, [{ name: "Bob" }])
      yield* db.delete(people).where(eq(people.id, 1))
      assert.deepStrictEqual(yield* db.select({ id: people.id }).from(people).orderBy(asc(people.id)), [
        { id: 2 },
        { id: 3 }
      ])
      assert.deepStrictEqual(yield* table.ids, [2, 3])
    }))

  it.scoped("R31: in a transaction it runs on its connection, sees what it did and is undone with it", () =>
    Effect.gen(function*() {
      const { db, people, pid, sql, table } = yield* makePeople
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        const [mine] = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
        yield* db.insert(people).values(ada)
        assert.strictEqual(yield* pid, mine.pid)
        assert.deepStrictEqual(yield* db.select().from(people), [ada])
        assert.deepStrictEqual(yield* sql`SELECT * FROM ${sql(table.name)}`, [ada])
        assert.deepStrictEqual(yield* table.ids, [])
        return yield* Effect.fail("no" as const)
      })).pipe(Effect.flip)
      assert.strictEqual(error, "no")
      assert.deepStrictEqual(yield* db.select().from(people), [])
    }))

  it.scoped("R31: it commits with the transaction, and what is nested is undone alone", () =>
    Effect.gen(function*() {
      const { db, people, sql, table } = yield* makePeople
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* db.insert(people).values(ada)
        yield* Effect.flip(sql.withTransaction(Effect.zipRight(db.insert(people).values(eve), Effect.fail("no"))))
        yield* db.insert(people).values(grace)
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 3])
    }))

  it.scoped("R31: transactions at the same time are apart", () =>
    Effect.gen(function*() {
      const { db, people, pid, sql, table } = yield* makePeople
      const written = yield* makeMeeting(3)
      const seen = yield* makeMeeting(3)
      const pids = yield* Effect.forEach([ada, eve, grace], (person) =>
        sql.withTransaction(Effect.gen(function*() {
          yield* db.insert(people).values(person)
          yield* written
          assert.deepStrictEqual(yield* db.select().from(people), [person])
          yield* seen
          return yield* pid
        })), { concurrency: "unbounded" })
      assert.strictEqual(new Set(pids).size, 3)
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
    }))

  it.scoped("R31: a failing statement is a typed SqlError, with the server's own error below", () =>
    Effect.gen(function*() {
      const { db, people } = yield* makePeople
      yield* db.insert(people).values(ada)
      const error = yield* Effect.flip(db.insert(people).values(ada))
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(codeOf(error.cause), "23505")
    }))

  it.scoped("R31: a transaction interrupted in a statement leaves nothing behind", () =>
    Effect.gen(function*() {
      const { db, people, sql, table } = yield* makePeople
      const server = yield* watch()
      const fiber = yield* Effect.fork(sql.withTransaction(
        Effect.zipRight(db.insert(people).values(ada), db.execute(fragment`SELECT pg_sleep(60)`))
      ))
      yield* server.until(app, (sessions) => sessions.some(isAsleep))
      yield* promptly(Fiber.interrupt(fiber))
      yield* server.until(app, (sessions) => !sessions.some(isAsleep))
      yield* db.insert(people).values(ada)
      assert.deepStrictEqual(yield* table.ids, [1])
    }))
})

const Small = liveOf({ maxsize: 1, maxoverflow: 1, maxWaiting: 1 })

layer(Small, { excludeTestServices: true })("drizzle on a full pool", (it) => {
  it.scoped("R31: what the pool says is below the SqlError", () =>
    Effect.gen(function*() {
      const { db, people, sql } = yield* makePeople
      const pool = yield* PgPool.PgPool
      yield* sql.reserve
      yield* Effect.forkScoped(sql`SELECT 1`)
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      const error = yield* Effect.flip(db.select().from(people))
      assert.strictEqual(causeTagOf(error.cause), "PoolQueueFull")
    }))
})
