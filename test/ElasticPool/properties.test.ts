import { FastCheck as fc } from "effect"
import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { alone, run, sharing } from "../support/world/schedules.js"
import type { Sight } from "../support/world/seen.js"

/** `POOL_SEED` and `POOL_RUNS` choose other schedules, and more; a failure prints its seed. */
const seed = Number(process.env["POOL_SEED"] ?? 20_261_122)
const numRuns = Number(process.env["POOL_RUNS"] ?? 1500)

/** Whatever may occur does so in one of so many schedules at least. */
const rarest = 300

/** Each of these occurs in some of the schedules: no rule holds because nothing happened. */
const always: ReadonlyArray<Sight> = [
  "warm opens before anybody asks",
  "overflow opens by maxwait",
  "overflow opens by forecast",
  "closed as closed",
  "closed as dirty",
  "closed as evicted",
  "closed as expired",
  "closed as idle",
  "closed as invalidated",
  "closed as renewed",
  "closed as surplus",
  "closed as used"
]

const whileShared: ReadonlyArray<Sight> = [
  "a place is taken beside others",
  "a place is taken beside others during an outage",
  "an outage begins while shared",
  "overflow opens by forecast while shared",
  "evict while shared",
  "evictNow while shared",
  "resize while shared",
  "suspend while shared",
  "drain while shared",
  "close while shared",
  "lose while shared",
  "invalidate while shared",
  "closed as closed after sharing",
  "closed as dirty after sharing",
  "closed as evicted after sharing",
  "closed as expired after sharing",
  "closed as idle after sharing",
  "closed as invalidated after sharing",
  "closed as renewed after sharing",
  "closed as surplus after sharing",
  "closed as used after sharing"
]

const kinds = [
  { who: "have a resource each", schedules: alone, sights: always },
  { who: "share resources", schedules: sharing, sights: [...always, ...whileShared] }
]

describe("ElasticPool: random schedules", () => {
  for (const { schedules, sights, who } of kinds) {
    it(
      `I1, I2, I3, I4, I5, I6, I7, I8, R39, R40 and R41: ${numRuns} schedules whose borrowers ${who}`,
      { timeout: 600_000 },
      async () => {
        const seen = { served: 0, refused: 0, interrupted: 0, dialled: 0 }
        const occurred = new Map(sights.map((sight) => [sight, 0]))
        await fc.assert(
          fc.asyncProperty(schedules, async (schedule) => {
            const world = run(schedule)
            seen.dialled += world.conns.length
            for (const { exit, failure, interrupted } of world.callers) {
              if (exit?._tag === "Success") seen.served++
              else if (interrupted) seen.interrupted++
              else if (failure !== "body") seen.refused++
            }
            for (const sight of world.seen.all) occurred.set(sight, (occurred.get(sight) ?? 0) + 1)
            // A slow machine takes minutes for all, and the runner must hear of this process meanwhile.
            await setImmediate()
          }),
          { seed, numRuns }
        )
        // The schedules are worth something.
        for (const n of Object.values(seen)) expect(n).toBeGreaterThan(numRuns)
        const often = numRuns / rarest
        expect([...occurred].filter(([, n]) => n < often)).toEqual([])
      }
    )
  }
})
