import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, ConfigProvider, Effect, Exit, Fiber, Layer, Redacted, Stream, TestClock } from "effect"
import { PgError, PgPool, PgPoolLayer } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { codeOf } from "../support/pgPool.js"

const users = { text: "SELECT name FROM users", rows: [{ name: "Ada" }] }

const select = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT name FROM users`)

const stats = Effect.flatMap(PgPool.PgPool, ({ stats }) => stats)

/** What the server got, without the sessions. */
const sent = Effect.flatMap(Testing.Server, ({ sent }) => Effect.map(sent, (all) => all.map(({ text }) => text)))

const tags = Object.assign(new Set(["a"]), { toJSON: () => ["a"] })

/** Runs a test over a server with these answers. */
const over = (...statements: ReadonlyArray<Testing.Answer>) => Effect.provide(Testing.layer({ statements }))

describe("R47: the answers of a scripted server", () => {
  it.effect("are by the text of a statement, whatever its white space, by a pattern or by a function", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(
        yield* sql`
        SELECT name
          FROM users;
      `,
        [{ name: "Ada" }]
      )
      assert.deepStrictEqual(yield* sql`SELECT * FROM books WHERE id = ${7}`, [{ id: 7 }])
      assert.deepStrictEqual(yield* sql`SELECT * FROM books WHERE id = ${7}`, [{ id: 7 }])
      assert.deepStrictEqual(yield* sql`SELECT twice(${"a"}, ${null})`, [{ values: ["a", null] }])
    }).pipe(over(
      users,
      { text: /FROM books/g, rows: ({ values: [id] }) => [{ id: Number(id) }] },
      { text: ({ values }) => values.length === 2, rows: ({ values }) => [{ values }] }
    )))

  it.effect("come through the driver as they were scripted", () => {
    const row = {
      text: "a 'quoted' \"text\"",
      int: -7,
      float: 1.5,
      not_a_number: NaN,
      yes: true,
      no: false,
      at: new Date("2024-02-29T12:34:56.789Z"),
      bytes: Buffer.from([0, 1, 255]),
      json: { a: [1, null, "b"] },
      list: [1, 2],
      nothing: null
    }
    const empty = Object.fromEntries(Object.keys(row).map((column) => [column, null]))
    return Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT * FROM things`, [row, empty])
      assert.deepStrictEqual(yield* sql`SELECT * FROM things WHERE ${true}`, [row, empty])
      assert.deepStrictEqual(yield* sql`SELECT count(*) FROM things`, [{ count: "9007199254740993" }])
      assert.deepStrictEqual(yield* sql`SELECT number FROM things`, [{ number: 1 }, { number: 2.5 }, { number: 3e9 }])
      assert.deepStrictEqual(yield* sql`SELECT nothing FROM things`, [])
    }).pipe(over(
      { text: /^SELECT \* FROM things/, rows: [row, {}] },
      { text: "SELECT count(*) FROM things", rows: [{ count: 9007199254740993n }] },
      { text: "SELECT number FROM things", rows: [{ number: 1 }, { number: 2.5 }, { number: 3e9 }] },
      { text: "SELECT nothing FROM things", rows: [] }
    ))
  })

  it.effect("are in JSON what they say themselves", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT tags`, [{ tags: ["a"], of: { tags: ["a"] } }])
    }).pipe(over({ text: "SELECT tags", rows: [{ tags, of: { tags } }] })))

  it.effect("say how many rows were changed", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const raw = yield* sql`UPDATE users SET name = 'x'`.raw as Effect.Effect<{ rowCount: number }, SqlError>
      assert.strictEqual(raw.rowCount, 3)
      const inserted = yield* sql`INSERT INTO users VALUES ('x') RETURNING id`.raw as Effect.Effect<any, SqlError>
      assert.deepStrictEqual([inserted.rowCount, inserted.rows], [1, [{ id: 1 }]])
    }).pipe(over({ text: /^UPDATE/, count: 3 }, { text: /^INSERT/, rows: [{ id: 1 }] })))

  it.effect("are errors as those of a server", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql`INSERT INTO users VALUES (${1})`)
      assert.isTrue(PgError.isUniqueViolation(error))
      assert.include(error.message, "duplicate key")
      assert.strictEqual((error.cause as { constraint?: unknown }).constraint, "users_pkey")
      assert.isTrue(PgError.isRetryable(yield* Effect.flip(sql`UPDATE users SET id = 2`)))
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      assert.strictEqual((yield* stats).opened, 1)
      const farewell = yield* Effect.flip(sql`SELECT last_words()`)
      assert.include(String(farewell.cause), "57P01")
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      assert.strictEqual((yield* stats).opened, 2)
    }).pipe(over(
      users,
      { text: /^INSERT/, error: { code: "23505", constraint: "users_pkey", message: "duplicate key" } },
      { text: /^UPDATE/, error: "40001" },
      { text: "SELECT last_words()", error: "57P01" }
    )))

  it.effect("are for so many times, and the next one follows", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SELECT once()`)), "40001")
      assert.deepStrictEqual(yield* sql`SELECT once()`, [{ n: 2 }])
      const error = yield* Effect.flip(sql`SELECT once()`)
      assert.match(error.message, /All that is scripted for this statement was for fewer times: "SELECT once\(\)"/)
    }).pipe(over(
      { text: "SELECT once()", error: "40001", times: 1 },
      { text: "SELECT once()", rows: [{ n: 2 }], times: 1 }
    )))

  it.effect("change while a test runs: later ones come first", () =>
    Effect.gen(function*() {
      const server = yield* Testing.Server
      yield* server.answer({ ...users, rows: [{ name: "Bob" }], times: 1 })
      assert.deepStrictEqual(yield* select, [{ name: "Bob" }])
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
    }).pipe(over(users)))

  it.effect("to a statement that is not scripted are an error that names it, and says what to do", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const statement of [sql`SELECT *  FROM nowhere`, sql`SELECT * FROM nowhere`.pipe(sql.withTransaction)]) {
        const error = yield* Effect.flip(statement)
        assert.include(
          error.message,
          "Nothing is scripted for this statement: \"SELECT * FROM nowhere\". " +
            "Add { text: \"SELECT * FROM nowhere\", rows: [...] } to the statements of the script"
        )
        assert.isFalse(PgError.isRetryable(error))
      }
    }).pipe(over()))

  it.effect("that a function can't make are an error of the statement", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const messages = yield* Effect.forEach(
        ["SELECT a", "SELECT b", "SELECT c", "SELECT d"],
        (text) => Effect.map(Effect.flip(sql.unsafe(text)), ({ message }) => message)
      )
      assert.match(messages[0]!, /The script failed: .*no such user/)
      assert.match(messages[1]!, /statements\[1\].rows: "x" is not allowed, it must be an array of rows/)
      assert.match(messages[2]!, /statements\[2\].rows: column n: "two" is not allowed, it must be of one type in all/)
      assert.match(messages[3]!, /statements\[3\].text\(...\): undefined is not allowed, it must be true or false/)
    }).pipe(over(
      {
        text: "SELECT a",
        rows: () => {
          throw new Error("no such user")
        }
      },
      { text: "SELECT b", rows: () => "x" as never },
      { text: "SELECT c", rows: () => [{ n: 1 }, { n: "two" }] },
      { text: () => undefined as never }
    )))
})

describe("R47: what a scripted server knows by itself", () => {
  it.effect("transactions and savepoints, COMMIT after a failure too", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const inner = sql.withTransaction(Effect.fail("no"))
      yield* sql.withTransaction(Effect.zipRight(Effect.flip(inner), select))
      assert.deepStrictEqual(yield* sent, [
        "BEGIN",
        "SAVEPOINT effect_pgpool_1",
        "ROLLBACK TO SAVEPOINT effect_pgpool_1",
        "RELEASE SAVEPOINT effect_pgpool_1",
        "SELECT name FROM users",
        "COMMIT"
      ])
      const swallowed = sql`SELECT 1 FROM nowhere`.pipe(Effect.ignore)
      const late = yield* Effect.flip(sql.withTransaction(Effect.zipRight(swallowed, select)))
      assert.strictEqual(codeOf(late), "25P02")
      const undone = yield* Effect.flip(sql.withTransaction(swallowed))
      assert.strictEqual(undone._tag, "SqlError")
      assert.deepStrictEqual((yield* sent).slice(-2), ["SELECT 1 FROM nowhere", "COMMIT"])
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      assert.strictEqual((yield* stats).opened, 1)
    }).pipe(over(users)))

  it.effect("a COMMIT that fails, and one that is lost", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const server = yield* Testing.Server
      yield* server.answer({ text: "COMMIT", error: "23503", times: 1 })
      assert.isTrue(PgError.isConstraintViolation(yield* Effect.flip(sql.withTransaction(select))))
      yield* server.answer({ text: "COMMIT", dies: true, times: 1 })
      assert.isTrue(PgError.isOutcomeUnknown(yield* Effect.flip(sql.withTransaction(select))))
      yield* sql.withTransaction(select)
    }).pipe(over(users)))

  it.effect("settings, prepared statements, shared connections and streams", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(
        yield* Effect.all([1, 2, 1].map((id) => sql`SELECT ${id}::int AS id`), { concurrency: "unbounded" }),
        [[{ id: 1 }], [{ id: 2 }], [{ id: 1 }]]
      )
      const streamed = Stream.runCollect(sql`SELECT * FROM numbers`.stream)
      assert.strictEqual(Chunk.size(yield* streamed), 1000)
      assert.strictEqual(Chunk.size(yield* sql.withTransaction(streamed)), 1000)
      assert.strictEqual(Chunk.size(yield* Stream.runCollect(Stream.take(sql`SELECT * FROM numbers`.stream, 5))), 5)
      assert.includeMembers(yield* sent.pipe(Effect.map((all) => [...all])), [
        "SET statement_timeout = 5000",
        "SET lock_timeout = 1000"
      ])
    }).pipe(Effect.provide(Testing.layer({
      pool: {
        prepare: true,
        multiplex: true,
        statementTimeout: "5 seconds",
        lockTimeout: "1 second",
        reset: "session"
      },
      statements: [
        { text: "SELECT $1::int AS id", rows: ({ values: [id] }) => [{ id: Number(id) }] },
        { text: "SELECT * FROM numbers", rows: Array.from({ length: 1000 }, (_, n) => ({ n })) }
      ]
    }))))

  it.effect("a COPY, which the pool refuses to send anything for", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const copy = sql`COPY users FROM STDIN`
      const streamed = Effect.asVoid(Stream.runCollect(copy.stream))
      for (const refused of [Effect.asVoid(copy), Effect.asVoid(sql.withTransaction(copy)), streamed]) {
        assert.include((yield* Effect.flip(refused)).message, "COPY")
        assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      }
      const swallowed = sql.withTransaction(Effect.zipRight(Effect.ignore(copy), select))
      assert.strictEqual(codeOf(yield* Effect.flip(swallowed)), "25P02")
    }).pipe(over(users)))

  it.effect("LISTEN and NOTIFY: at COMMIT, and not after a ROLLBACK", () =>
    Effect.gen(function*() {
      const pool = yield* PgPool.PgPool
      const sql = pool.client
      const heard = yield* Effect.fork(Stream.runCollect(Stream.take(sql.listen("Changed"), 3)))
      while (!(yield* sent).includes("LISTEN \"Changed\"")) yield* TestClock.adjust(1)
      yield* sql.notify("Changed", "1")
      yield* sql.notify("other", "2")
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql.notify("Changed", "3"), Effect.fail("no"))))
      yield* sql.withTransaction(sql.notify("Changed", "4"))
      yield* sql`NOTIFY "Changed", 'it''s 5'`
      assert.deepStrictEqual([...(yield* Fiber.join(heard))], ["1", "4", "it's 5"])
    }).pipe(over()))
})

describe("R47: the layer of a program over a scripted server", () => {
  const environment = ConfigProvider.fromMap(
    new Map([
      ["DATABASE_URL", "postgresql://app@db.invalid/shop?sslmode=verify-full&require_auth=scram-sha-256"],
      ["PGPOOL_MAXSIZE", "3"]
    ])
  )

  it.effect("never goes where it would lead, and has its own options", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      const { maxsize, name } = yield* stats
      assert.deepStrictEqual({ maxsize, name }, { maxsize: 3, name: "db.invalid:5432/shop" })
    }).pipe(
      Effect.provide(Testing.scripted(PgPoolLayer, { statements: [users] })),
      Effect.withConfigProvider(environment)
    ))

  it.effect("tries its hosts, and its password is asked for", () => {
    let asked = 0
    const layer = PgPool.layer({
      hosts: ["a.invalid", "/run/postgresql"],
      targetSessionAttrs: "primary",
      password: Effect.sync(() => Redacted.make(`p${++asked}`))
    })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      assert.deepStrictEqual([asked, (yield* stats).opened], [1, 1])
    }).pipe(Effect.provide(Testing.scripted(layer, {
      statements: [users],
      connect: (n) => n === 1 ? { refused: true } : {}
    })))
  })
})

describe("R47: bad input to a scripted server", () => {
  const why = (script: Parameters<typeof Testing.layer>[0]) =>
    Effect.map(
      Effect.exit(Effect.scoped(Layer.build(Testing.layer(script)))),
      (exit) =>
        Exit.isFailure(exit) && exit.cause._tag === "Die" ? (exit.cause.defect as Error).message : "it is allowed"
    )

  const circle: Record<string, unknown> = {}
  circle.self = circle

  const answer = (fields: object) => ({ statements: [{ text: "SELECT 1", ...fields }] })

  const mistakes: ReadonlyArray<[name: string, script: unknown, said: RegExp]> = [
    ["an unknown field", answer({ row: [] }), /^statements\[0\].row: .* there is no such field, did you mean rows\?$/],
    ["an unknown field of the script", { statement: [] }, /^statement: .* did you mean statements\?$/],
    ["an unknown option of the pool", { pool: { maxsize: "2" } }, /^maxsize: "2" is not allowed/],
    ["rows that contradict an error", answer({ rows: [], error: "40001" }), /without rows or error: they contradict/],
    ["a count of rows that are given", answer({ rows: [], count: 1 }), /without rows or count: they contradict/],
    ["a death that takes for ever", answer({ dies: true, hangs: true }), /without dies or hangs: they contradict/],
    ["a delay before nothing", answer({ delay: 5, hangs: true }), /without delay or hangs: they contradict/],
    [
      "no text",
      { statements: [{ rows: [] }] },
      /^statements\[0\].text: undefined .* the text of a statement, a RegExp/
    ],
    ["an empty text", { statements: [{ text: " " }] }, /^statements\[0\].text: " "/],
    ["no list of rows", answer({ rows: { a: 1 } }), /^statements\[0\].rows: .* an array of rows$/],
    [
      "no row",
      answer({ rows: [{}, 1] }),
      /^statements\[0\].rows\[1\]: 1 .* an object with a property for each column$/
    ],
    ["a row that is a Map", answer({ rows: [new Map([["a", 1]])] }), /^statements\[0\].rows\[0\]: "\[object Map\]"/],
    [
      "a Map in a row",
      answer({ rows: [{ a: new Map() }] }),
      /rows: column a: "\[object Map\]" .* a Map or a Set in it$/
    ],
    ["a Set in JSON", answer({ rows: [{ a: { b: [new Set()] } }] }), /rows: column a: "\[object Set\]" .* as JSON/],
    ["a bigint in a list", answer({ rows: [{ a: [1, 2n] }] }), /rows: column a: 2n .* as JSON, .* without a bigint/],
    ["a bigint among numbers", answer({ rows: [{ a: 1 }, { a: 2n }] }), /column a: 2n .* it began as int4$/],
    ["nothing", null, /^the script: null .* an object, such as \{ statements: \[...\] \}$/],
    ["a number", 5, /^the script: 5 is not allowed/],
    [
      "a list for a script",
      [{ text: "SELECT 1" }],
      /^the script: \[\{"text":"SELECT 1"\}\] .* such as \{ statements: /
    ],
    ["a pool without options", { pool: null }, /^pool: null is not allowed, it must be an object$/],
    ["a pool of a number", { pool: 5 }, /^pool: 5 is not allowed, it must be an object$/],
    ["a value that can't be sent", answer({ rows: [{ a: Symbol.iterator }] }), /^statements\[0\].rows: column a: /],
    [
      "a Date that is none",
      answer({ rows: [{ a: new Date(NaN) }] }),
      /rows: column a: "Invalid Date" .* a valid Date$/
    ],
    ["a circle", answer({ rows: [{ a: circle }] }), /^statements\[0\].rows: column a: .* as JSON, without circles/],
    ["a bigint in JSON", answer({ rows: [{ a: { b: 1n } }] }), /^statements\[0\].rows: column a: .* as JSON/],
    ["no JSON", answer({ rows: [{ a: { toJSON: () => undefined } }] }), /^statements\[0\].rows: column a: .* as JSON/],
    ["no SQLSTATE", answer({ error: "deadlock" }), /^statements\[0\].error.code: "deadlock" .* an SQLSTATE/],
    ["a field that errors lack", answer({ error: { code: "40001", text: "x" } }), /^statements\[0\].error.text: /],
    ["a delay that is none", answer({ delay: -1 }), /^statements\[0\].delay: -1 is not allowed/],
    ["no times", answer({ times: 0 }), /^statements\[0\].times: 0 .* a whole number of at least 1$/],
    ["no list", { statements: { text: "SELECT 1" } }, /^statements: .* must be an array$/],
    ["a connect that contradicts itself", { connect: { refused: true, hangs: true } }, /^connect: .* they contradict/],
    ["an unknown field of a connect", { connect: { refuse: true } }, /^connect.refuse: .* did you mean refused\?$/]
  ]

  for (const [name, script, said] of mistakes) {
    it.effect(`${name} is a defect that says what is wrong`, () =>
      Effect.map(why(script as never), (message) => assert.match(message, said)))
  }

  it.effect("a connect that the function can't decide fails, and says why", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(select)
      assert.match(error.message, /The script failed: connect\(1\).refuse: .* did you mean refused\?/)
    }).pipe(Effect.provide(Testing.layer({ connect: () => ({ refuse: true }) as never }))))

  it.effect("an answer that is added later is a defect too", () =>
    Effect.gen(function*() {
      const server = yield* Testing.Server
      const exit = yield* Effect.exit(server.answer({ text: "SELECT 1", row: [] } as never))
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("answer[0].row: "))
    }).pipe(over()))
})
