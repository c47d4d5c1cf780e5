import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { serverUrl } from "../support/pgPool.js"
import * as Storm from "../support/storm.js"

const seed = Number(process.env["STORM_SEED"] ?? 1)

// `npm run storm` is the same for minutes, with a strict look at how fast what is interrupted ends.
for (const client of ["pool", "multiplex"] as const) {
  it.live(
    `R12, R15, R16, R22, R23: a storm of interrupts on ${client} (STORM_SEED=${seed})`,
    () =>
      Effect.gen(function*() {
        console.log(`STORM_SEED=${seed}`)
        const report = yield* Storm.run({ url: serverUrl, seed, duration: 6000, client })
        assert.deepStrictEqual(report.faults, {})
        assert.strictEqual(report.usable, 10)
        assert.isAbove(report.interrupts, 50)
        assert.isBelow(report.latency.p99, 1000)
      }),
    120_000
  )
}
