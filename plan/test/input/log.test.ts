import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Either } from "effect"
import { patternOf, readLog } from "../../src/input/log.js"
import type { Hold } from "../../src/load.js"
import { fileOf } from "../files.js"

const read = (content: string, pattern: string, hold?: Hold) =>
  Effect.gen(function*() {
    return yield* readLog(yield* fileOf("access.log", content), yield* patternOf(pattern), hold)
  })

const wrong = (content: string, pattern: string) =>
  Effect.map(
    Effect.flip(read(content, pattern)),
    (why) => (typeof why === "string" ? why : why.message).replace(/\S*\/access\.log/, "access.log")
  )

const request = (time: string) => `10.0.0.1 - alice [${time}] "GET /a\\"b HTTP/1.1" 200 512 "-" "curl/8 (x)"`

const five: Hold = { _tag: "Constant", millis: 5 }

describe("logs", () => {
  layer(NodeContext.layer)((it) => {
    it.scoped("lines of the common and the combined format are known", () =>
      Effect.gen(function*() {
        const log = [request("01/May/2026:14:00:00 +0200"), request("01/May/2026:12:00:03 +0000"), ""].join("\n")
        for (const preset of ["common", "combined"]) {
          const { began, source } = yield* read(log, preset, five)
          assert(source._tag === "Arrivals")
          assert.deepStrictEqual([...source.at], [0, 3000])
          assert.strictEqual(began, Date.parse("2026-05-01T12:00:00Z"))
        }
        assert.include(yield* wrong(log, "combined"), "does not say how long requests hold a connection")
      }))

    it.scoped("nginx writes when requests ended, and Apache when they came", () =>
      Effect.gen(function*() {
        const lines = (suffixes: ReadonlyArray<string>) =>
          suffixes.map((suffix, i) => `${request(`01/May/2026:12:00:0${i} +0000`)} ${suffix}\n`).join("")
        const { source: nginx } = yield* read(lines(["0.250", "1.750"]), "nginx")
        assert(nginx._tag === "Recorded")
        // The second one came first: it ended at 1 s, and took 1.75 s.
        assert.deepStrictEqual([...nginx.at], [0, 500])
        assert.deepStrictEqual([...nginx.holds], [1750, 250])
        const { source: apache } = yield* read(lines(["250000", "1750000"]), "apache")
        assert(apache._tag === "Recorded")
        assert.deepStrictEqual([...apache.at], [0, 1000])
        assert.deepStrictEqual([...apache.holds], [250, 1750])
      }))

    it.scoped("any other log is read by the groups of a pattern, and other lines are left out and counted", () =>
      Effect.gen(function*() {
        const log = "at=0.5 took=20ms\nstarted\nat=1.5 took=0.1s\n"
        const { notes, source } = yield* read(log, "^at=(?<time_s>\\S+) took=(?<hold>\\S+)")
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [500, 1500])
        assert.deepStrictEqual([...source.holds], [20, 100])
        assert.deepStrictEqual(notes, ["Lines that do not fit the pattern are left out: 1."])
      }))

    it.scoped("what is wrong is named with its line", () =>
      Effect.gen(function*() {
        const pattern = "^at=(?<time>\\S+) took=(?<hold>\\S+) end$"
        assert.strictEqual(yield* wrong("", pattern), "access.log is empty: there is no request in it")
        assert.strictEqual(
          yield* wrong("at=1 took=2 end\nat=2 to", pattern),
          "Line 2 of access.log: it does not fit the pattern and has no end: the file is cut off; remove this line to " +
            "plan with the others"
        )
        assert.include(yield* wrong("at=1 took=long end\n", pattern), `Line 1 of access.log: "long" is no time`)
        assert.strictEqual(
          yield* wrong("something else\n", pattern),
          "No line of access.log fits the pattern. The first one is: \"something else\""
        )
      }))

    it.scoped("a line of a file that is no log is shown as far as it can be read", () =>
      Effect.gen(function*() {
        const shown = yield* wrong(`\u0000\u001b[2J${"x".repeat(3_000_000)}`, "^at=(?<time>\\d+) took=(?<hold>\\d+)$")
        assert.include(shown, String.raw`"\u0000\u001b[2Jxxx`)
        assert.isBelow(shown.length, 250)
      }))

    it.effect("a pattern that can't be used is refused", () =>
      Effect.sync(() => {
        const left = (pattern: string) => Either.getOrThrow(Either.flip(patternOf(pattern)))
        assert.include(left("(?<time>"), "it is neither common, combined, nginx, apache nor a regular expression")
        assert.include(left("^(?<when>.*)$"), "of its named groups none is named time")
        assert.include(left("^(?<end>.*)$"), "hold has to say how long it took")
        assert.include(left("^(?<time>.*) (?<time_s>.*)$"), "only one of them says when")
      }))
  })
})
