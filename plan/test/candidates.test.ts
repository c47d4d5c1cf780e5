import { assert, describe, it } from "@effect/vitest"
import { candidatesOf } from "../src/candidates.js"
import type { Demand } from "../src/demand.js"
import { demandOf } from "../src/demand.js"
import type { Source } from "../src/load.js"
import { loadOf } from "../src/load.js"
import { withLongerHolds, withMoreRequests } from "../src/scale.js"

const rate = (perSecond: number, millis: number, length = 60_000): Source => ({
  _tag: "Rate",
  name: "",
  phases: [{ length, perSecond }],
  hold: { _tag: "Constant", millis }
})

const recorded = (at: ReadonlyArray<number>, holds: ReadonlyArray<number>, duration: number): Source => ({
  _tag: "Recorded",
  name: "",
  duration,
  at: Float64Array.from(at),
  holds: Float64Array.from(holds)
})

describe("what a load asks for", () => {
  it("is the rate times the hold", () => {
    const { hold, mean, perSecond, requests, worst } = demandOf(rate(400, 10))
    assert.deepStrictEqual({ hold, mean, perSecond, requests, worst }, {
      hold: 10,
      mean: 4,
      perSecond: 400,
      requests: 24_000,
      worst: 4
    })
  })

  it("is more in the busiest second of a recording, and a long hold is spread over its seconds", () => {
    // Ten of half a second in the third second, and one that lasts for all ten.
    const rush = Array.from({ length: 10 }, () => 2100)
    const { mean, requests, worst } = demandOf(recorded([0, ...rush], [10_000, ...rush.map(() => 500)], 10_000))
    assert.strictEqual(requests, 11)
    assert.approximately(mean, 1.5, 1e-9)
    assert.approximately(worst, 6, 1e-9)
  })

  it("is known where holds are drawn", () => {
    const source: Source = {
      _tag: "Arrivals",
      name: "",
      duration: 1000,
      at: Float64Array.of(0, 10),
      hold: { _tag: "Exponential", mean: 100 }
    }
    assert.approximately(demandOf(source).mean, 0.2, 1e-9)
  })
})

describe("candidates", () => {
  const demand: Demand = { requests: 1, perSecond: 400, hold: 10, mean: 4, worst: 9 }

  it("those that are asked for are all that there are, where they go together", () => {
    assert.deepStrictEqual(candidatesOf({ maxsize: [2, 8], maxwait: ["auto", 0], maxoverflow: [4, 8] }, demand), [
      { maxsize: 2, maxwait: "auto", maxoverflow: 4 },
      { maxsize: 2, maxwait: 0, maxoverflow: 4 },
      { maxsize: 2, maxwait: "auto", maxoverflow: 8 },
      { maxsize: 2, maxwait: 0, maxoverflow: 8 },
      // There is nothing to wait for.
      { maxsize: 8, maxwait: "auto", maxoverflow: 8 }
    ])
    assert.deepStrictEqual(candidatesOf({ maxsize: [8], maxoverflow: [4] }, demand), [])
  })

  it("else they are around what the load needs, from less than on average to more than in the worst second", () => {
    const candidates = candidatesOf({}, demand)
    const sizes = candidates.map(({ maxsize }) => maxsize)
    assert.isAtMost(Math.min(...sizes), 4)
    assert.isAtLeast(Math.max(...sizes), 9)
    assert.isAtLeast(Math.max(...candidates.map(({ maxoverflow }) => maxoverflow)), 30)
    assert.deepStrictEqual([...new Set(candidates.map(({ maxwait }) => maxwait))], ["auto", 200])
    assert.isBelow(candidates.length, 40)
  })

  it("the pool that has recorded the load is one of them", () => {
    const candidates = candidatesOf({}, demand, { present: { maxsize: 7, maxoverflow: 35 } })
    assert.deepInclude(candidates, { maxsize: 7, maxwait: "auto", maxoverflow: 35 })
    assert.notDeepInclude(candidatesOf({}, demand), { maxsize: 7, maxwait: "auto", maxoverflow: 35 })
  })

  it("none is beyond what the server allows one process", () => {
    const candidates = candidatesOf({}, demand, { most: 6 })
    assert.isNotEmpty(candidates)
    assert.strictEqual(Math.max(...candidates.map(({ maxoverflow }) => maxoverflow)), 6)
    assert.strictEqual(Math.max(...candidates.map(({ maxsize }) => maxsize)), 6)
  })
})

describe("another load", () => {
  const source = recorded(
    Array.from({ length: 10_000 }, (_, i) => 10 * i),
    Array.from({ length: 10_000 }, (_, i) => i),
    1e5
  )

  it("with 1.5 times the requests, those that were recorded are all there, and others come between them", () => {
    const arrivals = [...loadOf(withMoreRequests(source, 1.5)).arrivals(1)]
    assert.approximately(arrivals.length, 15_000, 300)
    arrivals.forEach(({ at, hold }, i) => {
      assert.isAtLeast(at, arrivals[i - 1]?.at ?? 0)
      assert.strictEqual(hold, Math.floor(at / 10))
    })
    const times = new Set(arrivals.map(({ at }) => at))
    assert.strictEqual(Array.from({ length: 10_000 }, (_, i) => 10 * i).filter((at) => times.has(at)).length, 10_000)
    assert.strictEqual(demandOf(withMoreRequests(rate(100, 5), 1.5)).perSecond, 150)
  })

  it("a rush stays as short as it was", () => {
    const rush = recorded(
      [0, ...Array.from({ length: 1000 }, () => 5000), 9000],
      Array.from({ length: 1002 }, () => 1),
      10_000
    )
    const arrivals = [...loadOf(withMoreRequests(rush, 1.5)).arrivals(1)]
    assert.approximately(arrivals.filter(({ at }) => at === 5000).length, 1500, 80)
  })

  it("with holds twice as long, the requests are the same", () => {
    const twice = [...loadOf(withLongerHolds(source, 2)).arrivals(1)]
    assert.deepStrictEqual(twice[7], { at: 70, hold: 14 })
    assert.strictEqual(twice.length, 10_000)
    assert.strictEqual(demandOf(withLongerHolds(rate(100, 5), 2)).mean, 1)
    const lognormal: Source = { ...rate(100, 5), hold: { _tag: "Lognormal", median: 4, sigma: 1 } } as Source
    assert.approximately(demandOf(withLongerHolds(lognormal, 2)).hold, 2 * demandOf(lognormal).hold, 1e-9)
  })
})
