import { Statement } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import { inject } from "vitest"
import type { Use } from "../support/besideStock.js"
import { makeStock } from "../support/besideStock.js"
import { makePool } from "../support/pgPool.js"
import { traced } from "../support/spans.js"

const errorAttributes = ["db.response.status_code", "error.type"]

describe("R31: spans, the same as of stock PgClient", () => {
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
        // The first statement has to wait for a connection.
        yield* sql`SELECT 1`
        const spans = yield* traced(use(sql, ""))
        assert.isAbove(spans.length, 0)
        // Ours say how a statement has failed.
        for (const { attributes } of spans) for (const own of errorAttributes) delete attributes[own]
        assert.deepStrictEqual(spans, yield* traced(use(stock, "")))
      }))
  }

  it.scopedLive("without a URL, with separate settings", () =>
    Effect.gen(function*() {
      const { hostname: host, password, port, username } = new URL(inject("pgUrl"))
      const options = { url: undefined, host, port: Number(port), username, password: Redacted.make(password) }
      const { sql } = yield* makePool(options)
      const stock = yield* makeStock(options)
      // It has to wait for a connection.
      yield* sql`SELECT 1`
      assert.deepStrictEqual(yield* traced(sql`SELECT 1`), yield* traced(stock`SELECT 1`))
    }))

  it.scopedLive("are what they should be", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      yield* sql`SELECT 1`
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
