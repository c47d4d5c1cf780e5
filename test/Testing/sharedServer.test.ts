import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { once, onceLayer, traces } from "../support/traces.js"

layer(onceLayer)("R47: tests in one layer share its server and its clock", (it) => {
  it.effect("the first one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* traces, { sent: 0, now: 0 })
      yield* once
    }))

  it.effect("the second one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* traces, { sent: 1, now: 5 })
      assert.include((yield* Effect.flip(once)).message, "for fewer times")
    }))
})
