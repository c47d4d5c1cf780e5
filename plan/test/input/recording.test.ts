import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { readRecording } from "../../src/input/recording.js"
import type { Hold } from "../../src/load.js"
import { fileOf } from "../files.js"

const began = Date.parse("2026-05-01T12:00:00Z")

const header = { _tag: "Header", version: 1, name: "shop", began, maxsize: 2, maxoverflow: 4 }

const loan = (asked: number, held: number, outcome: string) => ({
  _tag: "Loan",
  asked: began + asked,
  waited: 1,
  held,
  outcome
})

const recording = (...lines: ReadonlyArray<unknown>) =>
  [header, ...lines].map((line) => `${JSON.stringify(line)}\n`).join("")

const read = (content: string, hold?: Hold) =>
  Effect.flatMap(fileOf("pool.ndjson", content), (file) => readRecording(file, hold))

const wrong = (content: string) =>
  Effect.map(Effect.flip(read(content)), ({ message }) => message.replace(/\S*\/pool\.ndjson/, "pool.ndjson"))

describe("recordings", () => {
  layer(NodeContext.layer)((it) => {
    it.scoped("callers are played in the order in which they asked, not in that in which they were done", () =>
      Effect.gen(function*() {
        const { began: from, notes, source } = yield* read(recording(
          loan(20, 5, "returned"),
          loan(10, 40, "cutOff"),
          loan(30, 0, "returned")
        ))
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [0, 10, 20])
        assert.deepStrictEqual([...source.holds], [40, 5, 0])
        assert.strictEqual(from, began + 10)
        assert.deepStrictEqual(notes, ["The pool had maxsize 2 and maxoverflow 4."])
      }))

    it.scoped("callers that got no connection hold one for as long as others, and missing ones are told", () =>
      Effect.gen(function*() {
        const lines = [
          loan(0, 7, "returned"),
          loan(1, 0, "acquireTimeout"),
          loan(2, 0, "interrupted"),
          { _tag: "Resized", at: began + 3, maxsize: 3, maxoverflow: 9 },
          { _tag: "Dropped", at: began + 5, count: 12 }
        ]
        const { notes, present, source } = yield* read(recording(...lines))
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.holds], [7, 7, 7])
        assert.deepStrictEqual(present, { maxsize: 3, maxoverflow: 9 })
        assert.strictEqual(notes[2], "12 callers are missing in the recording, so the load was higher.")
        assert.include(notes[3], "2 callers got no connection")
        const one = yield* read(recording(
          loan(0, 7, "returned"),
          loan(1, 0, "interrupted"),
          { _tag: "Dropped", at: began + 5, count: 1 }
        ))
        assert.deepStrictEqual(one.notes.slice(1), [
          "1 caller is missing in the recording, so the load was higher.",
          "1 caller got no connection: how long it would have held one is taken from the others."
        ])
      }))

    it.scoped("the limits of the pool over time are read, and that they have changed is told", () =>
      Effect.gen(function*() {
        const { notes, resizes } = yield* read(recording(
          loan(10, 7, "returned"),
          { _tag: "Resized", at: began + 5, maxsize: 3, maxoverflow: 6 },
          { _tag: "Resized", at: began + 30, maxsize: 1, maxoverflow: 2 },
          loan(60, 7, "returned")
        ))
        // The first caller came 10 ms after the beginning of the recording.
        assert.deepStrictEqual(resizes, [{ at: 0, maxsize: 3, maxoverflow: 6 }, { at: 20, maxsize: 1, maxoverflow: 2 }])
        assert.deepStrictEqual(notes, [
          "The pool had maxsize 1 and maxoverflow 2.",
          "Those are its last limits: it was resized 2 times. Each candidate keeps its numbers."
        ])
      }))

    it.scoped("what is wrong is named with its line", () =>
      Effect.gen(function*() {
        const whole = recording(loan(0, 7, "returned"), loan(1, 7, "returned"))
        assert.strictEqual(
          yield* wrong(whole.slice(0, -20)),
          "Line 3 of pool.ndjson: it is cut off; remove this line to plan with the others"
        )
        assert.include(yield* wrong(""), "Line 1 of pool.ndjson: the file is empty")
        assert.include(yield* wrong("time,hold\n1,2\n"), "Line 1 of pool.ndjson: it is no JSON")
        assert.include(yield* wrong(recording({ _tag: "Loan", asked: "now" })), "Line 2 of pool.ndjson")
        assert.include(yield* wrong(recording()), "has no callers")
        assert.include(yield* wrong(recording(loan(0, 0, "queueFull"))), "no caller got a connection")
      }))
  })
})
