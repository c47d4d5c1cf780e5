import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { failed, firsts, spoilBegin, watched } from "../support/begin.js"
import { instrument } from "../support/instrumentation.js"
import { insert, makePool, makeTable, promptly } from "../support/pgPool.js"

describe("R31: instrumentation of the first statement", () => {
  const isInsert = (first: any) => String(first?.text).includes("INSERT")
  const copyOf = (first: any) => ({ ...first, text: `${first.text.trim().toUpperCase()} /* copy */` })
  const ways: Record<string, Parameters<typeof instrument>[0]> = {
    "that sends it later": (query) =>
      function(first, ...rest) {
        if (!isInsert(first)) return query.call(this, first, ...rest)
        setTimeout(() => query.call(this, first, ...rest), 20)
      },
    "that sends a copy later": (query) =>
      function(first, ...rest) {
        if (!isInsert(first)) return query.call(this, first, ...rest)
        setTimeout(() => query.call(this, { ...first, text: `${first.text} /* copy */` }, ...rest), 20)
      },
    "that sends another text at once": (query) =>
      function(first, ...rest) {
        return query.call(this, isInsert(first) ? copyOf(first) : first, ...rest)
      },
    "that sends a copy and then the statement": (query) =>
      function(first, ...rest) {
        if (isInsert(first)) {
          process.noDeprecation = true
          query.call(this, { text: copyOf(first).text, values: [2] }, () => {})
        }
        return query.call(this, first, ...rest)
      },
    "that throws and sends it later": (query) =>
      function(first, ...rest) {
        if (!isInsert(first)) return query.call(this, first, ...rest)
        setTimeout(() => query.call(this, first, ...rest), 20)
        throw new Error("no")
      }
  }
  for (const [name, way] of Object.entries(ways)) {
    it.scopedLive(`R31: ${name}: nothing of it is stored if the transaction fails, nor is one left open`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        yield* sql`SELECT 1`
        const isLate = name.includes("throws")
        const exit = yield* Effect.scoped(Effect.zipRight(
          instrument(way),
          Effect.exit(sql.withTransaction(Effect.zipRight(Effect.exit(insert(sql, table, 1)), failed)))
        ))
        assert.deepStrictEqual(exit, Exit.fail("no"))
        if (!isLate) assert.deepStrictEqual(yield* table.ids, [])
        yield* Effect.sleep(50)
        yield* insert(sql, table, 3)
        assert.include(yield* table.ids, 3)
      }))
  }

  it.scopedLive("what it sends in front of the statement is in the transaction as well", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const tenant = sql`SELECT current_setting('app.tenant', true) AS tenant, ${1}::int AS one`
      yield* instrument((query) =>
        function(first, ...rest) {
          if (String(first?.text).includes("current_setting")) {
            process.noDeprecation = true
            query.call(this, "SELECT set_config('app.tenant', 'me', true)", () => {})
          }
          return query.call(this, first, ...rest)
        }
      )
      const mine = [{ tenant: "me", one: 1 }]
      assert.deepStrictEqual(yield* sql.withTransaction(Effect.all([tenant, tenant])), [mine, mine] as never)
    }))
})

describe("R31: instrumentation that sends something in front of the first statement", () => {
  const inFront = instrument((query) =>
    function(first, ...rest) {
      process.noDeprecation = true
      if (String(first?.text ?? first).includes("INSERT")) query.call(this, "SELECT 'in front'", () => {})
      return query.call(this, first, ...rest)
    }
  )

  for (const first of ["a statement", "a statement with parameters"]) {
    it.scopedLive(`R31: BEGIN goes once, before both, in each transaction: ${first}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { pieces, sql } = yield* watched()
        yield* inFront
        for (let i = 0; i < 3; i++) {
          pieces.length = 0
          yield* sql.withTransaction(firsts[first](sql, table))
          const sent = pieces.join("").match(/BEGIN|in front|INSERT|COMMIT/g)
          assert.deepStrictEqual(sent, ["BEGIN", "in front", "INSERT", "COMMIT"])
          yield* sql.unsafe(`DELETE FROM ${table.name}`)
        }
      }))
  }

  it.scopedLive("R31: if BEGIN fails, nothing of it is stored", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { proxy, sql } = yield* watched()
      yield* inFront
      spoilBegin(proxy)
      const body = Effect.zipRight(Effect.exit(insert(sql, table, 1)), Effect.exit(insert(sql, table, 2)))
      assert.isTrue(Exit.isFailure(yield* promptly(Effect.exit(sql.withTransaction(body)))))
      assert.deepStrictEqual(yield* table.ids, [])
    }))
})
