import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Report } from "../support/faults/case.js"
import { loss } from "../support/faults/cases/silence.js"
import { chance } from "../support/faults/noise.js"
import { ours, playAloud, skipWhereMissing } from "../support/faults/suite.js"

const calls = ({ deadlines, failed, ok }: Report) => ok + failed + deadlines

/** Those who were not served, whose deadline ever that was. */
const unserved = (report: Report) => (report.failed + report.deadlines) / calls(report)

describe("R24: a network that loses packets", () => {
  for (const name of ours) {
    it.live(`${name}: ${loss.name}: as well as with pg.Pool`, (context) =>
      Effect.gen(function*() {
        skipWhereMissing(loss, context)
        const peer = yield* playAloud(loss, "pg.Pool")
        const report = yield* playAloud(loss, name)
        assert.deepStrictEqual(report.faults, [])
        const bearable = unserved(peer)
        // Those who share a connection fail together, so that there are fewer chances.
        const fewest = Math.min(calls(peer), calls(report) / report.share)
        assert.isAtMost(unserved(report), bearable + 0.01 + chance(bearable, fewest))
      }), 120_000)
  }
})
