import { Reactivity } from "@effect/experimental"
import { SqlClient, SqlError, Statement } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Chunk, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Stream, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import { inject } from "vitest"
import { codeOf, eventually, makePool, makeTable, pidOf, promptly, serverUrl } from "../support/pgPool.js"
import { traced } from "../support/spans.js"

type Use = (sql: PgClient.PgClient, table: string) => Effect.Effect<unknown, unknown>

const names = { transformResultNames: Str.snakeToCamel, transformQueryNames: Str.camelToSnake }

const makeStock = (options?: PgClient.PgClientConfig) =>
  Effect.map(
    Layer.build(PgClient.layer({ url: serverUrl, ...options })),
    (context) => Context.get(context, PgClient.PgClient)
  )

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

describe("the same as stock PgClient", () => {
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

describe("spans, the same as of stock PgClient", () => {
  const uses: Record<string, Use> = {
    "query": (sql) => sql`SELECT ${1}::integer AS a`,
    "failing query": (sql) => sql`SELEC`,
    "values": (sql) => sql`SELECT 1`.values,
    "raw": (sql) => sql`SELECT 1`.raw,
    "unprepared": (sql) => sql`SELECT 1`.unprepared,
    "without transform": (sql) => sql`SELECT 1`.withoutTransform,
    "stream": (sql) => Stream.runDrain(sql`SELECT n FROM generate_series(1, 300) n`.stream),
    "failing stream": (sql) => Stream.runDrain(sql`SELECT 1 / (2 - n) FROM generate_series(1, 3) n`.stream),
    "stream left early": (sql) => Stream.runDrain(Stream.take(sql`SELECT n FROM generate_series(1, 300) n`.stream, 1)),
    "transaction": (sql) => sql.withTransaction(Effect.zipRight(sql`SELECT 1`, sql`SELECT 2`)),
    "transaction that fails": (sql) => sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.fail("no"))),
    "transaction with savepoints": (sql) =>
      sql.withTransaction(Effect.all([
        sql`SELECT 1`,
        sql.withTransaction(sql`SELECT 2`),
        Effect.ignore(sql.withTransaction(Effect.zipRight(sql`SELECT 3`, Effect.fail("no"))))
      ])),
    "transaction with a stream": (sql) => sql.withTransaction(Stream.runDrain(sql`SELECT 1`.stream)),
    "spans of the user's": (sql) =>
      Effect.withSpan(
        sql.withTransaction(Effect.withSpan(sql`SELECT 1`, "inner")),
        "outer"
      )
  }
  for (const [name, use] of Object.entries(uses)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const options = { spanAttributes: { mine: 1, "db.system.name": "overruled" } }
        const { sql } = yield* makePool(options)
        const stock = yield* makeStock(options)
        const spans = yield* traced(use(sql, ""))
        assert.isAbove(spans.length, 0)
        assert.deepStrictEqual(spans, yield* traced(use(stock, "")))
      }))
  }

  it.scopedLive("without a URL, with separate settings", () =>
    Effect.gen(function*() {
      const { hostname: host, password, port, username } = new URL(inject("pgUrl"))
      const options = { url: undefined, host, port: Number(port), username, password: Redacted.make(password) }
      const { sql } = yield* makePool(options)
      const stock = yield* makeStock(options)
      assert.deepStrictEqual(yield* traced(sql`SELECT 1`), yield* traced(stock`SELECT 1`))
    }))

  it.scopedLive("are what they should be", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const url = new URL(inject("pgUrl"))
      const [transaction, statement] = yield* traced(sql.withTransaction(sql`SELECT ${1}::integer`))
      const attributes = {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "server.address": url.hostname,
        "server.port": Number(url.port)
      }
      assert.deepStrictEqual(transaction, {
        name: "sql.transaction",
        kind: "client",
        parent: undefined,
        attributes,
        events: ["db.transaction.commit"],
        ended: "success"
      })
      assert.deepStrictEqual(statement, {
        name: "sql.execute",
        kind: "client",
        parent: "sql.transaction",
        attributes: { ...attributes, "db.operation.name": "execute", "db.query.text": "SELECT $1::integer" },
        events: [],
        ended: "success"
      })
    }))

  it.scopedLive("a transformer sees each statement, and its span", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const seen: Array<string> = []
      const transformed = Statement.withTransformer(sql`SELECT 1 AS a`, (self, make, _refs, span) =>
        Effect.sync(() => {
          seen.push(self.compile()[0], span.name)
          return make`SELECT 2 AS a`
        }))
      assert.deepStrictEqual(yield* transformed, [{ a: 2 }] as ReadonlyArray<unknown>)
      assert.deepStrictEqual(seen, ["SELECT 1 AS a", "sql.execute"])
    }))
})

describe("members", () => {
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

describe("streams", () => {
  const places: Record<
    string,
    <A, E>(sql: PgClient.PgClient, use: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>
  > = {
    "outside a transaction": (_sql, use) => use,
    "in a transaction": (sql, use) => sql.withTransaction(use),
    "in a nested transaction": (sql, use) => sql.withTransaction(sql.withTransaction(use))
  }
  for (const [place, within] of Object.entries(places)) {
    it.scopedLive(`${place}: more rows than a page, all of them, in order`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        for (const count of [127, 128, 129, 256, 1000]) {
          const rows = sql<{ n: number }>`SELECT n FROM generate_series(1, ${count}::integer) n`.stream
          const collected = yield* within(sql, Stream.runCollect(rows))
          assert.deepStrictEqual(
            Chunk.toReadonlyArray(collected).map(({ n }) => n),
            Array.from({ length: count }, (_, i) => i + 1)
          )
        }
      }))

    it.scopedLive(`${place}: left early, the connection is used again at once`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        const pid = yield* pidOf(sql)
        for (const count of [0, 1, 128, 129, 200]) {
          const rows = sql`SELECT n FROM generate_series(1, 100000) n`.stream
          const collected = yield* within(sql, Stream.runCollect(Stream.take(rows, count)))
          assert.strictEqual(collected.length, count)
          assert.deepStrictEqual(yield* sql`SELECT ${count}::integer AS n`, [{ n: count }])
        }
        assert.strictEqual(yield* pidOf(sql), pid)
        assert.strictEqual((yield* pool.stats).opened, 1)
      }))

    it.scopedLive(`${place}: an error in the middle comes after the pages before it`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        let seen = 0
        const rows = sql`SELECT 1 / (300 - n) FROM generate_series(1, 400) n`.stream
        const error = yield* Effect.flip(within(sql, Stream.runForEach(rows, () => Effect.sync(() => seen++))))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(codeOf(error), "22012")
        assert.strictEqual(seen, 256)
        assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      }))

    it.scopedLive(`${place}: no row, no result at all, RETURNING`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        const collect = (text: string) =>
          Effect.map(within(sql, Stream.runCollect(sql.unsafe(text).stream)), Chunk.toReadonlyArray)
        assert.deepStrictEqual(yield* collect("SELECT 1 WHERE false"), [])
        assert.deepStrictEqual(yield* collect(""), [])
        assert.deepStrictEqual(yield* collect("SET LOCAL work_mem = '4MB'"), [])
        assert.deepStrictEqual(yield* collect(`INSERT INTO ${table.name} VALUES (1)`), [])
        const returned = yield* collect(`INSERT INTO ${table.name} SELECT generate_series(2, 300) RETURNING id`)
        assert.strictEqual(returned.length, 299)
        assert.strictEqual((yield* table.ids).length, 300)
      }))

    it.scopedLive(`${place}: parameters, transforms, and a failing consumer`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, ...names })
        const rows = sql`SELECT n AS some_number, ${"a"} AS some_text FROM generate_series(1, 200) n`.stream
        const [first] = yield* within(sql, Stream.runCollect(rows))
        assert.deepStrictEqual(first, { someNumber: 1, someText: "a" })
        const failing = Stream.runForEach(rows, () => Effect.fail("enough" as const))
        assert.strictEqual(yield* Effect.flip(within(sql, failing)), "enough")
        yield* eventually(pool.stats, ({ idle }) => idle === 1)
        assert.strictEqual((yield* pool.stats).opened, 1)
      }))
  }

  it.scopedLive("in a transaction, with a statement and a nested transaction for each of many rows", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      yield* sql.withTransaction(Stream.runForEach(
        sql<{ n: number }>`SELECT n FROM generate_series(1, 300) n`.stream,
        ({ n }) => {
          const insert = sql`INSERT INTO ${sql(table.name)} (id) VALUES (${n})`
          return n % 2 === 0 ? insert : sql.withTransaction(insert)
        }
      ))
      assert.strictEqual((yield* table.ids).length, 300)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("two streams of one transaction at the same time, and statements between", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const numbers = (from: number) =>
        sql<{ n: number }>`SELECT n FROM generate_series(${from}::integer, ${from + 999}::integer) n`.stream
      const pairs = yield* sql.withTransaction(
        Stream.zip(numbers(1), numbers(1001)).pipe(
          Stream.mapEffect(([a, b]) =>
            a.n % 100 === 0 ? Effect.as(sql`SELECT 1`, b.n - a.n) : Effect.succeed(b.n - a.n)
          ),
          Stream.runCollect
        )
      )
      assert.strictEqual(pairs.length, 1000)
      assert.isTrue(Chunk.every(pairs, (difference) => difference === 1000))
    }))

  it.scopedLive("outside a transaction a stream holds a connection until its end", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const rows = sql`SELECT n FROM generate_series(1, 1000) n`.stream
      yield* Stream.runForEach(rows, () => Effect.map(pool.stats, ({ busy }) => assert.strictEqual(busy, 1)))
      assert.strictEqual((yield* pool.stats).busy, 0)
    }))

  it.scopedLive("a stream on a reserved connection and statements on it: one after the other", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const connection = yield* sql.reserve
      const rows = connection.executeStream("SELECT n FROM generate_series(1, 500) n", [], undefined)
      const [streamed, selected] = yield* Effect.all(
        [Stream.runCount(rows), connection.execute("SELECT 1 AS one", [], undefined)],
        { concurrency: 2 }
      )
      assert.strictEqual(streamed, 500)
      assert.deepStrictEqual(selected, [{ one: 1 }])
    }))
})

describe("many at once", () => {
  it.scopedLive("a thousand statements over few connections all get their own answers", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 3, maxoverflow: 5, maxwait: 20, acquireTimeout: "30 seconds" })
      yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, n) => n),
        (n) => Effect.map(sql`SELECT ${n}::integer AS n`, (rows) => assert.deepStrictEqual(rows, [{ n }])),
        { concurrency: "unbounded", discard: true }
      )
      assert.isAtMost((yield* pool.stats).opened, 5)
    }))
})

const clientOf = (options: PgPool.PgPoolOptions) =>
  Effect.map(Layer.build(PgPool.layer(options)), (context) => Context.get(context, PgClient.PgClient))
