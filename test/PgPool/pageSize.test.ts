import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { PageSize } from "../../src/internal/postgres/driver/pageSize.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { makePool, serverUrl } from "../support/pgPool.js"

/** Sizes of the pages that come until so many rows have come. */
const sizesUntil = (total: number, bytesOfRow: number, tookOf: (rows: number) => number): ReadonlyArray<number> => {
  const size = new PageSize()
  const sizes: Array<number> = []
  for (let rows = 0; rows < total; rows += sizes.at(-1)!) {
    sizes.push(size.rows)
    size.came(size.rows, size.rows * bytesOfRow, tookOf(size.rows))
  }
  return sizes
}

const distinct = (sizes: ReadonlyArray<number>): ReadonlyArray<number> => sizes.filter((n, i) => n !== sizes[i - 1])

const atOnce = () => 1

describe("R31: the pages of a stream", () => {
  it("those of a short stream have as many rows as in @effect/sql-pg", () => {
    assert.deepStrictEqual(distinct(sizesUntil(1024, 10, atOnce)), [128])
  })

  it("those of a long stream grow to 1024 rows, none by more than a quarter of what came before", () => {
    const sizes = sizesUntil(10_000, 10, atOnce)
    assert.deepStrictEqual(distinct(sizes), [128, 256, 512, 1024])
    let before = 0
    for (const rows of sizes) {
      if (rows > 128) assert.isAtMost(rows, before / 4)
      before += rows
    }
  })

  it("long rows stay in small pages: 64 KB, or 128 rows", () => {
    assert.deepStrictEqual(distinct(sizesUntil(10_000, 100, atOnce)), [128, 256, 512])
    assert.deepStrictEqual(distinct(sizesUntil(10_000, 300, atOnce)), [128])
    assert.deepStrictEqual(distinct(sizesUntil(10_000, 1_000_000, atOnce)), [128])
  })

  it("rows that come slowly are at most one page more late", () => {
    assert.deepStrictEqual(distinct(sizesUntil(10_000, 10, (rows) => 2 * rows)), [128])
    assert.deepStrictEqual(distinct(sizesUntil(2_000, 10, (rows) => rows)), [128, 256, 128, 256, 128, 256])
    assert.strictEqual(Math.max(...sizesUntil(100_000, 10, (rows) => rows)), 256)
    assert.strictEqual(Math.max(...sizesUntil(100_000, 10, (rows) => rows / 20)), 512)
  })

  it("where the server is far away they grow all the same", () => {
    assert.deepStrictEqual(distinct(sizesUntil(10_000, 10, (rows) => 100 + rows / 1000)), [128, 256, 512, 1024])
  })

  it("they shrink where rows become long or slow", () => {
    for (const [bytes, took] of [[1_000_000, 1], [10, 22]]) {
      const size = new PageSize()
      for (let i = 0; i < 100; i++) size.came(size.rows, 10, 1)
      assert.strictEqual(size.rows, 1024)
      const sizes = Array.from({ length: 4 }, () => {
        size.came(size.rows, bytes, took)
        return size.rows
      })
      assert.deepStrictEqual(sizes, [512, 256, 128, 128])
    }
  })

  for (const inTransaction of [false, true]) {
    const place = inTransaction ? "in a transaction" : "outside a transaction"

    /** The numbers of rows that came together. */
    const pagesOf = (count: number, text: string, url = serverUrl) =>
      Effect.gen(function*() {
        const { sql } = yield* makePool({ url, maxsize: 1, maxoverflow: 1 })
        const rows = sql<{ n: number; text: string }>`
          SELECT n, repeat('x', ${text.length}::integer) AS text FROM generate_series(1, ${count}::integer) n`.stream
        let next = 1
        const pages = rows.pipe(
          Stream.mapChunks((rows) => {
            for (const row of rows) {
              if (row.n === next && row.text === text) next++
            }
            return Chunk.of(rows.length)
          }),
          Stream.runCollect
        )
        const sizes = Chunk.toReadonlyArray(yield* inTransaction ? sql.withTransaction(pages) : pages)
        assert.strictEqual(next, count + 1)
        return sizes
      })

    it.scopedLive(`${place}: a long stream gives all rows, in order, in pages that grow`, () =>
      Effect.gen(function*() {
        const sizes = yield* pagesOf(50_000, "x")
        assert.strictEqual(sizes[0], 128)
        assert.isAbove(Math.max(...sizes), 128)
        assert.isAtMost(Math.max(...sizes), 1024)
      }))

    it.scopedLive(`${place}: the same over a slow network`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        proxy.delay = 15
        const sizes = yield* pagesOf(10_000, "x", proxy.url)
        assert.isAbove(Math.max(...sizes), 128)
      }))

    it.scopedLive(`${place}: a page of long rows has 128`, () =>
      Effect.gen(function*() {
        const sizes = yield* pagesOf(2_000, "x".repeat(1000))
        assert.strictEqual(Math.max(...sizes), 128)
      }))
  }
})
