import { assert, describe, it } from "@effect/vitest"
import type { PoolHolder, PoolStats } from "effect-pgpool"
import { advice } from "../src/internal/watch/advice.js"
import type { Surroundings } from "../src/internal/watch/advice.js"
import { FakeRuntime } from "./support/fakeRuntime.js"

const minute = 60_000
const day = 1440 * minute

const empty = new FakeRuntime({}, true).state.stats()

type Counts =
  & Partial<Pick<PoolStats.PoolStats, "acquired" | "waited" | "busy" | "waiting" | "maxsize" | "maxoverflow">>
  & {
    readonly p99?: number
    /** How long those that waited did so, on average. */
    readonly average?: number
    readonly timeouts?: number
    readonly queueFull?: number
  }

/** The statistics at the end of some time, that begins with those of `empty` and a thousand earlier callers. */
const after = ({ average = 0, p99 = 0, queueFull = 0, ...counts }: Counts): PoolStats.PoolStats => ({
  ...earlier,
  maxsize: 2,
  maxoverflow: 20,
  ...counts,
  acquired: earlier.acquired + (counts.acquired ?? 0),
  waited: earlier.waited + (counts.waited ?? 0),
  waitedTotal: earlier.waitedTotal + (counts.waited ?? 0) * average,
  timeouts: earlier.timeouts + (counts.timeouts ?? 0),
  refused: { ...empty.refused, queueFull },
  waitTimes: { count: counts.acquired ?? 0, p50: 0, p95: p99, p99 }
})

/** All of them waited, and some were refused: that was before. */
const earlier: PoolStats.PoolStats = { ...empty, acquired: 1000, waited: 1000, waitedTotal: 1_000_000, timeouts: 7 }

const holders = (n: number, now: string, holder: Partial<PoolHolder.Holder> = {}): ReadonlyArray<PoolHolder.Holder> =>
  Array.from({ length: n }, (_, i) => ({
    fiber: `#${i}`,
    heldFor: 2000,
    takenIn: [{ name: "transfer", location: "shop.ts:5:25" }],
    nowIn: now === "" ? [] : [{ name: now, location: undefined }],
    isRunning: false,
    processId: i,
    ...holder
  }))

const given = (counts: Counts, surroundings: Partial<Surroundings> = {}): ReadonlyArray<string> =>
  advice(earlier, after(counts), { lasted: minute, peakBusy: 20, loop: 0.3, holders: [], ...surroundings })

type Case = readonly [what: string, counts: Counts, surroundings: Partial<Surroundings>, lines: ReadonlyArray<string>]

const rush = { acquired: 1000, waited: 400, average: 60, p99: 180 }

const stuck = { busy: 20, waiting: 5 }

const cases: ReadonlyArray<Case> = [
  ["a quiet pool", {}, { peakBusy: 0 }, []],
  ["a busy pool in which nobody waits", { acquired: 100_000, busy: 2 }, {}, []],
  ["many waited", rush, { peakBusy: 19 }, [
    "40 % of callers waited in the last minute, p99 180ms; maxsize 2 is low for this load"
  ]],
  ["many waited at the hard limit", rush, {}, [
    "40 % of callers waited in the last minute, p99 180ms; maxoverflow 20 was reached: hold connections for a " +
    "shorter time, or raise it"
  ]],
  ["many waited, while connections were left: for a ping or a connect", rush, { peakBusy: 1 }, []],
  ["many waited, for a moment each", { ...rush, average: 49 }, {}, []],
  ["many waited in the first half of the minute", { ...rush, p99: 0 }, { peakBusy: 19 }, [
    "40 % of callers waited in the last minute, 60ms on average; maxsize 2 is low for this load"
  ]],
  ["some waited", { ...rush, waited: 199 }, {}, []],
  ["one slow caller", { acquired: 1, waited: 1, average: 9000, p99: 10_000 }, {}, []],
  ["one slow caller of many", { acquired: 1000, waited: 1, average: 9000, p99: 10_000 }, {}, []],
  ["a few callers that all waited", { acquired: 99, waited: 99, average: 500, p99: 1000 }, {}, []],
  ["many waited, and the event loop was busy", rush, { loop: 0.92 }, [
    "the event loop was busy 92 % of the time: the pool is not what is slow"
  ]],
  ["many waited, and the event loop was rather busy", rush, { loop: 0.89, peakBusy: 5 }, [
    "40 % of callers waited in the last minute, p99 180ms; maxsize 2 is low for this load"
  ]],
  ["the event loop was busy, and nobody waited", { acquired: 1000 }, { loop: 1 }, []],
  ["callers wait, and connections are held for something else", stuck, { holders: holders(14, "http.client POST") }, [
    "connections are held while nothing runs on them: 14 in http.client POST"
  ]],
  ["many waited for connections that are held for something else", { ...rush, busy: 14 }, {
    holders: holders(14, "http.client POST")
  }, ["connections are held while nothing runs on them: 14 in http.client POST"]],
  ["some are held in several places", { busy: 14, timeouts: 1 }, {
    holders: [...holders(3, "a"), ...holders(5, "b"), ...holders(2, "c"), ...holders(1, "d"), ...holders(1, "e")]
  }, ["connections are held while nothing runs on them: 5 in b, 3 in a, 2 in c, 2 elsewhere"]],
  ["the fibers have ended", { busy: 2, queueFull: 1 }, { holders: holders(2, "") }, [
    "connections are held while nothing runs on them: 2 in transfer"
  ]],
  ["nobody is in a span", { busy: 2, waiting: 1 }, { holders: holders(2, "", { takenIn: [] }) }, [
    "connections are held while nothing runs on them: 2 in no span (Effect.withSpan around the work gives it a name)"
  ]],
  ["nobody waits for those that are held", { busy: 20 }, { holders: holders(20, "lock") }, []],
  ["most of those that are held run statements", stuck, {
    holders: [...holders(9, "http"), ...holders(11, "report", { isRunning: true })]
  }, []],
  ["it is not known whether they run statements", stuck, { holders: holders(20, "x", { isRunning: undefined }) }, []],
  ["those that are held have just been taken", stuck, { holders: holders(20, "x", { heldFor: 999 }) }, []],
  ["one connection is held", { busy: 1, waiting: 1, maxsize: 1 }, { holders: holders(1, "x") }, []],
  ["fewer than maxsize are held", { busy: 2, waiting: 1, maxsize: 3 }, { holders: holders(2, "x") }, []],
  ["a day in which few were used", { acquired: 5000, maxsize: 20 }, { lasted: day, peakBusy: 3 }, [
    "never more than 3 of 20 in use for a day: maxsize can be lower"
  ]],
  ["a day in which some were used", { acquired: 5000, maxsize: 20 }, { lasted: day, peakBusy: 5 }, []],
  ["a day with few callers", { acquired: 1439, maxsize: 20 }, { lasted: day, peakBusy: 1 }, []],
  ["a day of a pool that is small", { acquired: 5000, maxsize: 9 }, { lasted: day, peakBusy: 1 }, []],
  ["less than a day", { acquired: 5000, maxsize: 20 }, { lasted: day - 1, peakBusy: 3 }, []]
]

describe("R36: the advice that is given on two statistics", () => {
  for (const [what, counts, surroundings, lines] of cases) {
    it(`${what}: ${lines.length === 0 ? "none" : "a line"}`, () => {
      assert.deepStrictEqual(given(counts, surroundings), lines)
    })
  }
})
