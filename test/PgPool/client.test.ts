import { Reactivity } from "@effect/experimental"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Chunk, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { PgPool } from "effect-pgpool"
import { inject } from "vitest"
import type { Use } from "../support/besideStock.js"
import { makeStock, names } from "../support/besideStock.js"
import { codeOf, makePool, makeTable, pidOf, promptly, serverUrl } from "../support/pgPool.js"

/** Stock leaves it to the cause to tell the reason. */
const withoutReason = (message: string): string => message.replace(/^(Failed to execute statement): .*$/s, "$1")

/** Without what can't be the same for two runs. */
const comparable = (exit: Exit.Exit<unknown, unknown>): unknown =>
  JSON.parse(JSON.stringify(
    Exit.match(exit, {
      onSuccess: (value) => ({ value }),
      onFailure: (cause) => ({
        failure: Cause.prettyErrors(cause).map(({ message }) => withoutReason(message)),
        code: cause._tag === "Fail" ? codeOf(cause.error) : undefined
      })
    }),
    (key, value) => key === "_types" || key === "_parsers" || key === "tableID" ? undefined : value
  ) as string)

interface Pair {
  readonly ours: PgClient.PgClient
  readonly stock: PgClient.PgClient
  readonly table: string
}

const Pair = Context.GenericTag<Pair>("test/Pair")

const pairOf = (options: PgPool.PgPoolOptions & PgClient.PgClientConfig) =>
  Layer.scoped(
    Pair,
    Effect.gen(function*() {
      const { name: table } = yield* makeTable(columns)
      const { sql: ours } = yield* makePool(options)
      return { ours, stock: yield* makeStock(options), table }
    })
  )

const columns = "id integer PRIMARY KEY, full_name text, extra_data jsonb"

const fill = (sql: PgClient.PgClient, table: string) =>
  sql`INSERT INTO ${sql(table)} ${
    sql.insert([
      { id: 1, fullName: "Ada", extraData: { firstKey: 1 } },
      { id: 2, fullName: "Grace", extraData: { firstKey: 2 } }
    ])
  }`

const filled = (use: Use): Use => (sql, table) => Effect.zipRight(fill(sql, table), use(sql, table))

describe("R31: the same as stock PgClient", () => {
  const uses: Record<string, Use> = {
    "simple query": (sql) => sql`SELECT 1 AS some_number, 'a' AS some_text`,
    "extended query": (sql) => sql`SELECT ${1}::integer AS some_number, ${"a"} AS some_text`,
    "values of many types": (sql) =>
      sql`SELECT ${true} AS b, ${null}::text AS n, ${new Date(0)}::timestamptz AS d, ${Buffer.from("ab")}::bytea AS y,
        ${[1, 2] as any}::integer[] AS a, ${"12345678901234567890"}::numeric AS m, 9007199254740993::bigint AS i`,
    "no row": (sql) => sql`SELECT 1 AS a WHERE false`,
    "empty statement": (sql) => sql.unsafe(""),
    "DDL": (sql) => sql.unsafe("CREATE TEMPORARY TABLE IF NOT EXISTS ddl (id integer)"),
    "several statements": (sql) => sql.unsafe("SELECT 1 AS some_number; SELECT 2 AS b, 3 AS c; SET work_mem = DEFAULT"),
    "several statements, raw": (sql) => sql.unsafe("SELECT 1 AS some_number; SELECT 2 AS b").raw,
    "several statements with parameters": (sql) => sql.unsafe("SELECT $1; SELECT 2", [1]),
    "several statements as a stream": (sql) => Stream.runCollect(sql.unsafe("SELECT 1; SELECT 2").stream),
    "raw": (sql) => sql`SELECT 1 AS some_number`.raw,
    "values": (sql) => sql`SELECT 1 AS a, 2 AS a, ${3}::integer`.values,
    "unprepared": (sql) => sql`SELECT ${1}::integer AS some_number`.unprepared,
    "without transform": (sql) =>
      sql`SELECT 1 AS some_number, ${sql("someColumn")} FROM (SELECT 2 AS "someColumn", 3 AS some_column) t`
        .withoutTransform,
    "stream": (sql) => Stream.runCollect(sql`SELECT n AS some_number FROM generate_series(1, 5) n`.stream),
    "unsafe with parameters": (sql) => sql.unsafe("SELECT $1::integer + $2::integer AS sum", [1, 2]),
    "literal": (sql) => sql`SELECT ${sql.literal("1 AS some_number")}`,
    "csv, and, or, in": (sql) =>
      sql`SELECT ${sql.csv(["1 AS a", sql`2 AS b`])} WHERE ${
        sql.and(["true", sql.or(["false", sql`1 IN ${sql.in([1, 2])}`])])
      }`,
    "in with nothing": (sql) => sql`SELECT 1 AS a WHERE 1 IN ${sql.in([])}`,
    "join": (sql) => sql`SELECT 1 AS a WHERE ${sql.join(" OR ")(["false", "true"])}`,
    "onDialect": (sql) =>
      sql.onDialect({
        pg: () => sql`SELECT 'pg' AS d`,
        sqlite: () => sql`SELECT 1`,
        mysql: () => sql`SELECT 1`,
        mssql: () => sql`SELECT 1`,
        clickhouse: () => sql`SELECT 1`
      }),
    "onDialectOrElse": (sql) => sql.onDialectOrElse({ pg: () => sql`SELECT 'pg' AS d`, orElse: () => sql`SELECT 1` }),
    "insert": fill,
    "insert returning": (sql, table) =>
      sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 1, fullName: "Ada", extraData: null }).returning("*")}`,
    "update": filled((sql, table) =>
      sql`UPDATE ${sql(table)} SET ${sql.update({ id: 1, fullName: "Eve" }, ["id"])} WHERE id = 1 RETURNING *`
    ),
    "update values": filled((sql, table) =>
      sql`UPDATE ${sql(table)} SET full_name = data.full_name
        FROM ${sql.updateValues([{ fullName: "Eve" }], "data")} WHERE id = 1 RETURNING id, ${sql(table)}.full_name`
    ),
    "select with names": filled((sql, table) =>
      sql`SELECT ${sql("fullName")}, extra_data FROM ${sql(table)} ORDER BY id`
    ),
    "delete, raw": filled((sql, table) => sql`DELETE FROM ${sql(table)}`.raw),
    "json object": (sql) => sql`SELECT ${sql.json({ someKey: [1, { otherKey: "a" }] })}::jsonb AS some_json`,
    "json in insert": (sql, table) =>
      sql`INSERT INTO ${sql(table)} ${
        sql.insert({ id: 1, extraData: sql.json({ aKey: 1 }) as any })
      } RETURNING extra_data`,
    "json column in JSON": (sql) => sql`SELECT '{"some_key": {"other_key": [{"third_key": 1}]}}'::jsonb AS some_json`,
    "duplicate column": (sql) => sql`SELECT 1 AS a, 2 AS a`,
    "without transforms": (sql) => sql.withoutTransforms()`SELECT 1 AS some_number`,
    "safe": (sql) => sql.safe`SELECT 1 AS some_number`,
    "syntax error": (sql) => sql`SELEC`,
    "error of a stream": (sql) => Stream.runCollect(sql`SELECT 1 / (2 - n) FROM generate_series(1, 3) n`.stream),
    "bad parameter": (sql) => sql`SELECT ${"x"}::integer`,
    "too few parameters": (sql) => sql.unsafe("SELECT $1, $2", [1]),
    "constraint": filled(fill as Use)
  }
  const modes: Record<string, PgPool.PgPoolOptions & PgClient.PgClientConfig> = {
    "as it stands": {},
    "with transforms": names,
    "with transforms, but not of JSON": { ...names, transformJson: false }
  }
  for (const [mode, options] of Object.entries(modes)) {
    layer(pairOf(options), { excludeTestServices: true })(mode, (it) => {
      for (const [name, use] of Object.entries(uses)) {
        it.effect(name, () =>
          Effect.gen(function*() {
            const { ours, stock, table } = yield* Pair
            const run = (sql: PgClient.PgClient) =>
              Effect.exit(use(sql, table)).pipe(
                Effect.ensuring(Effect.ignore(sql`DELETE FROM ${sql(table)}`)),
                Effect.map(comparable)
              )
            assert.deepStrictEqual(yield* run(ours), yield* run(stock))
          }))
      }
    })
  }

  it.scopedLive("what is compared above is what it should be", () =>
    Effect.gen(function*() {
      const { name: table } = yield* makeTable(columns)
      const { sql } = yield* makePool(names)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS some_number, ${"a"} AS some_text`, [{
        someNumber: 1,
        someText: "a"
      }])
      yield* fill(sql, table)
      assert.deepStrictEqual(yield* sql`SELECT * FROM ${sql(table)} WHERE id = 1`, [
        { id: 1, fullName: "Ada", extraData: { firstKey: 1 } }
      ])
      assert.deepStrictEqual(yield* sql`SELECT full_name FROM ${sql(table)} ORDER BY id`.values, [["Ada"], ["Grace"]])
      assert.deepStrictEqual(yield* sql`SELECT 1 AS some_number`.withoutTransform, [{ some_number: 1 }])
      assert.deepStrictEqual(yield* sql.unsafe("SELECT 1 AS a; SELECT 2 AS b"), [[{ a: 1 }], [{ b: 2 }]])
      const raw = yield* sql`SELECT 1 AS a`.raw
      assert.deepInclude(raw, { command: "SELECT", rowCount: 1 })
    }))
})

describe("R31: members", () => {
  it.scopedLive("the same object is under both tags, and in the service", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(PgPool.layer({ url: serverUrl }))
      const sql = Context.get(context, SqlClient.SqlClient)
      assert.strictEqual<unknown>(sql, Context.get(context, PgClient.PgClient))
      assert.strictEqual<unknown>(sql, Context.get(context, PgPool.PgPool).client)
      assert.strictEqual(sql.safe, sql)
    }))

  it.scopedLive("it has every member of stock PgClient", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const stock = yield* makeStock()
      const missing = (Reflect.ownKeys(stock) as Array<keyof typeof stock>)
        .filter((key) => typeof stock[key] !== typeof sql[key])
      assert.deepStrictEqual(missing, [])
    }))

  it.scopedLive("withoutTransforms switches off both kinds of transforms, whichever is set", () =>
    Effect.gen(function*() {
      const all = [
        names,
        { transformResultNames: names.transformResultNames },
        { transformQueryNames: names.transformQueryNames },
        {}
      ]
      for (const options of all) {
        const { sql } = yield* makePool(options)
        const plain = sql.withoutTransforms()
        const rows = plain`SELECT ${sql("aB")}, a_b FROM (SELECT 1 AS "aB", 2 AS a_b) t`
        assert.deepStrictEqual(yield* rows, [{ aB: 1, a_b: 2 }] as ReadonlyArray<unknown>)
        assert.strictEqual(plain.safe, plain)
        assert.strictEqual(plain.withoutTransforms(), plain)
        // The copy is in the same transaction and has all members.
        const [one, two] = yield* sql.withTransaction(Effect.all([pidOf(sql), pidOf(plain as PgClient.PgClient)]))
        assert.strictEqual(one, two)
        assert.deepStrictEqual(Reflect.ownKeys(plain), Reflect.ownKeys(sql))
      }
    }))

  it.scopedLive("types of one's own, for results of every kind", () =>
    Effect.gen(function*() {
      const types = {
        getTypeParser: (oid: number) => (text: string) => oid === 20 ? BigInt(text) : text
      } as unknown as NonNullable<PgPool.PgPoolOptions["types"]>
      const { sql } = yield* makePool({ types })
      const expected: ReadonlyArray<unknown> = [{ big: 9007199254740993n }]
      const select = sql`SELECT 9007199254740993::bigint AS big`
      assert.deepStrictEqual(yield* select, expected)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(select.stream)), expected)
      const inside = sql.withTransaction(Stream.runCollect(select.stream))
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* inside), expected)
      assert.deepStrictEqual(yield* select.values, [[9007199254740993n]])
    }))

  it.scopedLive("config is filled from the URL, and explicit options win", () =>
    Effect.gen(function*() {
      const url = Redacted.make("postgres://ada:s3cret@db.example:6543/shop?application_name=from_url")
      const fromUrl = (yield* clientOf({ url })).config
      assert.deepInclude(fromUrl, { host: "db.example", port: 6543, username: "ada", database: "shop" })
      assert.strictEqual(Redacted.value(fromUrl.password!), "s3cret")
      assert.strictEqual(Redacted.value(fromUrl.url!), Redacted.value(url))
      const explicit = (yield* clientOf({
        url,
        host: "other",
        port: 1,
        username: "eve",
        database: "else",
        password: Redacted.make("mine"),
        applicationName: "mine"
      })).config
      assert.deepInclude(explicit, {
        host: "other",
        port: 1,
        username: "eve",
        database: "else",
        applicationName: "mine"
      })
      assert.strictEqual(Redacted.value(explicit.password!), "mine")
      assert.notInclude(JSON.stringify([fromUrl, explicit]), "s3cret")
      const ssl = (yield* clientOf({ url: Redacted.make("postgres://a@b/c?sslmode=no-verify") })).config.ssl
      assert.isTrue(ssl === true || typeof ssl === "object")
    }))

  it.scopedLive("explicit options win over the URL on the server too", () =>
    Effect.gen(function*() {
      const url = new URL(inject("pgUrl"))
      url.password = "wrong"
      url.searchParams.set("application_name", "from_url")
      const { app, sessions, sql } = yield* makePool({
        url: Redacted.make(url.href),
        password: Redacted.make("postgres")
      })
      yield* sql`SELECT 1`
      assert.strictEqual((yield* sessions).length, 1)
      assert.deepStrictEqual(yield* sql`SHOW application_name`, [{ application_name: app }])
    }))

  it.scopedLive("reserve: one connection for the scope, given back after", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 2 })
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        const pid = () => connection.executeValues("SELECT pg_backend_pid()", [])
        const first = yield* pid()
        assert.deepStrictEqual(yield* pid(), first)
        assert.notStrictEqual(yield* pidOf(sql), first[0][0])
        assert.deepStrictEqual(yield* connection.execute("SELECT $1::integer AS a_b", [1], undefined), [{ a_b: 1 }])
        const transform = (rows: ReadonlyArray<any>) => rows.map((row) => ({ ...row, seen: true }))
        assert.deepStrictEqual(yield* connection.execute("SELECT 1 AS a", [], transform as any), [{ a: 1, seen: true }])
        assert.deepStrictEqual(yield* connection.executeUnprepared("SELECT 1 AS a", [], transform as any), [
          { a: 1, seen: true }
        ])
        const streamed = connection.executeStream("SELECT 1 AS a", [], transform as any)
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(streamed)), [{ a: 1, seen: true }])
        assert.deepInclude(yield* connection.executeRaw("SELECT 1 AS a", []), { rowCount: 1 })
        assert.isAtLeast((yield* pool.stats).busy, 1)
      }))
      assert.deepInclude(yield* pool.stats, { busy: 0 })
    }))

  it.scopedLive("reactive runs again when its key is invalidated", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const context = yield* Layer.build(Layer.merge(PgPool.layer({ url: serverUrl }), Reactivity.layer))
      const sql = Context.get(context, SqlClient.SqlClient)
      const count = Effect.map(
        sql<{ n: number }>`SELECT count(*)::integer AS n FROM ${sql(table.name)}`,
        (rows) => rows[0].n
      )
      const first = yield* Deferred.make<void>()
      const counts = yield* Effect.fork(
        sql.reactive(["key"], count).pipe(
          Stream.tap(() => Deferred.succeed(first, undefined)),
          Stream.take(2),
          Stream.runCollect
        )
      )
      yield* Deferred.await(first)
      const mailbox = yield* sql.reactiveMailbox(["key"], count)
      assert.strictEqual(yield* mailbox.take, 0)
      yield* sql`INSERT INTO ${sql(table.name)} (id) VALUES (1)`
      yield* Context.get(context, Reactivity.Reactivity).invalidate(["key"])
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* promptly(Fiber.join(counts))), [0, 1])
      assert.strictEqual(yield* promptly(mailbox.take), 1)
    }))
})

const clientOf = (options: PgPool.PgPoolOptions) =>
  Effect.map(Layer.build(PgPool.layer(options)), (context) => Context.get(context, PgClient.PgClient))
