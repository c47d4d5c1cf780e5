import { assert, describe, it } from "@effect/vitest"
import * as Testing from "effect-pgpool/Testing"
import { Random } from "../src/random.js"
import { makeServer } from "../src/server.js"
import { erlangC } from "./erlang.js"

interface Statement {
  readonly at: number
  readonly work: number
}

/** How long each of them takes. */
const timesOf = (cores: number | undefined, statements: ReadonlyArray<Statement>): ReadonlyArray<number> => {
  const time = Testing.virtualTime()
  const server = makeServer(time, cores)
  const times = statements.map(() => NaN)
  time.each(
    statements.map((statement, i) => ({ ...statement, i })),
    ({ at, i, work }) => server.run(work, () => times[i] = time.now - at)
  )
  time.runUntil(statements[statements.length - 1].at + 100_000)
  return times
}

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

const poisson = (perMilli: number, count: number, work: (random: Random) => number): ReadonlyArray<Statement> => {
  const random = new Random(3)
  let at = 0
  return Array.from({ length: count }, () => ({ at: at += random.exponential() / perMilli, work: work(random) }))
}

describe("the server", () => {
  it("gives each statement a core as long as there are enough, else equal parts", () => {
    const two = [{ at: 0, work: 10 }, { at: 5, work: 10 }]
    assert.deepStrictEqual(timesOf(undefined, two), [10, 10])
    assert.deepStrictEqual(timesOf(2, two), [10, 10])
    // From 5 on both have half of it; the first one ends at 15, and the second one then has 5 left.
    assert.deepStrictEqual(timesOf(1, two), [15, 15])
    // Three on two cores: each has two thirds of one.
    const three = [{ at: 0, work: 10 }, { at: 0, work: 10 }, { at: 0, work: 20 }]
    timesOf(2, three).forEach((time, i) => assert.approximately(time, [15, 15, 25][i], 1e-9))
  })

  it("what is called off leaves its part to the others", () => {
    const time = Testing.virtualTime()
    const server = makeServer(time, 1)
    const ended: Array<string> = []
    const callOff = server.run(10, () => ended.push("first"))
    const callOffLater = server.run(10, () => ended.push(`second at ${time.now}`))
    time.runUntil(10)
    callOff()
    callOff()
    time.runUntil(100)
    assert.deepStrictEqual(ended, ["second at 15"])
    callOffLater()
    server.run(10, () => ended.push(`third at ${time.now}`))
    time.runUntil(200)
    assert.deepStrictEqual(ended, ["second at 15", "third at 110"])
  })

  // The mean time in an M/G/1 queue with processor sharing is that of the work, divided by what is left of the core.
  it("takes as long as the theory of processor sharing says, whatever the statements are like", () => {
    const exponential = poisson(0.05, 200_000, (random) => 10 * random.exponential())
    assert.approximately(mean(timesOf(1, exponential)), 20, 0.6)
    const constant = poisson(0.05, 200_000, () => 10)
    assert.approximately(mean(timesOf(1, constant)), 20, 0.6)
    // So each takes as long as its own work says.
    const mixed = poisson(0.05, 200_000, (random) => random.uniform() < 0.5 ? 4 : 16)
    const times = timesOf(1, mixed)
    const meanOf = (work: number) => mean(times.filter((_, i) => mixed[i].work === work))
    assert.approximately(meanOf(4), 8, 0.3)
    assert.approximately(meanOf(16), 32, 1)
  })

  it("with several cores it takes as long as in an M/M/c queue with processor sharing", () => {
    // 4 cores, 3 of them busy on average: as many are there as in a queue with first come, first served.
    const times = timesOf(4, poisson(0.3, 200_000, (random) => 10 * random.exponential()))
    const wait = erlangC(4, 3) / (0.4 - 0.3)
    assert.approximately(mean(times), 10 + wait, 0.5)
  })
})
