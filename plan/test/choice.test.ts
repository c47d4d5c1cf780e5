import { assert, describe, it } from "@effect/vitest"
import { choose, closest, frontOf } from "../src/choice.js"
import type { Fleet } from "../src/fleet.js"
import { coresForOne, countOf, fits, mostOverflow, overloadOf } from "../src/fleet.js"
import type { Target } from "../src/words/target.js"
import { candidate, outcome } from "./outcomes.js"

const alone: Fleet = { instances: 1, rollout: false, maxConnections: undefined, serverCores: undefined, serverPart: 1 }

const target: Target = { waits: [["p99-wait", 50]], refused: 0.001 }

describe("the choice", () => {
  const few = outcome(candidate(1, 4), { p99: 80, meanConnections: 1 })
  const some = outcome(candidate(4, 8), { p99: 40, meanConnections: 4 })
  const worse = outcome(candidate(5, 8), { p99: 60, meanConnections: 5 })
  const many = outcome(candidate(9, 16), { p99: 5, meanConnections: 9 })

  it("the best ones are those than which none holds fewer connections without longer waits", () => {
    assert.deepStrictEqual(frontOf([many, worse, few, some]), [few, some, many])
    const overloaded = outcome(candidate(1, 1), { p99: 0, meanConnections: 0.5, queueGrowth: 3 })
    assert.deepStrictEqual(frontOf([overloaded, few]), [few])
  })

  it("the one to take is the smallest that meets the target", () => {
    assert.strictEqual(choose([many, worse, few, some], target, alone), some)
    assert.strictEqual(choose([worse, few], target, alone), undefined)
    assert.strictEqual(closest([worse, few], target), worse)
  })

  it("one that refuses callers, or whose queue grows for ever, meets no target", () => {
    const refusing = outcome(candidate(1, 2), { meanConnections: 1, refused: 2 })
    const growing = outcome(candidate(1, 2), { meanConnections: 1, queueGrowth: 1 })
    assert.strictEqual(choose([refusing, growing, many], target, alone), many)
    assert.strictEqual(choose([refusing, many], { ...target, refused: 0.01 }, alone), refusing)
    assert.strictEqual(closest([growing, worse], target), worse)
  })

  it("of those that hold about as many, the one with the lowest limit and the fewest connects is taken", () => {
    const restless = outcome(candidate(3, 8), { p99: 40, meanConnections: 3.9, connects: 5000 })
    const high = outcome(candidate(4, 32), { p99: 40, meanConnections: 3.8, connects: 1 })
    assert.strictEqual(choose([restless, high, some], target, alone), some)
  })

  it("all bounds of a target count", () => {
    const both: Target = { waits: [["p99-wait", 50], ["max-wait", 100]], refused: 0.001 }
    // Its longest wait is 120 ms.
    assert.strictEqual(choose([some, many], both, alone), many)
  })
})

describe("the fleet", () => {
  const fleet: Fleet = { ...alone, instances: 6, maxConnections: 100 }

  it("all processes with their listeners fit into the connections that are not reserved", () => {
    const { allowed, kept, mean, worst } = countOf(fleet, outcome(candidate(4, 10), { meanConnections: 4.5 }))
    assert.deepStrictEqual({ allowed, kept, mean, worst }, { allowed: 97, kept: 24, mean: 27, worst: 66 })
    assert.isTrue(fits(fleet, candidate(4, 15)))
    assert.isFalse(fits(fleet, candidate(4, 16)))
    assert.strictEqual(mostOverflow(fleet), 15)
  })

  it("while a version is rolled out there are twice as many", () => {
    const rollout = { ...fleet, rollout: true }
    assert.strictEqual(countOf(rollout, outcome(candidate(4, 5))).worst, 72)
    assert.strictEqual(mostOverflow(rollout), 7)
    const good = outcome(candidate(4, 8), { p99: 40 })
    assert.strictEqual(choose([good], target, fleet), good)
    assert.strictEqual(choose([good], target, rollout), undefined)
  })

  it("the others leave one process the cores that they do not use", () => {
    const demand = { requests: 0, perSecond: 100, hold: 10, mean: 1, worst: 1 }
    assert.strictEqual(coresForOne({ ...fleet, serverCores: 8 }, demand), 3)
    assert.strictEqual(coresForOne({ ...fleet, serverCores: 8, serverPart: 0.5 }, demand), 5.5)
    assert.strictEqual(coresForOne(fleet, demand), undefined)
    assert.strictEqual(overloadOf({ ...fleet, serverCores: 8 }, demand), undefined)
    // 600 callers a second keep 6 cores busy. 4 cores serve 400 of them.
    const overload = overloadOf({ ...fleet, serverCores: 4 }, demand)
    assert.deepInclude(overload, { needed: 6, cores: 4 })
    assert.approximately(overload!.growth, 200, 1e-9)
  })
})
