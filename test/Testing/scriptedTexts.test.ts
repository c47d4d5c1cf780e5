import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PgError } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { areAll } from "../support/areAll.js"
import { codeOf } from "../support/pgPool.js"

/** Runs a test over a server with these answers. */
const over = (...statements: ReadonlyArray<Testing.Answer>) => Effect.provide(Testing.layer({ statements }))

/** Sends a text, and gives what the server took it for. */
const taken = (text: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.ignore(sql.unsafe(text))
    const { sent } = yield* Testing.Server
    return (yield* sent).map(({ text }) => text)
  })

describe("R47: the statements of a text", () => {
  const several: ReadonlyArray<[text: string, statements: ReadonlyArray<string>]> = [
    ["SELECT ';' AS \";\"; SELECT 'it''s; one'", ["SELECT ';' AS \";\"", "SELECT 'it''s; one'"]],
    ["SELECT 1 -- don't; really\n; SELECT 2", ["SELECT 1 -- don't; really", "SELECT 2"]],
    ["SELECT 1 /* it's; one */; SELECT 2; -- the end", ["SELECT 1 /* it's; one */", "SELECT 2"]],
    ["DO $$ BEGIN PERFORM 1; END $$; SELECT 1", ["DO $$ BEGIN PERFORM 1; END $$", "SELECT 1"]],
    ["DO $a$ SELECT $$;$$; $a$; SELECT 1", ["DO $a$ SELECT $$;$$; $a$", "SELECT 1"]],
    ["SELECT E'it\\'s; one'; SELECT a$b; SELECT c$d", ["SELECT E'it\\'s; one'", "SELECT a$b", "SELECT c$d"]]
  ]
  for (const [text, statements] of several) {
    it.effect(`are those between semicolons that count: ${JSON.stringify(text)}`, () =>
      Effect.map(taken(text), (sent) => assert.deepStrictEqual(sent, statements)).pipe(
        over(...statements.map((text) => ({ text })))
      ))
  }

  const whole = [
    "SELECT 1 -- don't; really",
    "DO $$ BEGIN PERFORM 1; END $$",
    "/* a /* comment; in */ another; */ SELECT 1",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2)",
    "SELECT 'it; is not closed"
  ]
  for (const text of whole) {
    it.effect(`are one where it is not certain that they are several: ${text}`, () =>
      Effect.map(taken(text), (sent) => assert.deepStrictEqual(sent, [text])).pipe(over()))
  }
})

describe("R47: a function of the script that throws", () => {
  const throws = { text: ({ values }: Testing.Sent) => (values[0] as string).startsWith("a"), rows: [] }

  it.effect("is an error of a text with several statements, and the session goes on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql.unsafe("SELECT 5; SELECT 6"))
      assert.match(error.message, /The script failed: /)
      assert.deepStrictEqual(yield* sql`SELECT ${"a"}`, [])
      const { sent } = yield* Testing.Server
      assert.deepStrictEqual((yield* sent).map(({ session, text }) => [session, text]), [
        [1, "SELECT 5; SELECT 6"],
        [1, "SELECT $1"]
      ])
    }).pipe(over(throws)))

  it.effect("is an error too if its answer was for fewer times", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`SELECT ${"a"}`
      assert.match((yield* Effect.flip(sql`SELECT 5`)).message, /The script failed: /)
      assert.match((yield* Effect.flip(sql.unsafe("SELECT 5; SELECT 6"))).message, /The script failed: /)
      const { sessions } = yield* Testing.Server
      assert.strictEqual(yield* sessions, 1)
    }).pipe(over({ ...throws, times: 1 })))
})

describe("R47: statements that change the session", () => {
  const select = { text: "SELECT 2", rows: [{ n: 2 }] }

  it.effect("do so when their success is scripted", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const two = sql`SELECT 2`
      yield* sql.withTransaction(two)
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(two, Effect.fail("no"))))
      assert.deepStrictEqual(yield* two, [{ n: 2 }])
      // Out of a transaction it is an error.
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SAVEPOINT a`)), "25P01")
      const { sent } = yield* Testing.Server
      assert.isTrue(areAll(yield* sent, ({ session }) => session === 1))
    }).pipe(over(
      select,
      { text: "BEGIN", count: 0 },
      { text: "COMMIT", count: 0 },
      { text: "ROLLBACK", rows: [] },
      { text: "SAVEPOINT a", count: 0 }
    )))

  it.effect("do so in a text that is answered as a whole", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql.unsafe("BEGIN; SELECT 3; COMMIT"), [{ n: 3 }])
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SAVEPOINT a`)), "25P01")
      yield* sql.unsafe("BEGIN; SELECT 4; COMMIT")
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SAVEPOINT a`)), "25P01")
    }).pipe(over({ text: "BEGIN; SELECT 3; COMMIT", rows: [{ n: 3 }] }, { text: "BEGIN; SELECT 4; COMMIT" })))

  it.effect("a COMMIT after a failure is none, whatever is scripted", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql.withTransaction(Effect.ignore(sql`SELECT 4`)))
      assert.isFalse(PgError.isOutcomeUnknown(error))
    }).pipe(over({ text: "COMMIT", count: 0 })))
})
