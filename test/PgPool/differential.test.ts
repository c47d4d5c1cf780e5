/** The same calls on stock `PgClient` and on ours: what stock does without an error, ours does in the same way. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Stream, String as Str } from "effect"
import type { PgPool } from "effect-pgpool"
import { inspect } from "node:util"
import type { CustomTypesConfig } from "pg"
import { makePool, makeTable, serverUrl } from "../support/pgPool.js"

/** What is done with a client, and with a table of which it leaves nothing. */
type Uses = (sql: PgClient.PgClient, table: string) => ReadonlyArray<Effect.Effect<unknown, unknown>>

interface Pair {
  readonly ours: PgClient.PgClient
  readonly stock: PgClient.PgClient
  readonly table: string
}

const Pair = Context.GenericTag<Pair>("test/Pair")

type Options = PgPool.PgPoolOptions & PgClient.PgClientConfig

const columns =
  "id integer PRIMARY KEY, full_name text, \"fullName\" text, extra_data jsonb, made_at timestamptz, raw bytea"

const pairOf = (options: Options) =>
  Layer.scoped(
    Pair,
    Effect.gen(function*() {
      const { name: table } = yield* makeTable(columns)
      const { sql: ours } = yield* makePool({ applicationName: "differential", ...options })
      const stock = yield* Layer.build(PgClient.layer({ url: serverUrl, applicationName: "differential", ...options }))
      return { ours, stock: Context.get(stock, PgClient.PgClient), table }
    })
  )

/** All that can be seen of a value, whatever it is, but for what is inside `pg`'s results. */
const shown = (value: unknown): string =>
  inspect(value, { depth: Infinity, maxArrayLength: null, maxStringLength: null, sorted: true, compact: false })
    .replace(/ {4}_(types|parsers|prebuiltEmptyResultObject): [^]*?(?=\n {2,4}\w+:|\n {2}\})/g, "")
    .replaceAll(/tableID: \d+/g, "tableID")

/** How one ended; of a failure only what kind it is, since stock may fail where ours does not. */
const ended = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? shown(exit.value)
    : `${isDefect(exit) ? "defect" : "typed"}: ${Cause.pretty(exit.cause)}`

const isDefect = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && !Cause.isFailType(exit.cause)

/**
 * Ours must do what stock does, where that doesn't fail; where it does, all but a new defect is good enough. So it is
 * for the `values` of several statements, which stock does not give.
 */
const differs = (ours: Exit.Exit<unknown, unknown>, stock: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isSuccess(stock) && stock.value !== undefined ? ended(ours) !== ended(stock) : isDefect(ours) && !isDefect(stock)

const compare = (name: string, options: Options, cases: Record<string, Uses>) =>
  layer(pairOf(options), { excludeTestServices: true })(name, (it) => {
    for (const [name, uses] of Object.entries(cases)) {
      it.effect(name, () =>
        Effect.gen(function*() {
          const { ours, stock, table } = yield* Pair
          const run = (sql: PgClient.PgClient) =>
            Effect.forEach(uses(sql, table), (use) => Effect.exit(use)).pipe(
              Effect.ensuring(Effect.orDie(sql.unsafe(`DELETE FROM ${table}`)))
            )
          const theirs = yield* run(stock)
          assert.isAbove(theirs.length, 0)
          const differences = (yield* run(ours)).flatMap((exit, i) =>
            differs(exit, theirs[i]) ? [{ use: i, ours: ended(exit), stock: ended(theirs[i]) }] : []
          )
          assert.deepStrictEqual(differences, [])
        }))
    }
  })

const cyclic: Record<string, unknown> = { a: 1 }
cyclic["self"] = cyclic

class Point {
  constructor(readonly xAxis: number, readonly inner = { someKey: 1 }) {}
}

const nullProto = Object.assign(Object.create(null), { someKey: 1 })

const values: Record<string, () => unknown> = {
  "null": () => null,
  "undefined": () => undefined,
  "true": () => true,
  "false": () => false,
  "0": () => 0,
  "-0": () => -0,
  "1.5": () => 1.5,
  "1e300": () => 1e300,
  "NaN": () => NaN,
  "Infinity": () => Infinity,
  "bigint": () => 9007199254740993n,
  "symbol": () => Symbol("a"),
  "function": () => () => 1,
  "async function": () => async () => 1,
  "class": () => Point,
  "text": () => "text",
  "empty text": () => "",
  "numeric text": () => "1",
  "JSON text": () => "{\"someKey\":[1]}",
  "JSON text of an array": () => "[1, 2]",
  "JSON text of null": () => "null",
  "quoted text": () => "\"a\"",
  "array literal": () => "{1,2}",
  "NUL": () => "a\0b",
  "lone surrogate": () => "a\ud800b",
  "quotes": () => "it's \"x\" \\ $1 ?",
  "emoji": () => "😀",
  "Date": () => new Date(0),
  "Date before Christ": () => new Date(-70_000_000_000_000),
  "Buffer": () => Buffer.from([0, 1, 255]),
  "empty Buffer": () => Buffer.alloc(0),
  "Uint8Array": () => new Uint8Array([1, 2, 255]),
  "Uint8Array of a part": () => new Uint8Array([1, 2, 3, 4]).subarray(1, 3),
  "Float64Array": () => new Float64Array([1.5]),
  "DataView": () => new DataView(new ArrayBuffer(2)),
  "ArrayBuffer": () => new ArrayBuffer(2),
  "empty array": () => [],
  "array of numbers": () => [1, 2],
  "array with null": () => [1, null, undefined, 2],
  "array of texts": () => ["a", "b\"c", "", "NULL", "it's", "{}", "a,b", "\\"],
  "nested array": () => [[1, 2], [3, 4]],
  "array of objects": () => [{ someKey: 1 }, { someKey: 2 }],
  "array of dates": () => [new Date(0)],
  "array of buffers": () => [Buffer.from([1])],
  "array of booleans": () => [true, false],
  "array of bigints": () => [1n],
  "object": () => ({ someKey: 1, inner: { otherKey: ["a", { thirdKey: null }] } }),
  "empty object": () => ({}),
  "object with undefined": () => ({ someKey: undefined, b: 1 }),
  "object with NaN": () => ({ a: NaN }),
  "object with bigint": () => ({ a: 1n }),
  "object with Date": () => ({ someKey: new Date(0), list: [new Date(0)] }),
  "object with Buffer": () => ({ someKey: Buffer.from("a") }),
  "object without prototype": () => nullProto,
  "object of a class": () => new Point(1),
  "object with objects of a class": () => ({ someKey: new Point(1), list: [new Point(2)] }),
  "object with mixed array": () => ({ list: [1, { someKey: 1 }], more: [{ someKey: 1 }, { otherKey: 2 }] }),
  "object with inherited keys": () => Object.create({ someKey: 1 }),
  "object with a symbol key": () => ({ [Symbol("a")]: 1, b: 2 }),
  "object with toJSON": () => ({ toJSON: () => ({ someKey: 1 }) }),
  "object whose toJSON throws": () => ({
    toJSON: () => {
      throw new Error("no")
    }
  }),
  "object with toPostgres": () => ({ toPostgres: () => "7" }),
  "object with toPostgres of an array": () => ({ toPostgres: () => [1, 2] }),
  "object with toPostgres of an object": () => ({ toPostgres: () => ({ someKey: 1 }) }),
  "object with toPostgres of null": () => ({ toPostgres: () => null }),
  "object with toPostgres of a Date": () => ({ toPostgres: () => new Date(0) }),
  "object with toPostgres that calls prepareValue": () => ({
    toPostgres: (prepare: (_: unknown) => unknown) => prepare([1])
  }),
  "object whose toPostgres throws": () => ({
    toPostgres: () => {
      throw new Error("no")
    }
  }),
  "class with toPostgres": () =>
    new class {
      someKey = 1
      toPostgres() {
        return "8"
      }
    }(),
  "array of objects with toPostgres": () => [{ toPostgres: () => "7" }],
  "Map": () => new Map([["a", 1]]),
  "Set": () => new Set([1]),
  "RegExp": () => /a/,
  "Error": () => new Error("a"),
  "URL": () => new URL("http://localhost/a"),
  "boxed number": () => Object(1),
  "boxed text": () => Object("1"),
  "boxed boolean": () => Object(true),
  "boxed bigint": () => Object(1n),
  "cyclic object": () => cyclic,
  "proxy": () => new Proxy({ someKey: 1 }, {}),
  "getter": () => ({
    get someKey() {
      return 1
    }
  }),
  "getter that throws": () => ({
    get someKey() {
      throw new Error("no")
    }
  })
}

const casts = [
  "text",
  "json",
  "jsonb",
  "bytea",
  "integer",
  "numeric",
  "boolean",
  "timestamptz",
  "integer[]",
  "text[]",
  "jsonb[]"
]

type Given = () => any

/** Each is made when it is run: what making it throws is its failure. */
const lazily = Effect.suspend

const asParameter = (given: Given): Uses => (sql, table) => [
  ...casts.flatMap((cast) => [
    lazily(() => sql.unsafe(`SELECT $1::${cast} AS some_value`, [given()])),
    lazily(() => sql`SELECT ${given()}::${sql.literal(cast)} AS some_value`)
  ]),
  lazily(() => sql`SELECT ${given()}::text AS some_value`.values),
  lazily(() => sql`SELECT ${given()}::text AS some_value`.raw),
  lazily(() => sql`SELECT ${given()}::text AS some_value`.unprepared),
  lazily(() => sql`SELECT ${given()}::text AS some_value`.withoutTransform),
  lazily(() => Stream.runCollect(sql`SELECT ${given()}::text AS some_value`.stream)),
  lazily(() => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 2, full_name: given() })} RETURNING *`),
  lazily(() => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 3, extra_data: given() }).returning("*")}`),
  lazily(() =>
    sql`INSERT INTO ${sql(table)} ${sql.insert([{ id: 4, raw: given() }, { id: 5, raw: null }])} RETURNING *`
  ),
  lazily(() => sql`UPDATE ${sql(table)} SET ${sql.update({ full_name: given() })} WHERE id = 2 RETURNING *`),
  lazily(() => sql`SELECT * FROM ${sql(table)} WHERE full_name IN ${sql.in([given(), "b"])}`),
  lazily(() => sql`SELECT * FROM ${sql(table)} WHERE ${sql.in("full_name", [given()])}`),
  lazily(() => sql`SELECT * FROM ${sql.updateValues([{ full_name: given() }], "data")}`)
]

const asJson = (given: Given): Uses => (sql, table) => {
  const plain = sql.withoutTransforms() as PgClient.PgClient
  const json = () => sql.json(given()) as any
  return [
    ...["json", "jsonb"].flatMap((cast) => [
      lazily(() => sql`SELECT ${json()}::${sql.literal(cast)} AS some_value`),
      lazily(() => sql`SELECT ${json()}::${sql.literal(cast)} AS some_value`.withoutTransform),
      lazily(() => sql`SELECT ${json()}::${sql.literal(cast)} AS some_value`.values),
      lazily(() => plain`SELECT ${plain.json(given())}::${sql.literal(cast)} AS some_value`)
    ]),
    lazily(() => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 1, extra_data: json() })} RETURNING *`),
    lazily(() => sql`UPDATE ${sql(table)} SET ${sql.update({ extra_data: json() })} RETURNING *`),
    lazily(() => sql`SELECT extra_data::jsonb FROM ${sql.updateValues([{ extra_data: json() }], "data")}`)
  ]
}

const casesOf = (values: Record<string, Given>, use: (given: Given) => Uses): Record<string, Uses> =>
  Object.fromEntries(Object.entries(values).map(([name, given]) => [name, use(given)]))

/** Stock takes an empty array for `json`, and stores an object. */
const { "empty array": _, ...jsonValues } = values

const rows = 300

const members: Record<string, Uses> = {
  "texts of every kind": (sql) =>
    [
      "",
      " ",
      ";",
      ";;",
      "-- nothing",
      "/* nothing */",
      "SELECT 1 AS a",
      "SELECT 1 AS a;",
      "SELECT 1 AS a; -- more",
      "SELECT 1 AS a; ; SELECT 2 AS b",
      "SELECT 1 AS a; SELECT 2 AS a WHERE false",
      "SELECT 1 AS a; SELECT 1 / 0",
      "SELECT 1 AS a, 2 AS a",
      "SELECT 1 AS \"__proto__ \", 2 AS \"constructor\", 3 AS \"toString\"",
      "SELECT 1",
      "SELECT",
      "SELECT FROM generate_series(1, 3)",
      "SELECT 1 AS some_value WHERE false",
      "SHOW server_version",
      "EXPLAIN SELECT 1",
      "VALUES (1, 'a'), (2, 'b')",
      "TABLE pg_catalog.pg_am LIMIT 0",
      "SET work_mem = DEFAULT",
      "DO $$ BEGIN NULL; END $$",
      "BEGIN; SELECT 1 AS a; COMMIT",
      "BEGIN; ROLLBACK",
      "LISTEN some_channel; UNLISTEN some_channel",
      "SELECT '{\"some_key\": [{\"other_key\": null}, {}]}'::jsonb AS some_json",
      "SELECT '[[{\"some_key\": 1}]]'::jsonb AS some_json",
      "SELECT '[{\"some_key\": 1}]'::json AS some_json, 'null'::json AS no_json, '\"text\"'::json AS text_json",
      "SELECT ARRAY['{\"some_key\": 1}'::jsonb] AS some_jsons, ARRAY[1, NULL] AS some_numbers",
      "SELECT '1 day'::interval AS some_interval, '(1,2)'::point AS some_point, now() - now() AS no_interval",
      "SELECT 'infinity'::timestamptz AS some_time, '-infinity'::date AS some_date, '2020-01-01'::date AS other_date",
      "SELECT 'NaN'::float8 AS a, '-0'::float8 AS b, 1::smallint AS c, 1::bigint AS d, 1.50::numeric AS e, 1::oid AS f",
      "SELECT '\\x00ff'::bytea AS some_bytes, ARRAY['\\x00'::bytea] AS some_array, 'a'::char AS c, B'101' AS bits",
      "SELECT row(1, 'a') AS some_row, '[1,2)'::int4range AS some_range, '<a/>'::xml AS some_xml",
      "SELECT '127.0.0.1'::inet AS some_address, '00000000-0000-0000-0000-000000000000'::uuid AS some_id",
      "SELECT ARRAY[]::integer[] AS a, '{{1,2},{3,4}}'::integer[] AS b, NULL::integer[] AS c"
    ].flatMap((text) => {
      const statement = sql.unsafe(text)
      return [
        statement,
        statement.values,
        statement.raw,
        statement.unprepared,
        statement.withoutTransform,
        sql.withoutTransforms().unsafe(text),
        Stream.runCollect(statement.stream)
      ]
    }),
  "parameters that are too few, too many, or of no use": (sql) => [
    sql.unsafe("SELECT $1::integer AS a", []),
    sql.unsafe("SELECT $1::integer AS a", [1, 2]),
    sql.unsafe("SELECT 1 AS a", [1]),
    sql.unsafe("SELECT 1 AS a", []),
    sql.unsafe("SELECT 1 AS a", undefined),
    sql.unsafe("", [1]),
    sql.unsafe("SELECT $1::integer AS a; SELECT 2", [1]),
    Stream.runCollect(sql.unsafe("SELECT 1 AS a", [1]).stream),
    sql.unsafe("SELECT $2::integer AS a, $1::text AS b", ["x", 2]).values
  ],
  "names of every kind": (sql) =>
    ["a", "a.b", "a\"b", "aB", "a b", "", "*", "a.*", "ä", "a\0b", "select", ".", "a..b", "__proto__", "$1"].flatMap((
      name
    ) => [
      Effect.suspend(() => sql`SELECT 1 AS ${sql(name)}`),
      Effect.suspend(() => sql`SELECT ${sql(name)} FROM (SELECT 1 AS ${sql(name)}) t`.values),
      Effect.sync(() => sql`${sql(name)}`.compile()),
      Effect.sync(() => sql`${sql(name)}`.compile(true)),
      Effect.sync(() => sql`${sql.insert({ [name]: 1 })}`.compile()),
      Effect.sync(() => sql`${sql.update({ [name]: 1 })}`.compile()),
      Effect.sync(() => sql`${sql.update({ [name]: 1, b: 2 }, [name])}`.compile()),
      Effect.sync(() => sql`${sql.updateValues([{ [name]: 1 }], name)}`.compile()),
      Effect.sync(() => sql`${sql.in(name, [1])}`.compile())
    ]),
  "helpers": (sql, table) =>
    [
      () => sql`SELECT 1 AS a WHERE 1 IN ${sql.in([])}`,
      () => sql`SELECT 1 AS a WHERE ${sql.in("a", [])}`,
      () => sql`SELECT 1 AS a WHERE 1 IN ${sql.in([1, null as any, 3])}`,
      () => sql`SELECT 1 AS a WHERE ${sql.and([])}`,
      () => sql`SELECT 1 AS a WHERE ${sql.or([])}`,
      () => sql`SELECT 1 AS a WHERE ${sql.and(["true"])} AND ${sql.or(["true", sql`${1} = 1`])}`,
      () => sql`SELECT ${sql.csv([])}`,
      () => sql`SELECT ${sql.csv(["1 AS a"])}`,
      () => sql`SELECT 1 AS a ${sql.csv("ORDER BY", ["1", sql`1 DESC`])}`,
      () => sql`SELECT 1 AS a ${sql.csv("ORDER BY", [])}`,
      () => sql`SELECT 1 AS a WHERE ${sql.join(" OR ", true, "false")([])}`,
      () => sql`SELECT 1 AS a WHERE ${sql.join(" OR ", false)(["true", sql`${2} = 1`])}`,
      () => sql`SELECT ${sql.literal("1 AS some_value")}, ${sql.unsafe("2 AS b")}`,
      () => sql`SELECT ${sql.unsafe("$1::integer", [1])} AS a`,
      () => sql`SELECT ${sql`${1}::integer`} AS a, ${2}::integer AS b, ${sql`${3}::integer`} AS c`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert([])}`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({})}`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 1, full_name: undefined })} RETURNING *`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert([{ id: 2, full_name: "a" }, { id: 3 } as any])} RETURNING *`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert([{ id: 4 }, { id: 5, full_name: "a" } as any])} RETURNING *`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({ full_name: "x", id: 6 }).returning("id")}`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 7 }).returning(sql("fullName"))}`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 8 }).returning(sql`id, ${1}::integer AS some_value`)}`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 9, fullName: "x" })} RETURNING "full_name", "fullName"`,
      () => sql`INSERT INTO ${sql(table)} ${sql.insert({ id: 1 })} ON CONFLICT (id) DO NOTHING RETURNING *`,
      () => sql`UPDATE ${sql(table)} SET ${sql.update({})}`,
      () => sql`UPDATE ${sql(table)} SET ${sql.update({ id: 1, full_name: "y" }, ["id"])} WHERE id = ${1} RETURNING *`,
      () => sql`UPDATE ${sql(table)} SET ${sql.update({ full_name: undefined })} WHERE id = 1 RETURNING *`,
      () => sql`UPDATE ${sql(table)} SET ${sql.update({ full_name: "z" }).returning("*")}`,
      () => sql`SELECT * FROM ${sql.updateValues([], "data")}`,
      () => sql`SELECT * FROM ${sql.updateValues([{ a: 1, b: "x" }, { b: "y", a: 2 }], "data")}`,
      () => sql`SELECT * FROM ${sql.updateValues([{ a: 1, b: undefined as any }], "data")}`,
      () =>
        sql`UPDATE ${sql(table)} SET full_name = data.full_name
          FROM ${sql.updateValues([{ id: 1, full_name: "w" }], "data").returning("*")}`,
      () => sql`SELECT ${sql.json({ someKey: 1 })}::jsonb AS a, ${sql.json([1])}::jsonb -> 0 AS b`,
      () => sql.onDialectOrElse({ pg: () => sql`SELECT 'pg' AS d`, orElse: () => sql`SELECT 1` })
    ].map((make) => Effect.suspend<unknown, unknown, never>(make)),
  "streams": (sql) =>
    [0, 1, 127, 128, 129, 256, 300].flatMap((count) => {
      const { stream } = sql`SELECT n AS some_number, '{"some_key": 1}'::json AS j FROM generate_series(1, ${count}) n`
      return [
        Stream.runCollect(stream),
        Stream.runCollect(Stream.take(stream, 128)),
        sql.withTransaction(Stream.runCollect(stream))
      ]
    }).concat([
      Stream.runCollect(sql`SELECT ${rows} / (200 - n) AS a FROM generate_series(1, ${rows}) n`.stream) as any,
      Stream.runCollect(Stream.chunks(sql`SELECT n FROM generate_series(1, ${rows}) n`.stream)) as any
    ]),
  "listen and notify": (sql) =>
    ["payload", "it's \" $1 \\", "ä😀", "a\nb", "x".repeat(7999), "x".repeat(8000)].map((payload) =>
      Stream.runHead(sql.listen("some Channel\"")).pipe(
        // Nobody tells when it listens.
        Effect.raceFirst(
          Effect.forever(Effect.delay(sql`SELECT pg_notify(${"some Channel\""}, ${payload})`, "20 millis"))
        )
      )
    ),
  "what a client says of itself": (sql) => [
    Effect.sync(() => Object.keys(sql).sort()),
    Effect.sync(() => Object.keys(sql.withoutTransforms()).sort()),
    Effect.sync(() => sql.safe === sql),
    Effect.sync(() => Object.keys(sql.config).filter((key) => (sql.config as any)[key] !== undefined).sort()),
    Effect.sync(() => [sql.config.host, sql.config.port, sql.config.username, sql.config.database]),
    Effect.sync(() => sql`SELECT ${sql.json({ someKey: 1 })} ${sql.insert({ aB: sql.json("1") as any })}`.compile())
  ],
  "transactions": (sql, table) => {
    const insert = (id: number) => sql`INSERT INTO ${sql(table)} ${sql.insert({ id })}`
    const ids = Effect.map(sql`SELECT id FROM ${sql(table)} ORDER BY id`.values, (rows) => rows.flat())
    return [
      Effect.zipRight(sql.withTransaction(insert(1)), ids),
      Effect.zipRight(Effect.either(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("no")))), ids),
      Effect.zipRight(sql.withTransaction(Effect.all([insert(3), sql.withTransaction(insert(4))])), ids),
      Effect.zipRight(
        sql.withTransaction(
          Effect.all([insert(5), Effect.either(sql.withTransaction(Effect.zipRight(insert(6), Effect.fail("no"))))])
        ),
        ids
      ),
      sql.withTransaction(sql.unsafe("SELECT 1 AS a; SELECT 2 AS b")),
      sql.withTransaction(sql`SELECT 1 AS a`.raw),
      sql.withTransaction(sql`SELECT 1 AS some_value`.values),
      sql.withTransaction(Effect.succeed(1)),
      Effect.scoped(Effect.flatMap(sql.reserve, (connection) =>
        Effect.all([
          connection.execute("SELECT 1 AS some_value", [], undefined),
          connection.executeRaw("SELECT $1::integer AS some_value", [1]),
          connection.executeValues("SELECT $1::integer", [1]),
          connection.executeUnprepared("SELECT 1 AS some_value", [], (rows) => [...rows, ...rows]),
          Stream.runCollect(connection.executeStream("SELECT generate_series(1, 200) AS a", [], undefined))
        ])))
    ]
  },
  "reactive": (sql) => [
    Stream.runHead(sql.reactive(["a"], sql`SELECT 1 AS some_value`)),
    Effect.scoped(
      Effect.flatMap(sql.reactiveMailbox({ a: [1] }, sql`SELECT 1 AS some_value`), (mailbox) => mailbox.take)
    )
  ]
}

const names = { transformResultNames: Str.snakeToCamel, transformQueryNames: Str.camelToSnake }

const types: CustomTypesConfig = {
  getTypeParser: ((oid: number, format: string) => (text: unknown) => [oid, format, text]) as never
}

const plain = { "as it stands": {}, "with transforms": names } satisfies Record<string, Options>

const modes: Record<string, Options> = {
  ...plain,
  "with transforms, but not of JSON": { ...names, transformJson: false },
  "with transforms of results alone": { transformResultNames: Str.snakeToCamel },
  "with types of one's own": { types, ...names }
}

describe("nothing that stock does without an error is done in another way without an error", () => {
  for (const [mode, options] of Object.entries(plain)) {
    compare(`parameters, ${mode}`, options, casesOf(values, asParameter))
    compare(`json, ${mode}`, options, casesOf(jsonValues, asJson))
  }
  for (const [mode, options] of Object.entries(modes)) compare(`all members, ${mode}`, options, members)
  // Where only these are set, `withoutTransforms` of stock changes nothing.
  compare("all members, with transforms of names alone", { transformQueryNames: Str.camelToSnake }, members)
})
