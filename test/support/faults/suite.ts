/** Cases as tests: each on the plain pool, and with `multiplex`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Case, Report } from "./case.js"
import { play } from "./case.js"
import type { Name } from "./contender.js"

const ours: ReadonlyArray<Name> = ["effect-pgpool", "effect-pgpool, multiplex"]

const round = (value: unknown) => typeof value === "number" && Number.isFinite(value) ? Math.round(value) : value

const line = ({ faults: _, figures, ...seen }: Report) =>
  Object.entries({ ...seen, ...figures }).map(([name, value]) => `${name} ${round(value)}`).join(", ")

export const suite = (title: string, cases: ReadonlyArray<Case>): void =>
  describe.each(ours)(`%s: ${title}`, (name) => {
    for (const one of cases) {
      if (one.plainOnly !== undefined && name !== "effect-pgpool") continue
      it.live(one.name, (context) =>
        Effect.gen(function*() {
          const missing = one.missing?.()
          if (missing !== undefined) {
            console.warn(`SKIPPED: ${one.name}: ${missing}`)
            return context.skip(missing)
          }
          const report = yield* play(one, name)
          console.log(`${name}, ${one.name}: ${line(report)}`)
          assert.deepStrictEqual(report.faults, [])
        }), 60_000)
    }
  })
