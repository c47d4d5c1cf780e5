import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { defectWords } from "../src/defect.js"
import type { Source } from "../src/load.js"
import { loadOf } from "../src/load.js"
import type { Candidate, Surroundings } from "../src/model.js"
import { simulate } from "../src/simulate.js"
import { playAll } from "../src/workers.js"

const around: Surroundings = { connect: 20, serverCores: 4, outages: [{ at: 3000, length: 500 }], options: {} }

const rate = (seconds: number): Source => ({
  _tag: "Rate",
  name: "",
  phases: [{ length: 1000 * seconds, perSecond: 100 }],
  hold: { _tag: "Exponential", mean: 20 }
})

const candidates: ReadonlyArray<Candidate> = [1, 2, 3, 5, 8].map((maxsize) => ({
  maxsize,
  maxwait: "auto",
  maxoverflow: 10
}))

/** How many there are, by the ports to them. */
const threads = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length

describe("worker threads", () => {
  it.live("give the figures of this thread, in the order of the candidates", () =>
    Effect.gen(function*() {
      const told: Array<number> = []
      const outcomes = yield* playAll(rate(10), candidates, around, 7, (done) => told.push(done))
      assert.deepStrictEqual(
        outcomes,
        candidates.map((candidate) => simulate(loadOf(rate(10)), candidate, around, 7))
      )
      assert.strictEqual(told[told.length - 1], 1)
      told.forEach((done, i) => assert.isAtLeast(done, i === 0 ? 0 : told[i - 1]))
    }), 60_000)

  it.live("play what was recorded, from memory that they share", () =>
    Effect.gen(function*() {
      const shared = (values: ReadonlyArray<number>) => {
        const array = new Float64Array(new SharedArrayBuffer(8 * values.length))
        array.set(values)
        return array
      }
      const source: Source = {
        _tag: "Recorded",
        name: "",
        duration: 1000,
        at: shared([0, 500]),
        holds: shared([10, 10])
      }
      const [outcome] = yield* playAll(source, candidates.slice(0, 1), around, 1)
      assert.strictEqual(outcome.requests, 2)
      assert.strictEqual(outcome.wait.max, 20)
    }), 60_000)

  it.live("end at once when they are interrupted", () =>
    Effect.gen(function*() {
      const before = threads()
      const hasBegun = yield* Deferred.make<void>()
      // It would take minutes.
      const playing = yield* Effect.fork(
        playAll(rate(200_000), candidates, around, 1, () => Deferred.unsafeDone(hasBegun, Effect.void))
      )
      yield* Deferred.await(hasBegun)
      assert.isAbove(threads(), before)
      const exit = yield* Fiber.interrupt(playing)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.strictEqual(threads(), before)
    }), 60_000)

  it.live("no candidate is nothing to do", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* playAll(rate(10), [], around, 1), [])
    }))

  it.live("a thread that fails fails the whole, and is told in one line", () =>
    Effect.gen(function*() {
      const bad: Candidate = { maxsize: 0, maxwait: "auto", maxoverflow: 10 }
      const exit = yield* Effect.exit(playAll(rate(10), [bad, bad], around, 1))
      const told = Exit.isFailure(exit) ? defectWords(exit.cause) : ""
      assert.match(told, /^A thread of the planner has failed: .*maxsize: 0 is not allowed.*$/)
    }), 60_000)
})
