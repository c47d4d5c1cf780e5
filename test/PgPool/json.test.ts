import type { PgClient } from "@effect/sql-pg"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream, String as Str } from "effect"
import type { PgPool } from "effect-pgpool"
import { makePool } from "../support/pgPool.js"

const names = { transformResultNames: Str.snakeToCamel, transformQueryNames: Str.camelToSnake }

const textOf = (depth: number, open: string, close: string) => `${open.repeat(depth)}1${close.repeat(depth)}`

/** How many objects or arrays are around the innermost value. */
const depthOf = (value: unknown): number => {
  let depth = 0
  while (typeof value === "object" && value !== null) {
    value = Object.values(value)[0]
    depth++
  }
  return depth
}

const nest = (depth: number, wrap: (value: unknown) => unknown): unknown => {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = wrap(value)
  return value
}

describe("R31: JSON that is deep", () => {
  it.scopedLive("it comes in with other names, however deep the server takes it", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool(names)
      const shapes = [["{\"some_key\":", "}"], ["[{\"some_key\":", "}]"], ["{\"some_key\":[{\"b\":", "}]}"]] as const
      for (const [open, close] of shapes) {
        const levels = open.match(/[{[]/g)!.length
        for (const depth of [1500, 4500]) {
          const text = textOf(Math.floor(depth / levels), open, close)
          const statement = sql<{ someJson: any }>`SELECT ${text}::json AS some_json`
          const [row] = yield* statement
          assert.isAtLeast(depthOf(row.someJson), depth - levels)
          assert.deepStrictEqual(Object.keys(Array.isArray(row.someJson) ? row.someJson[0] : row.someJson), ["someKey"])
          const [streamed] = yield* Stream.runCollect(statement.stream)
          assert.isAtLeast(depthOf(streamed.someJson), depth - levels)
        }
      }
    }))

  it.scopedLive("it goes out with other names; what is too deep for JSON.stringify is a typed failure", () =>
    Effect.gen(function*() {
      for (const options of [{}, names]) {
        const { sql } = yield* makePool(options)
        for (const wrap of [(value: unknown) => ({ someKey: value }), (value: unknown) => [{ someKey: value }]]) {
          const [row] = yield* sql<{ j: unknown }>`SELECT ${sql.json(nest(1000, wrap))}::json AS j`
          assert.isAtLeast(depthOf(row.j), 1000)
          yield* fails(sql`SELECT ${sql.json(nest(100_000, wrap))}::json`)
          yield* fails(sql`SELECT ${nest(100_000, wrap) as any}::json`)
          yield* fails(Stream.runDrain(sql`SELECT ${sql.json(nest(100_000, wrap))}::json`.stream))
        }
        assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
      }
    }))
})

const fails = <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<void, A> =>
  Effect.map(Effect.flip(effect), (error) => assert.instanceOf(error, SqlError))

describe("R31: JSON that can't be sent, or whose names can't be transformed", () => {
  const cyclic: Record<string, unknown> = { some_key: 1 }
  cyclic["inner"] = [cyclic]

  const no = () => {
    throw new Error("no")
  }
  class Unwilling {
    toJSON() {
      return no()
    }
  }

  const values: Record<string, unknown> = {
    "a cycle": cyclic,
    "a cycle in an array": [cyclic],
    "a toJSON that throws": { inner: new Unwilling() },
    "a getter that throws": Object.defineProperty({}, "a", { enumerable: true, get: no }),
    "a proxy that throws": new Proxy({}, { ownKeys: no }),
    "a bigint within": { a: 1n },
    "a function": no,
    "a symbol": Symbol("a"),
    NaN,
    Infinity,
    "a text that is no JSON": "text"
  }
  const modes: Record<string, PgPool.PgPoolOptions> = {
    "as it stands": {},
    "with transforms": names,
    "multiplex": { ...names, multiplex: true },
    "prepare": { ...names, prepare: true }
  }
  for (const [mode, options] of Object.entries(modes)) {
    it.scopedLive(`it is a typed failure everywhere, and the connection goes on: ${mode}`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool(options)
        for (const value of Object.values(values)) {
          const json = () => sql.json(value) as any
          for (const use of usesOf(sql, json)) {
            yield* fails(Effect.suspend(use))
            yield* fails(sql.withTransaction(Effect.suspend(use)))
          }
        }
        assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
      }))
  }

  const usesOf = (sql: PgClient.PgClient, json: () => any): Array<() => Effect.Effect<unknown, SqlError>> => [
    () => sql`SELECT ${json()}::json AS a`,
    () => sql`SELECT ${json()}::json AS a`.values,
    () => sql`SELECT * FROM (SELECT 1::json AS data) t WHERE false ${sql.unsafe("OR")} ${json()}::jsonb IS NULL`,
    () => Stream.runDrain(sql`SELECT ${json()}::json AS a`.stream),
    () => sql`SELECT data::json FROM ${sql.updateValues([{ data: json() }], "t")}`
  ]

  it.scopedLive("a transformResultNames that throws is a typed failure, and the connection goes on", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({
        maxsize: 1,
        maxoverflow: 1,
        transformResultNames: (name) => name === "bad" ? no() : name
      })
      for (const column of ["1 AS bad", "'{\"bad\": 1}'::json AS a", "'{\"a\": [{\"bad\": 1}]}'::json AS a"]) {
        const statement = sql.unsafe(`SELECT ${column}`)
        const uses = [statement, statement.unprepared, Stream.runDrain(statement.stream)]
        for (const use of uses) {
          yield* fails(use)
          yield* fails(sql.withTransaction(use))
        }
      }
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
    }))

  it.scopedLive("what is met twice is the same twice, and __proto__ is a name like others", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool(names)
      const shared = { someKey: 1 }
      const value = { first: shared, list: [shared, { shared }], someKey: 1 }
      const [row] = yield* sql<{ j: unknown }>`SELECT ${sql.json(value)}::text AS j`
      assert.deepStrictEqual(JSON.parse(row.j as string), {
        first: { some_key: 1 },
        list: [{ some_key: 1 }, { shared: { some_key: 1 } }],
        some_key: 1
      })
      const { sql: same } = yield* makePool({ transformResultNames: (name) => name })
      const [polluted] = yield* same<{ j: any }>`SELECT ${"{\"__proto__\": {\"a\": 1}}"}::json AS j`
      assert.deepStrictEqual(Object.keys(polluted.j), ["__proto__"])
      assert.isUndefined(polluted.j.a)
    }))
})
