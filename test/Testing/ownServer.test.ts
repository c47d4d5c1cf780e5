import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once, onceLayer, traces } from "../support/traces.js"

describe("R47: tests that provide the layer themselves share nothing", () => {
  for (const name of ["the first one", "the second one"]) {
    it.effect(name, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* traces, { sent: 0, now: 0 })
        assert.deepStrictEqual(yield* once, [{ n: 1 }])
      }).pipe(Effect.provide(onceLayer)))
  }
})
