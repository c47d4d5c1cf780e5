import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { readCsv } from "../../src/input/csv.js"
import type { Hold } from "../../src/load.js"
import { fileOf } from "../files.js"

const read = (content: string, hold?: Hold) =>
  Effect.flatMap(fileOf("load.csv", content), (file) => readCsv(file, hold))

/** What is wrong with a file, without the path in which it is. */
const wrong = (content: string) =>
  Effect.map(Effect.flip(read(content)), ({ message }) => message.replace(/\S*\/load\.csv/, "load.csv"))

const five: Hold = { _tag: "Constant", millis: 5 }

describe("CSV files", () => {
  it.live("the first line of a pipe may come in parts", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(`${tmpdir()}/planner-`)
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      const pipe = `${folder}/load.csv`
      execFileSync("mkfifo", [pipe])
      const reading = yield* Effect.fork(readCsv(pipe, undefined))
      const writer = yield* Effect.promise(() => open(pipe, "w"))
      for (const part of ["ti", "me;ho", "ld\n1;4", "\n2;5"]) {
        yield* Effect.promise(() => writer.write(part))
        yield* Effect.sleep(30)
      }
      yield* Effect.promise(() => writer.close())
      const { source } = yield* Fiber.join(reading)
      assert(source._tag === "Recorded")
      assert.deepStrictEqual([...source.at], [1, 2])
      assert.deepStrictEqual([...source.holds], [4, 5])
    }).pipe(Effect.scoped))

  layer(NodeContext.layer)((it) => {
    it.scoped("times and holds are read by the names of their columns", () =>
      Effect.gen(function*() {
        const { began, source } = yield* read("user,time_s,hold\na,0,4\nb,1.5,2.5ms\n\nc,2,0.1s\n")
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [0, 1500, 2000])
        assert.deepStrictEqual([...source.holds], [4, 2.5, 100])
        // Until the last hold ends.
        assert.strictEqual(source.duration, 2100)
        assert.isUndefined(began)
      }))

    it.scoped("times may be nanoseconds", () =>
      Effect.gen(function*() {
        const { began, source } = yield* read("time_ns,hold_ns\n1777636800000000000,4000000\n1777636800250000000,1\n")
        assert(source._tag === "Recorded")
        assert.strictEqual(began, 1_777_636_800_000)
        assert.approximately(source.at[1], 250, 0.001)
        assert.approximately(source.holds[0], 4, 1e-9)
      }))

    it.scoped("without names the first column is when, and the second how long", () =>
      Effect.gen(function*() {
        const { source } = yield* read("10,4\n20,5")
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [10, 20])
        assert.deepStrictEqual([...source.holds], [4, 5])
      }))

    it.scoped("ends that count from 0: the load begins with the first request, though that is before 0", () =>
      Effect.gen(function*() {
        const { source } = yield* read("end,hold\n3,10\n20,5\n")
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [0, 22])
        assert.strictEqual(source.duration, 27)
      }))

    it.scoped("dates begin the load, and semicolons, quotes and a byte order mark are known", () =>
      Effect.gen(function*() {
        const lines = `\uFEFFTime;Hold_us\n"2026-05-01T12:00:00.500Z";1000\n2026-05-01 14:00:01+02;2000\n`
        const { began, source } = yield* read(lines)
        assert.strictEqual(began, Date.parse("2026-05-01T12:00:00.500Z"))
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [0, 500])
        assert.deepStrictEqual([...source.holds], [1, 2])
      }))

    it.scoped("holds that are not in the file are drawn as --hold says, which also wins over those that are", () =>
      Effect.gen(function*() {
        const { source } = yield* read("time\n0\n1\n", five)
        assert(source._tag === "Arrivals")
        assert.deepStrictEqual(source.hold, five)
        assert.strictEqual((yield* read("time,hold\n0,9\n1,9\n", five)).source._tag, "Arrivals")
      }))

    it.scoped("requests of a whole second are spread over it, and the report says so", () =>
      Effect.gen(function*() {
        const lines = Array.from({ length: 300 }, (_, i) => `2026-05-01T12:00:0${Math.floor(i / 100)}Z,5`).join("\n")
        const { notes, source } = yield* read(lines)
        assert(source._tag === "Recorded")
        assert.include(notes[0], "whole seconds")
        const gaps = source.at.slice(1).map((at, i) => at - source.at[i])
        assert.isBelow(Math.max(...gaps), 200)
        assert.isAtLeast(Math.min(...gaps), 0)
        assert.isAbove(source.duration, 2500)
      }))

    it.scoped("requests of a whole minute are spread over it; those of an hour could have come in any way", () =>
      Effect.gen(function*() {
        const lines = (unit: number) =>
          Array.from({ length: 300 }, (_, i) => `${Math.floor(i / 100) * unit},5\n`).join("")
        const { notes, source } = yield* read(lines(60_000))
        assert(source._tag === "Recorded")
        assert.deepStrictEqual(notes, [
          "The times are whole minutes: the requests of a minute are spread over it by chance."
        ])
        const gaps = source.at.slice(1).map((at, i) => at - source.at[i])
        assert.isBelow(Math.max(...gaps), 12_000)
        assert.isAtLeast(Math.min(...gaps), 0)
        assert.isAbove(source.duration, 150_000)
        assert.strictEqual(
          yield* wrong(lines(3_600_000)),
          "The times of load.csv are whole hours: they do not tell how requests come within them"
        )
        // One time alone may as well be whole in minutes by chance.
        const { source: burst } = yield* read("60000,5\n".repeat(100))
        assert(burst._tag === "Recorded")
        assert.isBelow(burst.duration - 60_000, 1010)
      }))

    it.scoped("the first line says what separates the columns, and no line has more of them", () =>
      Effect.gen(function*() {
        const { source } = yield* read(`"a,b";time;hold\n1,5;3;2\n1,5;4;2\n`)
        assert(source._tag === "Recorded")
        assert.deepStrictEqual([...source.at], [3, 4])
        assert.deepStrictEqual([...source.holds], [2, 2])
        const { source: python } = yield* read("2026-05-01 12:00:00,123;5\n2026-05-01 12:00:00,125;5\n")
        assert(python._tag === "Recorded")
        assert.deepStrictEqual([...python.at], [0, 2])
        const cells = (line: number, columns: string) =>
          `Line ${line} of load.csv: it has 3 cells, and there are 2 columns (${columns}): name all columns in the first ` +
          "line, and put cells that have a comma in quotes"
        assert.strictEqual(yield* wrong("2026-05-01 12:00:00,123,5\n"), cells(1, "time, hold"))
        assert.strictEqual(yield* wrong("end,hold\n1,2\n2026-05-01 12:00:00,123,5\n"), cells(3, "end, hold"))
        assert.include(yield* wrong("time;hold\n1,5;3,2\n"), `Line 2 of load.csv: "1,5" is no time that can be read`)
        // A delimiter at the end makes no column.
        assert.strictEqual((yield* read("1,5,\n2,5,\n")).source._tag, "Recorded")
      }))

    it.scoped("only what may be the half of a date is asked to be cut off", () =>
      Effect.gen(function*() {
        for (const time of ["1.7e3", "# from the 1st of May"]) {
          assert.strictEqual(
            yield* wrong(`1\n${time}\n`),
            `Line 2 of load.csv: "${time}" is no time that can be read: write one such as 1700.5 or 2026-05-01T12:00:00Z`
          )
        }
        assert.isBelow((yield* wrong(`1,5\n${"x".repeat(3_000_000)}\n`)).length, 300)
      }))

    it.scoped("what is wrong is named with its line", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* wrong(""), "load.csv is empty: there is no request in it")
        assert.strictEqual(yield* wrong("time,hold\n"), "load.csv is empty: there is no request in it")
        assert.strictEqual(
          yield* wrong("time,hold\n1,4\n3,4\n2,4\n"),
          "Line 4 of load.csv: its time is before that of the line above; sort the file by time"
        )
        assert.strictEqual(yield* wrong("time,hold\n1,4\n2\n"), "Line 3 of load.csv: it has no hold; is it cut off?")
        assert.strictEqual(yield* wrong("time,hold\n1,4\n2,"), "Line 3 of load.csv: it has no hold; is it cut off?")
        assert.strictEqual(
          yield* wrong("time\n2026-05-01T12:00:00Z\n2026-05-01T1"),
          `Line 3 of load.csv: "2026-05-01T1" is no time that can be read; is it cut off?`
        )
        assert.strictEqual(
          yield* wrong("time,hold\n1,4\n2,\"4"),
          "Line 3 of load.csv: a quote has no end; is the file cut off?"
        )
        assert.include(yield* wrong("time,hold\n\n2,\"4\n3,4\n4,4\n"), "Line 3 of load.csv: a quote has no end")
        assert.include(yield* wrong("time,hold\n1,soon\n"), `Line 2 of load.csv: "soon" is no time`)
        assert.include(
          yield* wrong("when,hold\n1,4\n"),
          "Line 1 of load.csv: of the columns \"when\", \"hold\" none is named time"
        )
        const dates = [["time", "1777636800", "time_s"], ["end", "1777636800000000", "end_us"], [
          "time",
          "1777636800000000000",
          "time_ns"
        ], ["time_s", "1777636800000", "time_ms"]]
        for (const [name, date, better] of dates) {
          assert.match(yield* wrong(`${name},hold\n${date},4\n`), new RegExp(`since 1970, .*: name it ${better}$`))
        }
        assert.include(yield* wrong("time\n1\n2\n"), "say it with --hold")
      }))

    it.scoped("a file that is not there is named", () =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(readCsv("/nowhere/load.csv", undefined))
        assert.strictEqual(message, "There is no file /nowhere/load.csv")
        const folder = yield* Effect.flip(readCsv("/", undefined))
        assert.match(folder.message, /^\/ can't be read: EISDIR/)
      }))
  })
})
