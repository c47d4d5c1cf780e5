import { assert, describe, it } from "@effect/vitest"
import type { Play } from "../../test/support/eachByAFiber.js"
import { eachByAFiber } from "../../test/support/eachByAFiber.js"
import type { Hold } from "../src/load.js"
import { loadOf } from "../src/load.js"
import type { Candidate, Load, Surroundings } from "../src/model.js"
import { defaultAcquireTimeout, simulate } from "../src/simulate.js"
import { erlangC } from "./erlang.js"

const around: Surroundings = { connect: 20, serverCores: undefined, outages: [], options: {} }

const candidate: Candidate = { maxsize: 2, maxwait: "auto", maxoverflow: 10 }

const rate = (perSecond: number, hold: Hold, seconds: number): Load =>
  loadOf({ _tag: "Rate", name: "", phases: [{ length: 1000 * seconds, perSecond }], hold })

const exponential = (mean: number): Hold => ({ _tag: "Exponential", mean })

const recorded = (requests: Play["requests"], duration: number): Load =>
  loadOf({
    _tag: "Recorded",
    name: "",
    duration,
    at: Float64Array.from(requests, ({ at }) => at),
    holds: Float64Array.from(requests, ({ hold }) => hold)
  })

describe("a simulation", () => {
  it("gives the same figures for the same seed, and others for another one", () => {
    const load = rate(200, { _tag: "Lognormal", median: 5, sigma: 1 }, 60)
    const hard = { ...around, serverCores: 2, outages: [{ at: 10_000, length: 2000 }] }
    assert.deepStrictEqual(simulate(load, candidate, hard, 1), simulate(load, candidate, hard, 1))
    assert.notDeepEqual(simulate(load, candidate, hard, 1), simulate(load, candidate, hard, 2))
  })

  it("gives the figures of a fiber for each request", () => {
    const load = rate(300, exponential(20), 30)
    const requests = [...load.arrivals(1)]
    const outages = [{ at: 10_000.5, length: 3000 }]
    const played = simulate(load, candidate, { ...around, outages }, 1)
    const play = { options: candidate, connect: around.connect, requests, outage: outages[0] }
    const { connections, waits } = eachByAFiber({ ...play, until: 30_000 })
    assert.strictEqual(played.meanConnections, connections.mean)
    const after = eachByAFiber({ ...play, until: 100_000 })
    assert.strictEqual(played.peakConnections, after.connections.peak)
    assert.strictEqual(played.requests, waits.length)
    const lent = after.waits.filter((wait) => !Number.isNaN(wait))
    assert.strictEqual(played.refused + played.failed, waits.length - lent.length)
    assert.isAbove(played.failed, 0)
    // Only those have a time here that have not lost their connection.
    assert.approximately(played.wait.max, Math.max(...lent), 1e-9)
  })

  it("callers wait as long as theory says (Erlang C)", () => {
    const [servers, perSecond, hold] = [5, 350, 10]
    const fixed: Candidate = { maxsize: servers, maxwait: 0, maxoverflow: servers }
    const { wait } = simulate(rate(perSecond, exponential(hold), 900), fixed, around, 1)
    const waiting = erlangC(servers, perSecond * hold / 1000)
    const left = servers / hold - perSecond / 1000
    assert.approximately(wait.mean, waiting / left, 0.1 * waiting / left)
    const p99 = Math.log(waiting / 0.01) / left
    assert.approximately(wait.p99, p99, 0.1 * p99)
    assert.strictEqual(wait.p50, 0)
  })

  it("the server's cores are shared by what runs, so more connections do not help", () => {
    // 8 cores' work for 4 of them.
    const load = rate(100, exponential(20), 60)
    const small = { maxsize: 10, maxwait: 0, maxoverflow: 10 }
    const busy = { ...around, serverCores: 1.6, options: { acquireTimeout: 600_000 } }
    const slow = simulate(load, small, busy, 1)
    const fast = simulate(load, small, around, 1)
    assert.isAbove(slow.wait.p99, 5 * Math.max(1, fast.wait.p99))
    assert.isAbove(slow.queueGrowth, 0)
    assert.strictEqual(fast.queueGrowth, 0)
    const big = { maxsize: 100, maxwait: 0, maxoverflow: 100 }
    assert.strictEqual(simulate(load, big, busy, 1).queueGrowth, slow.queueGrowth)
    // If the server works for a half of each hold only, its cores are enough.
    const half = simulate(load, small, { ...busy, serverPart: 0.5 }, 1)
    assert.strictEqual(half.queueGrowth, 0)
    assert.isBelow(half.wait.p99, slow.wait.p99 / 2)
  })

  it("counts connections from their connect on, on average over the load", () => {
    // One connection opens for 20 ms at 100 ms, and stays.
    const load = recorded([{ at: 100, hold: 10 }, { at: 900, hold: 10 }], 1000)
    const { connects, meanConnections, peakConnections, wait } = simulate(load, candidate, around, 1)
    assert.deepStrictEqual({ connects, meanConnections, peakConnections, max: wait.max, p50: wait.p50 }, {
      connects: 1,
      meanConnections: 0.9,
      peakConnections: 1,
      max: 20,
      p50: 20
    })
  })

  it("in an outage what runs fails, and who comes waits until connects succeed", () => {
    const load = recorded([{ at: 100, hold: 1000 }, { at: 600, hold: 10 }], 2000)
    const played = simulate(load, candidate, { ...around, outages: [{ at: 500, length: 500 }] }, 1)
    assert.strictEqual(played.failed, 1)
    assert.strictEqual(played.refused, 0)
    assert.isAtLeast(played.wait.max, 400)
    // Connects are tried each half a second at the least.
    assert.isAtMost(played.wait.max, 1000)
    assert.isAtLeast(played.connects, 3)
  })

  it("an outage that lasts longer than callers wait refuses them", () => {
    const load = recorded([{ at: 100, hold: 10 }, { at: 600, hold: 10 }], 60_000)
    const options = { acquireTimeout: 1000, outageTimeout: 2000 }
    const played = simulate(load, candidate, { ...around, options, outages: [{ at: 500, length: 10_000 }] }, 1)
    assert.strictEqual(played.refused, 1)
    assert.strictEqual(played.requests, 2)
  })

  it("tells by how much the queue grows where the load is more than the pool can serve", () => {
    // 20 connections' work for 10: half of 1000 a second.
    const load = rate(1000, { _tag: "Constant", millis: 20 }, 30)
    const options = { acquireTimeout: 600_000 }
    const played = simulate(load, candidate, { ...around, options }, 1)
    assert.approximately(played.queueGrowth, 500, 20)
    // Who comes last waits for all of those: 30 s for 15,000 of them, by 500 a second.
    assert.approximately(played.wait.max, 30_000, 2000)
    // A peak that the rest of the time makes up for is none.
    const phases = [{ length: 1000, perSecond: 1000 }, { length: 9000, perSecond: 10 }]
    const peak = loadOf({ _tag: "Rate", name: "", phases, hold: { _tag: "Constant", millis: 20 } })
    assert.strictEqual(simulate(peak, candidate, around, 1).queueGrowth, 0)
  })

  it("callers wait for 30 s where nothing else is said, as the pool has it", () => {
    const load = rate(1000, { _tag: "Constant", millis: 20 }, 40)
    const played = simulate(load, candidate, around, 1)
    assert.isAbove(played.refused, 0)
    assert.approximately(played.wait.max, defaultAcquireTimeout, 500)
    assert.approximately(played.queueGrowth, 500, 20)
    // To say the default changes nothing. Only a shorter limit is meant as a way to live with too much load.
    const [same, short] = [30_000, 29_000].map((acquireTimeout) =>
      simulate(load, candidate, { ...around, options: { acquireTimeout } }, 1)
    )
    assert.deepStrictEqual(same, played)
    assert.strictEqual(short.queueGrowth, 0)
  })

  it("refuses whom the pool refuses", () => {
    const load = rate(1000, { _tag: "Constant", millis: 20 }, 10)
    const played = simulate(load, { ...candidate, maxwait: 50 }, { ...around, options: { whenFull: "fail" } }, 1)
    assert.approximately(played.refused, 5000, 300)
    assert.isAtMost(played.wait.max, 200)
  })

  it("a pool that is resized on the way, as it was recorded, has the limits of each time", () => {
    const load = rate(200, { _tag: "Constant", millis: 20 }, 60)
    const small: Candidate = { maxsize: 2, maxwait: 0, maxoverflow: 2 }
    const large: Candidate = { maxsize: 8, maxwait: 0, maxoverflow: 8 }
    const options = { acquireTimeout: 600_000 }
    const resizes = [{ at: 30_000, maxsize: 8, maxoverflow: 8 }]
    const [kept, resized, best] = [[small], [small, resizes], [large]].map(([candidate, resizes]) =>
      simulate(load, candidate as Candidate, { ...around, options, resizes: resizes as typeof around.resizes }, 1)
    )
    // Two serve 100 a second. Who comes after 15 s is the last one to be served before the resize.
    assert.approximately(kept.wait.max, 60_000, 3000)
    assert.approximately(resized.wait.max, 15_000, 1500)
    assert.isBelow(best.wait.max, 1000)
    assert.strictEqual(resized.peakConnections, 8)
    assert.strictEqual(kept.peakConnections, 2)
  })

  it("tells its progress, and nothing is left when it has ended", () => {
    const told: Array<number> = []
    simulate(rate(10, exponential(10), 10), candidate, around, 1, (done) => told.push(done))
    assert.strictEqual(told[told.length - 1], 1)
    told.forEach((done, i) => assert.isAbove(done, i === 0 ? 0 : told[i - 1]))
    // So often that a bar moves.
    assert.isAtLeast(told.length, 100)
  })
})
