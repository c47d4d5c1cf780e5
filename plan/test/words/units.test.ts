import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import { hold, meanOf } from "../../src/words/hold.js"
import { outages, placeOutage } from "../../src/words/outage.js"
import { target } from "../../src/words/target.js"
import type { Read } from "../../src/words/units.js"
import { count, counts, duration, limit, rate, seed, share, waits } from "../../src/words/units.js"

const right = <A>(read: Read<A>): A => Either.getOrThrowWith(read, (why) => new Error(why))
const left = (read: Read<unknown>): string => Either.getOrThrow(Either.flip(read))

describe("what the user writes", () => {
  it("times have a unit", () => {
    assert.deepStrictEqual(["5ms", "1.5s", "10 min", "2h", "250us", "0"].map((text) => right(duration(text))), [
      5,
      1500,
      600_000,
      7_200_000,
      0.25,
      0
    ])
    assert.strictEqual(left(duration("5")), "5 has no unit: write 5ms or 5s")
    assert.strictEqual(left(duration("5 parsecs")), `"parsecs" is no unit of time: there are ms, s, min, h and d`)
    assert.strictEqual(left(duration("soon")), `"soon" is no time: write one such as 5ms or 2s`)
    assert.strictEqual(left(duration("-5ms")), `"-5ms" is no time: write one such as 5ms or 2s`)
  })

  it("times are at most a year, and those that the pool waits for 0 or at least a millisecond", () => {
    assert.strictEqual(right(duration("365d")), 365 * 86_400_000)
    assert.strictEqual(left(duration("366d")), "366d is too long: a time is at most a year (365d)")
    assert.include(left(outages("366d@1s")), "366d is too long")
    assert.include(left(hold(`${"9".repeat(400)}ms`)), "999...ms is too long")
    assert.deepStrictEqual(["0", "0ms", "1ms", "1.5ms"].map((text) => right(limit(text))), [0, 0, 1, 1.5])
    for (const text of ["0.5ms", "0.0001us"]) {
      assert.strictEqual(left(limit(text)), `${text} is less than a millisecond: write 0, or 1ms or more`)
    }
    assert.include(left(waits("auto,0.5ms")), "0.5ms is less than a millisecond")
  })

  it("what nobody has is refused: it would take all time or memory", () => {
    assert.strictEqual(right(count("100000")), 100_000)
    assert.strictEqual(left(count("100001")), "100001 is too many: at most 100000")
    assert.include(left(counts("9".repeat(23))), "is too many")
    assert.include(left(counts("1..999999999/99999999")), "is too many")
    assert.include(left(rate("1000001/s")), "is too much")
    assert.strictEqual(right(seed("20260501")), 20_260_501)
    assert.include(left(seed("9".repeat(17))), "is too many")
  })

  it("what is repeated in a message is short, and nothing in it moves the cursor", () => {
    const long = left(duration("x".repeat(3_000_000)))
    assert.isBelow(long.length, 200)
    assert.strictEqual(
      left(duration("\u001b[2J\u009b\n")),
      String.raw`"\u001b[2J\u009b\n" is no time: write one such as 5ms or 2s`
    )
    assert.isBelow(left(duration("1".repeat(5000))).length, 200)
  })

  it("rates and shares have a unit", () => {
    assert.deepStrictEqual(["400/s", "90/min", "3600 / h", "2/ms"].map((text) => right(rate(text))), [
      400,
      1.5,
      1,
      2000
    ])
    assert.strictEqual(left(rate("400")), "400 has no unit: write 400/s or 400/min")
    assert.include(left(rate("400/fortnight")), `"fortnight" is no unit of time`)
    assert.include(left(rate("0/s")), "a rate of 0 is no load")
    assert.approximately(right(share("0.1%")), 0.001, 1e-12)
    assert.strictEqual(left(share("1")), "1 has no unit: write 1%")
    assert.include(left(share("101%")), "at most 100%")
  })

  it("lists and ranges are whole numbers in order", () => {
    assert.deepStrictEqual(right(counts("8,2..4,3,10..20/5")), [2, 3, 4, 8, 10, 15, 20])
    assert.include(left(counts("0,2")), `"0" is no whole number of at least 1`)
    assert.strictEqual(left(counts("9..2")), "the range 9..2 runs backwards: write 2..9")
    assert.include(left(counts("1..10000")), "has 10000 numbers: take steps")
    assert.include(left(counts("1..9/0")), "no range")
    assert.strictEqual(right(count("3")), 3)
    assert.include(left(count("3.5")), "no whole number")
    assert.deepStrictEqual(right(waits("auto, 0ms,200ms,auto")), ["auto", 0, 200])
    assert.strictEqual(left(waits("auto,200")), "200 has no unit: write 200ms or 200s, or auto")
  })

  it("two quantiles of a hold are met exactly, and more as well as can be", () => {
    const two = right(hold("p50=4ms,p99=80ms"))
    assert(two._tag === "Lognormal")
    assert.approximately(two.median, 4, 1e-4)
    // 2.3263 deviations above the middle are 99 %.
    assert.approximately(two.median * Math.exp(two.sigma * 2.3263), 80, 0.01)
    assert.approximately(meanOf(two), 4 * Math.exp(two.sigma ** 2 / 2), 1e-3)
    const three = right(hold("p99=100ms,p50=4ms,p90=20ms"))
    assert(three._tag === "Lognormal")
    assert.isAbove(three.median, 3)
    assert.isBelow(three.median, 5)
    assert.deepStrictEqual(right(hold("5ms")), { _tag: "Constant", millis: 5 })
    assert.deepStrictEqual(right(hold("mean=5ms")), { _tag: "Exponential", mean: 5 })
  })

  it("a hold that says too little, or contradicts itself, is refused", () => {
    assert.include(left(hold("5")), "5 has no unit")
    assert.include(left(hold("p50=4,p99=80ms")), "4 has no unit")
    assert.include(left(hold("p99=80ms")), "one quantile, p99, says nothing about the others")
    assert.include(left(hold("p50=80ms,p99=4ms")), "a higher one is not shorter")
    assert.include(left(hold("p50=4ms,p50=5ms")), "named once")
    assert.include(left(hold("p100=4ms,p50=3ms")), `"p100=4ms" is no quantile`)
    assert.include(left(hold("max=4ms")), "is no quantile")
    assert.include(left(hold("0ms")), "a hold of 0")
    assert.include(left(hold("p50=4ms,p51=80ms")), "a hold is longer than a year on average")
  })

  it("an outage is at a time of day or after the beginning, and within the load", () => {
    const [noon, later] = right(outages("5s@12:00,2s@90s"))
    const hour = 3_600_000
    assert.deepStrictEqual(right(placeOutage(noon, undefined, 24 * hour)), { at: 12 * hour, length: 5000 })
    assert.deepStrictEqual(right(placeOutage(later, undefined, hour)), { at: 90_000, length: 2000 })
    // A load that began at 22:30 has its noon on the next day.
    const began = Date.parse("2026-05-01T22:30:00Z")
    assert.deepStrictEqual(right(placeOutage(noon, began, 24 * hour)), { at: 13.5 * hour, length: 5000 })
    assert.strictEqual(
      left(placeOutage(noon, began, hour)),
      "5s@12:00 is not in the load, which begins at 22:30:00 UTC and lasts 3600 s"
    )
    assert.include(left(outages("5s")), "write how long and when")
    assert.include(left(outages("5@12:00")), "5 has no unit")
    assert.include(left(outages("5s@25:00")), `"25:00" is no time of day`)
    assert.include(left(outages("5s@90")), "90 has no unit")
  })

  it("a target is for waits, and for those refused", () => {
    assert.deepStrictEqual(right(target("p99-wait=50ms,mean-wait=1ms,refused=1%")), {
      waits: [["p99-wait", 50], ["mean-wait", 1]],
      refused: 0.01
    })
    assert.include(left(target("p99-wait=50")), "50 has no unit")
    assert.include(left(target("p98-wait=50ms")), `"p98-wait" is nothing that a target can be for: there are mean-wait`)
    assert.include(left(target("p99-wait")), "is no target")
    assert.include(left(target("refused=1%")), "a target has a wait")
    for (const name of ["toString", "constructor"]) {
      assert.include(left(target(`${name}=5ms`)), `"${name}" is nothing that a target can be for`)
    }
    assert.include(left(target("p99-wait=50ms=3")), `"p99-wait=50ms=3" is no target`)
    assert.strictEqual(left(target("p99-wait=5ms,refused=1%,refused=0%")), "refused is given twice")
  })
})
