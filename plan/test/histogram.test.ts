import { assert, describe, it } from "@effect/vitest"
import { Histogram } from "../src/histogram.js"
import { Random } from "../src/random.js"

const histogramOf = (millis: ReadonlyArray<number>) => {
  const histogram = new Histogram()
  for (const time of millis) histogram.add(time)
  return histogram
}

describe("the histogram", () => {
  it("has three digits of every quantile, from microseconds to hours", () => {
    const random = new Random(1)
    const times = Array.from(
      { length: 100_000 },
      () => 0.05 * Math.exp(3 * random.normal()) + 3_600_000 * random.uniform() ** 20
    )
    const histogram = histogramOf(times)
    const sorted = Float64Array.from(times).sort()
    for (const part of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999]) {
      const exact = sorted[Math.floor(sorted.length * part)]
      // It counts in microseconds.
      assert.approximately(histogram.quantile(part), exact, Math.max(exact / 2000, 0.0005), String(part))
    }
    assert.strictEqual(histogram.max, sorted[sorted.length - 1])
    assert.approximately(histogram.mean, times.reduce((sum, time) => sum + time) / times.length, 1e-6)
  })

  it("is exact for what all have in common, and at both ends", () => {
    assert.strictEqual(histogramOf([0, 0, 0]).quantile(0.99), 0)
    assert.strictEqual(histogramOf([20, 20, 20]).quantile(0.5), 20)
    assert.strictEqual(histogramOf([0, 0, 0, 5]).quantile(0.5), 0)
    assert.strictEqual(histogramOf([0, 0, 0, 5]).quantile(0.999), 5)
    assert.approximately(histogramOf([86_400_000]).quantile(0.5), 86_400_000, 86_400_000 / 4000)
  })

  it("of nothing is 0", () => {
    const { max, mean } = new Histogram()
    assert.deepStrictEqual([new Histogram().quantile(0.5), mean, max], [0, 0, 0])
  })
})
