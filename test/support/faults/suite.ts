/** Cases as tests: each on the plain pool, and with `multiplex`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { TestContext } from "vitest"
import type { Case, Report } from "./case.js"
import { play } from "./case.js"
import type { Name } from "./contender.js"

/** Our pool, plain and with `multiplex`. */
export const ours: ReadonlyArray<Name> = ["effect-pgpool", "effect-pgpool, multiplex"]

const round = (value: unknown) => typeof value === "number" && Number.isFinite(value) ? Math.round(value) : value

const line = ({ faults: _, figures, ...seen }: Report) =>
  Object.entries({ ...seen, ...figures }).map(([name, value]) => `${name} ${round(value)}`).join(", ")

/** Loudly. */
export const skipWhereMissing = (one: Case, context: TestContext): void => {
  const missing = one.missing?.()
  if (missing === undefined) return
  console.warn(`SKIPPED: ${one.name}: ${missing}`)
  context.skip(missing)
}

/** The `describe` of tests that need a program. */
export const whereInstalled = (program: { readonly isInstalled: boolean }, name: string) => {
  if (!program.isInstalled) console.warn(`SKIPPED: there is no ${name} on this machine`)
  return describe.skipIf(!program.isInstalled)
}

export const playAloud = (one: Case, name: Name): Effect.Effect<Report, unknown> =>
  Effect.tap(play(one, name), (report) => Effect.sync(() => console.log(`${name}, ${one.name}: ${line(report)}`)))

export const suite = (title: string, cases: ReadonlyArray<Case>): void =>
  describe.each(ours)(`%s: ${title}`, (name) => {
    for (const one of cases) {
      if (one.plainOnly !== undefined && name !== "effect-pgpool") continue
      it.live(one.name, (context) =>
        Effect.gen(function*() {
          skipWhereMissing(one, context)
          const { faults } = yield* playAloud(one, name)
          assert.deepStrictEqual(faults, [])
        }), 120_000)
    }
  })
