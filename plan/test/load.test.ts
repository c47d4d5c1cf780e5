import { assert, describe, it } from "@effect/vitest"
import type { Hold } from "../src/load.js"
import { loadOf } from "../src/load.js"

const hour = 3_600_000

const rate = (perSecond: number, hold: Hold, length = hour) =>
  loadOf({ _tag: "Rate", name: "", phases: [{ length, perSecond }], hold })

const sorted = (numbers: Iterable<number>) => Float64Array.from(numbers).sort()

const quantile = (numbers: Float64Array, part: number) => numbers[Math.floor(numbers.length * part)]

describe("loads", () => {
  it("the same seed gives the same requests, and another seed others", () => {
    const load = rate(10, { _tag: "Lognormal", median: 4, sigma: 1 }, 60_000)
    assert.deepStrictEqual([...load.arrivals(1)], [...load.arrivals(1)])
    assert.notDeepEqual([...load.arrivals(1)], [...load.arrivals(2)])
  })

  it("requests come as often as the rate says, in order, within the load", () => {
    const arrivals = [...rate(100, { _tag: "Constant", millis: 5 }).arrivals(1)]
    // Five deviations of a Poisson process.
    assert.approximately(arrivals.length, 360_000, 5 * Math.sqrt(360_000))
    arrivals.forEach(({ at }, i) => assert.isAtLeast(at, i === 0 ? 0 : arrivals[i - 1].at))
    assert.isBelow(arrivals[arrivals.length - 1].at, hour)
    // Gaps between independent requests are exponential.
    const gaps = sorted(arrivals.slice(1).map(({ at }, i) => at - arrivals[i].at))
    assert.approximately(quantile(gaps, 0.5), 10 * Math.LN2, 0.1)
    assert.approximately(quantile(gaps, 0.99), 10 * Math.log(100), 1)
  })

  it("each phase has its own rate", () => {
    const phases = [{ length: hour, perSecond: 1 }, { length: hour, perSecond: 0 }, { length: hour, perSecond: 10 }]
    const load = loadOf({ _tag: "Rate", name: "", phases, hold: { _tag: "Constant", millis: 5 } })
    assert.strictEqual(load.duration, 3 * hour)
    const counts = [0, 0, 0]
    for (const { at } of load.arrivals(1)) counts[Math.floor(at / hour)]++
    assert.approximately(counts[0], 3600, 300)
    assert.strictEqual(counts[1], 0)
    assert.approximately(counts[2], 36_000, 1000)
  })

  it("holds are of the distribution that was asked for", () => {
    const holds = (hold: Hold) => sorted([...rate(100, hold).arrivals(1)].map(({ hold }) => hold))
    const lognormal = holds({ _tag: "Lognormal", median: 4, sigma: 1.288 })
    assert.approximately(quantile(lognormal, 0.5), 4, 0.1)
    assert.approximately(quantile(lognormal, 0.99), 80, 4)
    const exponential = holds({ _tag: "Exponential", mean: 20 })
    assert.approximately(quantile(exponential, 0.5), 20 * Math.LN2, 0.3)
    assert.approximately(quantile(exponential, 0.99), 20 * Math.log(100), 2)
  })

  it("what was recorded is played as it was, with holds that were recorded or drawn", () => {
    const at = Float64Array.of(0, 1, 5)
    const recorded = loadOf({ _tag: "Recorded", name: "", duration: 10, at, holds: Float64Array.of(3, 2, 1) })
    assert.deepStrictEqual([...recorded.arrivals(7)], [{ at: 0, hold: 3 }, { at: 1, hold: 2 }, { at: 5, hold: 1 }])
    const drawn = loadOf({ _tag: "Arrivals", name: "", duration: 10, at, hold: { _tag: "Exponential", mean: 2 } })
    assert.deepStrictEqual([...drawn.arrivals(1)].map(({ at }) => at), [0, 1, 5])
    assert.deepStrictEqual([...drawn.arrivals(1)], [...drawn.arrivals(1)])
  })
})
