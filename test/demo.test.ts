/** The demo notices what is not as the worked example promises. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Random, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { inject } from "vitest"
import { Patience } from "../examples/demo/checks.js"
import * as Observer from "../examples/demo/observer.js"
import type { Check } from "../examples/demo/report.js"
import { Report } from "../examples/demo/report.js"
import { Difference, play, seed } from "../examples/demo/steps.js"

const expires = 3000

/** Plays the steps on the server of the run, and gives the outcome with what was reported. */
const playOn = (
  limits: { readonly maxsize: number; readonly maxoverflow: number },
  observe: (url: string, applicationName: string) => Layer.Layer<Observer.Observer, Observer.ObserverError> =
    Observer.layer
) =>
  Effect.gen(function*() {
    const url = inject("pgUrl")
    const applicationName = `demo.test ${yield* Random.nextIntBetween(0, 1e9)}`
    const checks: Array<Check> = []
    const steps: Array<string> = []
    let demand = 0
    const report = Report.of({
      step: (title) => Effect.sync(() => void steps.push(title)),
      check: (check) => Effect.sync(() => void checks.push(check)),
      demand: (change) => Effect.sync(() => void (demand += change))
    })
    const pool = PgPool.layer({
      ...seed,
      ...limits,
      expires: Duration.millis(expires),
      url: Redacted.make(url),
      applicationName
    })
    const exit = yield* Effect.exit(play(expires)).pipe(
      Effect.provide(Layer.merge(observe(url, applicationName), pool)),
      Effect.provideService(Report, report)
    )
    return { exit, checks, steps, demand, differing: checks.filter(({ holds }) => !holds) }
  })

describe.concurrent("the demo", () => {
  it.live("succeeds on a pool with the numbers of the worked example", () =>
    Effect.gen(function*() {
      const { checks, demand, differing, exit, steps } = yield* playOn(seed)
      assert.deepStrictEqual(differing, [])
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(steps.length, 8)
      assert.isAbove(checks.length, steps.length)
      assert.strictEqual(demand, 0)
    }), 60_000)

  it.live(
    "fails on a pool with a larger maxsize, and goes on to its last step",
    () =>
      Effect.gen(function*() {
        const { differing, exit, steps } = yield* playOn({ ...seed, maxsize: 3 })
        const subjects = differing.map(({ subject }) => subject)
        assert.include(subjects, "a third caller waited")
        assert.include(subjects, "a third gave back")
        assert.include(subjects, "all gave back")
        assert.deepStrictEqual(exit, Exit.fail(new Difference({ checks: differing })))
        assert.strictEqual(steps.length, 8)
      }).pipe(Effect.provideService(Patience, 300)),
    60_000
  )

  it.live("fails on a pool with a smaller maxoverflow", () =>
    Effect.gen(function*() {
      const { differing, exit } = yield* playOn({ ...seed, maxoverflow: 19 })
      assert.include(differing.map(({ subject }) => subject), "40 callers at once")
      assert.include(differing.map(({ subject }) => subject), "the others were refused")
      assert.isTrue(Exit.isFailure(exit))
    }).pipe(Effect.provideService(Patience, 300)), 60_000)

  it.live("fails where the server says something else than the pool", () =>
    Effect.gen(function*() {
      const { differing, exit } = yield* playOn(seed, () =>
        Layer.succeed(Observer.Observer, { sessions: Effect.succeed([]) }))
      const [first] = differing
      assert.deepInclude(first, { promised: "2 busy, 0 idle", pool: "2 busy, 0 idle", server: "0 sessions" })
      assert.isTrue(Exit.isFailure(exit))
    }).pipe(Effect.provideService(Patience, 300)), 60_000)
})
