import { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { names } from "../support/besideStock.js"
import { codeOf, eventually, makePool, makeTable, pidOf } from "../support/pgPool.js"

describe("R31: streams", () => {
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

  it.scopedLive("outside a transaction a stream holds a connection until its last row has come", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const rows = sql<{ n: number }>`SELECT n FROM generate_series(1, 1000) n`.stream
      // Seven pages of 128 rows, and the last one.
      yield* Stream.runForEach(
        rows,
        ({ n }) => Effect.map(pool.stats, ({ busy }) => assert.strictEqual(busy, n > 7 * 128 ? 0 : 1))
      )
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

describe("R31: many at once", () => {
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
