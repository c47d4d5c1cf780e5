import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { Recent } from "../../src/internal/pool/recent.js"

/** Six days: longer times share a bucket. */
const longest = 2 ** 29

const times = fc.oneof(fc.nat(10), fc.nat(1000), fc.nat(longest))

/** The smallest time that so many of all were not longer than. */
const exact = (sorted: ReadonlyArray<number>, part: number): number => sorted[Math.ceil(sorted.length * part) - 1]

const recentOf = (millis: ReadonlyArray<number>, now = 0): Recent => {
  const recent = new Recent()
  for (const time of millis) recent.add(time, now)
  return recent
}

describe("R40: percentiles", () => {
  it.prop(
    "are never less than the exact ones, and at most a quarter more",
    [fc.array(times, { minLength: 1 })],
    ([all]) => {
      const sorted = [...all].sort((a, b) => a - b)
      const { count, ...found } = recentOf(all).percentiles(0)
      assert.strictEqual(count, all.length)
      for (const [name, part] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]] as const) {
        assert.isAtLeast(found[name], exact(sorted, part), name)
        assert.isAtMost(found[name], exact(sorted, part) * 1.25, name)
      }
    }
  )

  it("are exact up to 7 ms", () => {
    for (let millis = 0; millis < 8; millis++) {
      assert.deepStrictEqual(recentOf([millis]).percentiles(0), { count: 1, p50: millis, p95: millis, p99: millis })
    }
  })

  it("of many short times and one long one: the long one is in none, of five in p99, of ten in p95 too", () => {
    const short = Array.from({ length: 95 }, () => 1)
    const withLong = (n: number) => recentOf([...short, ...Array.from({ length: n }, () => 6)]).percentiles(0)
    assert.deepStrictEqual(withLong(0), { count: 95, p50: 1, p95: 1, p99: 1 })
    assert.deepStrictEqual(withLong(5), { count: 100, p50: 1, p95: 1, p99: 6 })
    assert.deepStrictEqual(withLong(10), { count: 105, p50: 1, p95: 6, p99: 6 })
  })

  it("of no time are 0", () => {
    assert.deepStrictEqual(recentOf([]).percentiles(0), { count: 0, p50: 0, p95: 0, p99: 0 })
  })

  it("of a time that is longer than any, or shorter than none, are those of the last or the first bucket", () => {
    assert.isAtLeast(recentOf([Infinity]).percentiles(0).p50, longest)
    assert.strictEqual(recentOf([-1]).percentiles(0).p50, 0)
  })
})

describe("R40: the last minute", () => {
  const steps = fc.array(fc.record({ after: fc.oneof(fc.nat(100), fc.nat(100_000)), isAsked: fc.boolean() }))

  it.prop(
    "has all of the last half minute, and nothing that is older than a minute",
    [steps, fc.nat()],
    ([steps, start]) => {
      const recent = new Recent()
      const added: Array<number> = []
      let now = start
      for (const { after, isAsked } of steps) {
        now += after
        if (isAsked) {
          const { count } = recent.percentiles(now)
          assert.isAtLeast(count, added.filter((at) => at > now - 30_000).length)
          assert.isAtMost(count, added.filter((at) => at > now - 60_000).length)
        } else {
          recent.add(1, now)
          added.push(now)
        }
      }
    }
  )

  it("forgets by turns: what is of one turn goes together, when the next but one begins", () => {
    const recent = recentOf([1], 0)
    recent.add(2, 29_999)
    recent.add(3, 30_000)
    assert.strictEqual(recent.percentiles(59_999).count, 3)
    assert.deepStrictEqual(recent.percentiles(60_000), { count: 1, p50: 3, p95: 3, p99: 3 })
    assert.strictEqual(recent.percentiles(89_999).count, 1)
    assert.strictEqual(recent.percentiles(90_000).count, 0)
  })
})
