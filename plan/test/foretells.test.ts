/** What the planner foretells from a recording is what then really happens, on a server. */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import { connectDelay } from "../../bench/plan.js"
import { apart, compare } from "../../bench/plan/compare.js"
import { loads } from "../../bench/plan/loads.js"
import * as Proxy from "../../src/internal/testing/proxy.js"

/** The steady load on a pool that becomes too small for it. */
const [[, steady]] = loads(4)
const resized = ["steady, resized", { ...steady, resize: { at: 2500, maxsize: 1, maxoverflow: 3 } }] as const

describe("a recording of a real pool", () => {
  for (const load of [...loads(4), resized]) {
    // A busy machine may spoil a run in ways that it does not notice.
    it.live(`foretells that pool, and one of another size: ${load[0]}`, () =>
      Effect.gen(function*() {
        const door = yield* Proxy.start(Redacted.make(inject("pgUrl")))
        door.connectDelay = connectDelay
        const comparisons = yield* compare(Redacted.value(door.url), load, 1)
        assert.strictEqual(comparisons.length, 2)
        for (const { candidate, foretold, real } of comparisons) {
          const name = `${JSON.stringify({ candidate, foretold, real })}`
          assert.isAtMost(Math.max(foretold.mean, real.mean), 1.2 * Math.min(foretold.mean, real.mean), name)
          assert.isAtMost(apart(foretold.p99, real.p99), 1.5, name)
          // Else there would be nothing to foretell.
          assert.isAbove(real.p99, 10, name)
        }
      }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)), { timeout: 150_000, retry: 2 })
  }
})
