import type { PgClient } from "@effect/sql-pg"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import {
  codeOf,
  insert,
  isSleeping,
  makePool,
  makeTable,
  nobodySleeps,
  promptly,
  serverUrl,
  watch
} from "../support/pgPool.js"

/** Everything goes through one connection. */
const one = { maxsize: 1, maxoverflow: 1, prepare: true, validateAfterIdle: "1 hour" } as const

/** What the server has prepared on the connection, oldest first. */
const prepared = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ statement: string }>`SELECT statement FROM pg_prepared_statements ORDER BY prepare_time, name`,
    (rows) => rows.map(({ statement }) => statement)
  )

const names = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ name: string }>`SELECT name FROM pg_prepared_statements ORDER BY name`,
    (rows) => rows.map(({ name }) => name)
  )

const byId = (sql: PgClient.PgClient, table: { readonly name: string }, id: number) =>
  sql`SELECT * FROM ${sql(table.name)} WHERE id = ${id}`

/** Nothing tells the client of it. */
const deallocateUnseen = (sql: PgClient.PgClient) => sql.unsafe("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")

const discards = {
  "DISCARD ALL": (sql: PgClient.PgClient) => sql.unsafe("DISCARD ALL"),
  "DEALLOCATE ALL": (sql: PgClient.PgClient) => sql.unsafe("DEALLOCATE ALL"),
  "a DEALLOCATE of one": (sql: PgClient.PgClient) =>
    Effect.flatMap(names(sql), ([name]) => sql.unsafe(`DEALLOCATE ${name}`)),
  "several statements in one": (sql: PgClient.PgClient) => sql.unsafe("SELECT 1; DEALLOCATE ALL; SELECT 2")
}

describe("R33: prepare", () => {
  it.scopedLive("is off by default", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ ...one, prepare: undefined })
      yield* sql`SELECT ${1}::int`
      assert.deepStrictEqual(yield* prepared(sql), [])
    }))

  it.scopedLive("a text is parsed once for each connection, and used whatever asks for it", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(one)
      const select = (n: number) => sql<{ n: number }>`SELECT ${n}::int AS n`
      assert.deepStrictEqual(yield* select(1), [{ n: 1 }])
      const before = yield* names(sql)
      assert.lengthOf(before, 1)
      assert.deepStrictEqual(yield* select(2), [{ n: 2 }])
      assert.deepStrictEqual(yield* select(3).values, [[3]])
      assert.deepInclude(yield* select(4).raw, { command: "SELECT", rows: [{ n: 4 }] })
      assert.deepStrictEqual(yield* sql.withTransaction(select(5)), [{ n: 5 }])
      const reserved = pool.use((connection) => connection.execute("SELECT $1::int AS n", [6], undefined))
      assert.deepStrictEqual(yield* reserved, [{ n: 6 }])
      assert.deepStrictEqual(yield* names(sql), before)
      assert.deepStrictEqual(yield* prepared(sql), ["SELECT $1::int AS n"])
      const uses = yield* sql`SELECT generic_plans + custom_plans AS uses FROM pg_prepared_statements`
      assert.deepStrictEqual(uses, [{ uses: "6" }])
    }))

  it.scopedLive("not what has no parameters, what is to be unprepared, or a stream", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool(one)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.deepStrictEqual(yield* sql`SELECT ${2}::int AS n`.unprepared, [{ n: 2 }])
      yield* Stream.runDrain(sql`SELECT ${3}::int AS n`.stream)
      yield* sql.withTransaction(Stream.runDrain(sql`SELECT ${4}::int AS n`.stream))
      yield* sql.unsafe("SELECT 1; SELECT 2")
      assert.deepStrictEqual(yield* prepared(sql), [])
    }))

  it.scopedLive("values, transforms and parsers are as without it", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({
        ...one,
        transformResultNames: (name) => name.toUpperCase(),
        types: { getTypeParser: (oid: number) => (text: string) => oid === 25 ? `<${text}>` : text } as never
      })
      for (const _ of [1, 2]) {
        const rows = yield* sql`SELECT ${"a"}::text AS a, ${null}::text AS b, ${new Date(0)}::timestamptz
          = 'epoch' AS c, ${Buffer.from([1])}::bytea AS d, ${sql.json({ e: [1] })} AS e`
        assert.deepStrictEqual(rows, [{ A: "<a>", B: null, C: "t", D: "\\x01", E: "<{\"e\":[1]}>" }])
      }
      assert.lengthOf(yield* prepared(sql), 1)
    }))

  it.scopedLive("a value that can't be sent fails, and nothing is sent", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(one)
      const circle: Record<string, unknown> = {}
      circle["circle"] = circle
      const bad = pool.use((connection) => connection.execute("SELECT $1::json", [circle], undefined))
      assert.instanceOf(yield* Effect.flip(bad), SqlError)
      assert.deepStrictEqual(yield* prepared(sql), [])
    }))

  it.scopedLive("no more than the limit, on the server; the least recently used one goes", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ ...one, prepare: 3 })
      const select = (n: number) => sql.unsafe(`SELECT $1::int AS n${n}`, [n])
      for (const n of [1, 2, 3, 1, 4]) yield* select(n)
      const texts = (...ns: Array<number>) => ns.map((n) => `SELECT $1::int AS n${n}`)
      assert.deepStrictEqual(yield* prepared(sql), texts(1, 3, 4))
      for (let n = 10; n < 30; n++) {
        assert.deepStrictEqual(yield* select(n), [{ [`n${n}`]: n }])
        assert.lengthOf(yield* prepared(sql), 3)
      }
      assert.deepStrictEqual(yield* prepared(sql), texts(27, 28, 29))
    }))

  it.scopedLive("neither an eviction nor a failing Parse costs a round trip", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ ...one, url: proxy.url, prepare: 1 })
      yield* sql`SELECT ${0}::int`
      let requests = 0
      proxy.onRequest = () => requests++
      for (let n = 1; n <= 5; n++) yield* sql.unsafe(`SELECT $1::int AS n${n}`, [n])
      assert.strictEqual(requests, 5)
      yield* Effect.flip(sql`SELECT ${1} FROM missing`)
      assert.strictEqual(requests, 6)
    }))

  it.scopedLive("what the server could not parse is not taken for prepared, and costs no room", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql } = yield* makePool({ ...one, prepare: 2 })
      yield* byId(sql, table, 1)
      const later = `${table.name}_later`
      const early = () => byId(sql, { name: later }, 1)
      assert.strictEqual(codeOf(yield* Effect.flip(early())), "42P01")
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SELEC ${1}`)), "42601")
      assert.strictEqual(codeOf(yield* Effect.flip(early())), "42P01")
      assert.lengthOf(yield* prepared(sql), 1)
      yield* Effect.acquireRelease(
        server.query(`CREATE TABLE ${later} (id integer)`),
        () => server.query(`DROP TABLE ${later}`)
      )
      assert.deepStrictEqual(yield* early(), [])
      assert.lengthOf(yield* prepared(sql), 2)
    }))

  it.scopedLive("what fails when it is run stays prepared", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool(one)
      yield* insert(sql, table, 1)
      const before = yield* names(sql)
      assert.strictEqual(codeOf(yield* Effect.flip(insert(sql, table, 1))), "23505")
      yield* insert(sql, table, 2)
      assert.deepStrictEqual(yield* names(sql), before)
    }))
})

describe("R33: prepare: what becomes stale is prepared again", () => {
  it.scopedLive("after a change of the result's type: nobody notices, and it runs once", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id serial PRIMARY KEY, name text")
      const { server, sql } = yield* makePool(one)
      const add = () => sql`INSERT INTO ${sql(table.name)} (name) VALUES (${"Ada"}) RETURNING *`
      assert.deepStrictEqual(yield* add(), [{ id: 1, name: "Ada" }])
      yield* server.query(`ALTER TABLE ${table.name} ADD COLUMN born integer`)
      assert.deepStrictEqual(yield* add(), [{ id: 2, name: "Ada", born: null }])
      assert.deepStrictEqual(yield* add().values, [[3, "Ada", null]])
      assert.lengthOf(yield* prepared(sql), 1)
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
    }))

  it.scopedLive("after a change of a parameter's type", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id integer, name text")
      const { server, sql } = yield* makePool(one)
      const add = (id: unknown) => sql`INSERT INTO ${sql(table.name)} (id) VALUES (${id as number})`
      yield* add(1)
      yield* server.query(`ALTER TABLE ${table.name} ALTER COLUMN id TYPE bigint`)
      yield* add("3000000000")
      yield* server.query(`ALTER TABLE ${table.name} ALTER COLUMN id TYPE text`)
      yield* add("a")
      const select = sql`SELECT name FROM ${sql(table.name)} WHERE id = ${"a"}`
      assert.lengthOf(yield* select, 1)
      yield* server.query(`DELETE FROM ${table.name}; ALTER TABLE ${table.name} ALTER COLUMN id TYPE date USING now()`)
      assert.strictEqual(codeOf(yield* Effect.flip(select)), "22007")
      yield* add(new Date(0))
    }))

  it.scopedLive("inside a transaction the caller is told, and the next one is right", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id integer, name text")
      const { server, sql } = yield* makePool(one)
      yield* insert(sql, table, 1)
      yield* byId(sql, table, 1)
      yield* server.query(`ALTER TABLE ${table.name} DROP COLUMN name`)
      const transaction = sql.withTransaction(Effect.zipRight(insert(sql, table, 2), byId(sql, table, 1)))
      const failure = yield* Effect.flip(transaction)
      assert.strictEqual(codeOf(failure), "0A000")
      assert.match(String((failure.cause as Error).message), /cached plan must not change result type/)
      assert.deepStrictEqual(yield* table.ids, [1])
      assert.deepStrictEqual(yield* transaction, [{ id: 1 }])
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))

  it.scopedLive("also in a transaction that the user began by hand", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id integer, name text")
      const { pool, server } = yield* makePool(one)
      const select = `SELECT * FROM ${table.name} WHERE id = $1`
      yield* pool.use((connection) =>
        Effect.gen(function*() {
          yield* connection.executeRaw(select, [1])
          yield* server.query(`ALTER TABLE ${table.name} DROP COLUMN name`)
          yield* connection.executeRaw("BEGIN", [])
          const failure = yield* Effect.flip(connection.executeRaw(select, [1]))
          assert.strictEqual(codeOf(failure), "0A000")
          yield* connection.executeRaw("ROLLBACK", [])
          yield* connection.executeRaw(select, [1])
        })
      )
    }))

  for (const [what, discard] of Object.entries(discards)) {
    it.scopedLive(`after ${what}: not even a transaction stumbles`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool(one)
        const select = (n: number) => sql<{ n: number }>`SELECT ${n}::int AS n`
        yield* select(1)
        yield* sql`SELECT ${"other"}::text`
        yield* discard(sql)
        assert.deepStrictEqual(yield* select(2), [{ n: 2 }])
        assert.deepStrictEqual(yield* prepared(sql), ["SELECT $1::int AS n"])
        if (what === "DISCARD ALL") return
        const both = yield* sql.withTransaction(Effect.zip(Effect.zipRight(discard(sql), select(3)), select(4)))
        assert.deepStrictEqual(both, [[{ n: 3 }], [{ n: 4 }]])
        assert.deepStrictEqual(yield* prepared(sql), ["SELECT $1::int AS n"])
      }))
  }

  it.scopedLive("after what users send by the client of pg", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(one)
      const select = sql`SELECT ${1}::int AS n`
      yield* select
      yield* pool.use(({ pg }) => Effect.promise(() => pg.query("DEALLOCATE ALL")))
      assert.deepStrictEqual(yield* sql.withTransaction(select), [{ n: 1 }])
    }))

  it.scopedLive("with reset \"session\" each borrower begins with none", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ ...one, reset: "session" })
      for (const n of [1, 2, 3]) {
        assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT ${n}::int AS n`), [{ n }])
        assert.deepStrictEqual(yield* prepared(sql), [])
      }
    }))

  it.scopedLive("DISCARD PLANS leaves them", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool(one)
      yield* sql`SELECT ${1}::int AS n`
      const before = yield* names(sql)
      yield* sql`DISCARD PLANS`
      yield* sql`SELECT ${1}::int AS n`
      assert.deepStrictEqual(yield* names(sql), before)
    }))

  it.scopedLive("a deallocation that nobody saw: it runs once; inside a transaction the caller is told, once", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id serial, name text")
      const { sql } = yield* makePool(one)
      const add = sql`INSERT INTO ${sql(table.name)} (name) VALUES (${"Ada"})`
      const other = sql`SELECT ${1}::int AS n`
      yield* add
      yield* other
      yield* deallocateUnseen(sql)
      yield* add
      assert.deepStrictEqual(yield* table.ids, [1, 2])
      // All were forgotten, so this one doesn't stumble either.
      yield* sql.withTransaction(other)
      yield* add
      yield* deallocateUnseen(sql)
      const transaction = sql.withTransaction(Effect.zipRight(add, other))
      assert.strictEqual(codeOf(yield* Effect.flip(transaction)), "26000")
      yield* transaction
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3, 4])
    }))

  it.scopedLive("what fails with such a code while it runs is not run again", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql } = yield* makePool(one)
      yield* Effect.acquireRelease(
        server.query(`
          CREATE PROCEDURE ${table.name}_add(n integer) LANGUAGE plpgsql AS $$
          BEGIN
            INSERT INTO ${table.name} SELECT coalesce(max(id), 0) + 1 FROM ${table.name};
            COMMIT;
            IF n > 0 THEN EXECUTE 'EXECUTE missing'; END IF;
          END $$`),
        () => server.query(`DROP PROCEDURE ${table.name}_add`)
      )
      const add = (n: number) => sql`CALL ${sql(`${table.name}_add`)}(${n})`
      yield* add(0)
      assert.strictEqual(codeOf(yield* Effect.flip(add(1))), "26000")
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))
})

describe("R33: prepare: interruption", () => {
  it.scopedLive("R16: in the second attempt it is cancelled as ever", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool(one)
      const sleep = (seconds: number) => sql`SELECT pg_sleep(${seconds})`
      yield* sleep(0)
      yield* deallocateUnseen(sql)
      const sleeper = yield* Effect.fork(sleep(60))
      yield* until((sessions) => sessions.some(isSleeping))
      assert.deepInclude(yield* pool.stats, { busy: 1, idle: 0 })
      yield* promptly(Fiber.interrupt(sleeper))
      yield* until(nobodySleeps)
      assert.deepStrictEqual(yield* sql`SELECT ${1}::int AS n`, [{ n: 1 }])
    }))

  it.scopedLive("R12, R16: at any moment of both attempts: it runs once or not at all, and nothing is lost", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id serial, n integer")
      const { pool, server, sql } = yield* makePool(one)
      const add = (n: number) => sql`INSERT INTO ${sql(table.name)} (n) VALUES (${n})`
      yield* add(-1)
      let done = 0
      for (let n = 0; n < 150; n++) {
        yield* deallocateUnseen(sql)
        const fiber = yield* Effect.fork(add(n))
        // From before the first was sent to after the second was answered.
        const turns = n % 50
        for (let i = 0; i < turns; i++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        const exit = yield* promptly(Fiber.interrupt(fiber))
        if (exit._tag === "Success") done++
        yield* add(-1)
      }
      const rows = yield* server.query(`SELECT n, count(*)::int FROM ${table.name} WHERE n >= 0 GROUP BY n`)
      assert.isEmpty(rows.filter(({ count }) => count !== 1))
      assert.isAtLeast(rows.length, done)
      assert.deepInclude(yield* pool.stats, { size: 1, busy: 0 })
    }))

  it.scopedLive("many fibers with the same texts on one connection", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ ...one, prepare: 3 })
      const ask = (n: number): Effect.Effect<unknown, SqlError> =>
        n % 7 === 0
          ? Effect.timeoutOption(sql`SELECT pg_sleep(${60})`, 2)
          : Effect.map(
            sql.unsafe(`SELECT $1::int AS n${n % 5}`, [n]),
            (rows) => assert.deepStrictEqual(rows, [{ [`n${n % 5}`]: n }])
          )
      yield* Effect.forEach(Array.from({ length: 200 }, (_, n) => n), ask, { concurrency: "unbounded" })
      assert.isAtMost((yield* prepared(sql)).length, 3)
    }))
})

/** A pool whose statements are all on their way on one connection before the first is answered. */
const pipelined = (limit: number) =>
  Effect.gen(function*() {
    const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, multiplex: 100, prepare: limit })
    const run = (text: string, value: unknown) => sql.unsafe(text, [value])
    const together = <A>(effects: ReadonlyArray<Effect.Effect<A, SqlError>>) =>
      Effect.all(effects.map((effect) => Effect.either(effect)), { concurrency: "unbounded" })
    return { sql, run, together, onServer: Effect.map(prepared(sql), ({ length }) => length) }
  })

describe("R33: prepare: several on their way at once", () => {
  it.scopedLive("each text is parsed once, and none that is on its way is closed too early", () =>
    Effect.gen(function*() {
      const { onServer, run, together } = yield* pipelined(2)
      const ns = Array.from({ length: 60 }, (_, n) => n)
      const rows = yield* together(ns.map((n) => run(`SELECT $1::int AS n${n % 4}`, n)))
      assert.deepStrictEqual(
        rows.map((row) => row._tag === "Right" ? row.right : row.left),
        ns.map((n) => [{ [`n${n % 4}`]: n }])
      )
      assert.strictEqual(yield* onServer, 2)
    }))

  it.scopedLive("behind a failing Parse all fail as they would alone", () =>
    Effect.gen(function*() {
      const { onServer, run, together } = yield* pipelined(9)
      yield* run("SELECT $1::int AS kept", 1)
      for (const _ of [1, 2]) {
        const exits = yield* together([1, 2, 3, 4].map((n) => run("SELECT $1::int FROM missing", n)))
        assert.deepStrictEqual(
          exits.map((exit) => exit._tag === "Left" && codeOf(exit.left)),
          ["42P01", "42P01", "42P01", "42P01"]
        )
      }
      yield* run("SELECT $1::int AS other", 1)
      assert.strictEqual(yield* onServer, 2)
    }))

  it.scopedLive("behind a schema change, and a deallocation that nobody saw, none fails", () =>
    Effect.gen(function*() {
      const server = yield* watch()
      const table = yield* makeTable("id integer, name text")
      const { onServer, run, sql, together } = yield* pipelined(9)
      const select = [1, 2, 3, 4].map((n) => run(`SELECT * FROM ${table.name} WHERE id = $1`, n))
      yield* together(select)
      yield* server.query(`ALTER TABLE ${table.name} DROP COLUMN name`)
      assert.isTrue(areAll(yield* together(select), (exit) => exit._tag === "Right"))
      yield* together(select)
      yield* sql.unsafe("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
      assert.isTrue(areAll(yield* together(select), (exit) => exit._tag === "Right"))
      yield* together(select)
      assert.strictEqual(yield* onServer, 1)
    }))
})
