import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import type { Console } from "effect"
import { Effect, Exit } from "effect"
import { run } from "../src/command.js"
import { loadOf } from "../src/load.js"
import type { PlayAll } from "../src/plan.js"
import { simulate } from "../src/simulate.js"
import { fileOf } from "./files.js"

/** In this thread, one after the other. */
const playAll: PlayAll = (source, candidates, around, seed) =>
  Effect.sync(() => candidates.map((candidate) => simulate(loadOf(source), candidate, around, seed)))

/** What the command prints, and its end. */
const plan = (...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const [out, err] = [new Array<unknown>(), new Array<unknown>()]
    const usual = yield* Effect.consoleWith(Effect.succeed)
    const exit = yield* run(playAll)(["node", "effect-pgpool-plan", ...args]).pipe(
      Effect.withConsole({
        ...usual,
        log: (line) => Effect.sync(() => out.push(line)),
        error: (line) => Effect.sync(() => err.push(line))
      } as Console.Console),
      Effect.exit
    )
    return { out: out.join("\n"), err: err.join("\n"), isDone: Exit.isSuccess(exit) }
  })

/** The one sentence that says what is wrong. */
const wrong = (...args: ReadonlyArray<string>) =>
  Effect.map(plan(...args), ({ err, isDone, out }) => {
    assert.isFalse(isDone)
    assert.strictEqual(out, "")
    assert.notInclude(err, "\n")
    return err
  })

const small = ["--rate", "100/s", "--hold", "10ms", "--length", "10s", "--maxwait", "auto"]

describe("the command", () => {
  layer(NodeContext.layer)((it) => {
    it.effect("takes the smallest of the candidates, says it as settings, and is done", () =>
      Effect.gen(function*() {
        const { err, isDone, out } = yield* plan(...small, "--maxsize", "1,2,4,8", "--maxoverflow", "8")
        assert.isTrue(isDone, err)
        assert.strictEqual(err, "")
        assert.match(out, /^PGPOOL_MAXSIZE=[124]$/m)
        assert.include(out, "PGPOOL_MAXOVERFLOW=8")
        assert.include(out, "With 1.5 times the load: p99 wait")
      }))

    it.effect("the same seed gives the same report, and another seed another one", () =>
      Effect.gen(function*() {
        const report = (seed: string) => plan(...small, "--maxsize", "2", "--maxoverflow", "4", "--seed", seed)
        const first = yield* report("1")
        assert.deepStrictEqual(yield* report("1"), first)
        assert.notStrictEqual((yield* report("2")).out, first.out)
      }))

    it.scoped("each kind of file is a load", () =>
      Effect.gen(function*() {
        const times = Array.from({ length: 200 }, (_, i) => 10 * i)
        const began = Date.parse("2026-05-01T12:00:00Z")
        const csv = yield* fileOf("load.csv", times.map((at) => `${at},5\n`).join(""))
        const log = yield* fileOf("app.log", times.map((at) => `at ${at} for 5ms\n`).join(""))
        const header = { _tag: "Header", version: 1, name: "shop", began, maxsize: 2, maxoverflow: 4 }
        const loans = times.map((at) => ({ _tag: "Loan", asked: began + at, waited: 0, held: 5, outcome: "returned" }))
        const recording = yield* fileOf(
          "pool.ndjson",
          [header, ...loans].map((line) => `${JSON.stringify(line)}\n`).join("")
        )
        const limits = ["--maxsize", "2", "--maxoverflow", "4", "--maxwait", "auto", "--format", "json"]
        const results = yield* Effect.forEach([
          ["--arrivals", csv],
          ["--log", log, "--pattern", "^at (?<time>\\d+) for (?<hold>.+)$"],
          ["--recording", recording, "--outage", "100ms@12:00:01"]
        ], (args) => Effect.map(plan(...args, ...limits), ({ out }) => JSON.parse(out)))
        for (const { load, outcomes } of results) {
          assert.strictEqual(load.requests, 200)
          assert.strictEqual(load.hold, 5)
          assert.strictEqual(outcomes[0].requests, 200)
        }
        assert.deepStrictEqual(results[2].outages, [{ at: 1000, length: 100 }])
        assert.isAbove(results[2].outcomes[0].wait.max, results[0].outcomes[0].wait.max)
      }))

    it.scoped("one request, or one burst, or ends from which the first hold reaches back before 0, is a load", () =>
      Effect.gen(function*() {
        const burst = "3,10\n".repeat(20)
        for (const content of ["0,1", "7,5", burst, "end,hold\n3,10\n20,5\n"]) {
          const file = yield* fileOf("load.csv", content)
          const { err, isDone } = yield* plan("--arrivals", file, "--target", "p99-wait=1s")
          assert.isTrue(isDone, err)
        }
        const one = yield* fileOf("load.csv", "0,10\n")
        assert.include((yield* plan("--arrivals", one, "--maxoverflow", "1")).out, "1 request in 10 ms (100/s), held")
      }))

    it.effect("what the server and the fleet are like changes the answer", () =>
      Effect.gen(function*() {
        const json = (...args: ReadonlyArray<string>) =>
          Effect.map(
            plan(...small, "--maxsize", "2", "--maxoverflow", "8", "--format", "json", ...args),
            ({ out }) => JSON.parse(out)
          )
        const easy = yield* json()
        const busy = yield* json("--server-cores", "3", "--instances", "2")
        const [{ meanConnections: mean, wait }] = easy.outcomes
        // One of three cores is that of the other instance.
        assert.isAbove(busy.outcomes[0].wait.mean, wait.mean)
        assert.strictEqual(busy.fleet.mean, 2 * busy.outcomes[0].meanConnections)
        const half = yield* json("--server-cores", "3", "--instances", "2", "--server-part", "10%")
        assert.isBelow(half.outcomes[0].wait.mean, busy.outcomes[0].wait.mean)
        assert.isAbove((yield* json("--connect", "500ms")).outcomes[0].wait.max, wait.max)
        assert.isAbove(mean, 0)
        const room = yield* json("--max-connections", "50", "--instances", "4", "--rollout")
        assert.deepInclude(room.fleet, { worst: 72, allowed: 47, kept: 8 })
        assert.isNull(room.chosen)
      }))

    it.effect("options that are wrong are named in one sentence", () =>
      Effect.gen(function*() {
        const sentences: ReadonlyArray<readonly [args: string, sentence: string]> = [
          ["--raet 4/s", "There is no option --raet. Did you mean --rate? All of them: effect-pgpool-plan --help"],
          ["--bananas", "There is no option --bananas. All of them: effect-pgpool-plan --help"],
          ["-x", `"-x" belongs to no option. All of them: effect-pgpool-plan --help`],
          [
            "--rate 4/s --hold 5ms --log-level loud",
            `--log-level: "loud" is none of all, trace, debug, info, warning, error, fatal, none`
          ],
          ["load.csv", `"load.csv" belongs to no option. All of them: effect-pgpool-plan --help`],
          ["--rate", "--rate needs a value. All of them: effect-pgpool-plan --help"],
          ["--rate --hold 5ms", "--rate needs a value. All of them: effect-pgpool-plan --help"],
          ["--rate 4/s --rate 5/s", "--rate is given twice"],
          ["--rate 400 --hold 5ms", "--rate: 400 has no unit: write 400/s or 400/min"],
          ["--rate 400/s --hold 5", "--hold: 5 has no unit: write 5ms or 5s"],
          ["--rate 4/s --hold 5ms --format pdf", `--format: "pdf" is none of text, json, html, svg`],
          ["--rate 4/s --hold 5ms --when-full cry", `--when-full: "cry" is none of wait, fail`],
          [
            "--rate 4/s --hold 5ms --outage 5s@11:00",
            "--outage: 5s@11:00 is not in the load, which begins at 0:00 and lasts 600 s"
          ],
          ["--rate 4/s", "--rate needs --hold: how long a request holds its connection, such as p50=4ms,p99=80ms"],
          ["--hold 5ms", "Say what the load is: --rate with --hold, --arrivals, --log with --pattern, or --recording"],
          ["--rate 4/s --log a.log", "--rate and --log are two loads: take one of them"],
          ["--arrivals a.csv --length 5s", "--length goes with --rate, and not with --arrivals"],
          ["--rate 4/s --hold 5ms --length 0", "--length: a load of no length has no requests"],
          [
            "--rate 1/d --hold 5ms --length 5s",
            "The load has no request: at this --rate none comes in its --length. Take a longer --length"
          ],
          [
            "--rate 4/s --hold 5ms --expires 0",
            "--expires: a connection lives for at least a millisecond: write one such as 10min"
          ],
          [
            "--rate 4/s --hold 5ms --acquire-timeout 0.5ms",
            "--acquire-timeout: 0.5ms is less than a millisecond: write 0, or 1ms or more"
          ],
          [
            "--rate 4/s --hold 5ms --connect 5s",
            "--connect: the pool gives up a connect after 5 s (its connectTimeout), so none would succeed: write a shorter " +
            "time"
          ],
          [
            "--rate 4/s --hold 5ms --maxsize 9 --maxoverflow 4",
            "No --maxoverflow is as high as a --maxsize: maxoverflow is the limit of all connections"
          ]
        ]
        for (const [args, sentence] of sentences) assert.strictEqual(yield* wrong(...args.split(" ")), sentence)
      }))

    it.scoped("files that are wrong are named in one sentence, with the line", () =>
      Effect.gen(function*() {
        const sentence = (content: string) =>
          Effect.gen(function*() {
            const file = yield* fileOf("load.csv", content)
            return (yield* wrong("--arrivals", file)).replaceAll(file, "load.csv")
          })
        assert.strictEqual(yield* sentence(""), "load.csv is empty: there is no request in it")
        assert.include(yield* sentence("1,5\n3,5\n2,5\n"), "Line 3 of load.csv: its time is before")
        assert.include(yield* sentence("time,hold\n1,5\n2"), "Line 3 of load.csv: it has no hold; is it cut off?")
        assert.strictEqual(
          yield* sentence("time,hold\n0,5\n1777636800000,5\n"),
          "load.csv would be a load of 56 years, and the longest is one year. Is the unit of its times or holds another " +
            "one (time_s, time_ms, time_us, time_ns; hold_s, ...), or do some times count from 0 and others from 1970?"
        )
        assert.include(yield* sentence("0,5\n32000000000,5\n"), "would be a load of 1 year, and")
        assert.strictEqual(yield* wrong("--recording", "/nowhere"), "There is no file /nowhere")
      }))

    it.effect("a target that nobody meets: the report is there, and a sentence says what the best is", () =>
      Effect.gen(function*() {
        const { err, isDone, out } = yield* plan(
          ...small,
          "--maxsize",
          "1",
          "--maxoverflow",
          "2",
          "--target",
          "max-wait=0"
        )
        assert.isFalse(isDone)
        assert.match(
          err,
          /^No candidate meets the target \(max-wait at most 0, refused at most 0.1 %\). The closest is maxsize 1, maxwait auto, maxoverflow 2: p99 wait .*, 0 refused$/
        )
        assert.include(out, "The closest to the target: maxsize 1, maxwait auto, maxoverflow 2.")
        assert.notInclude(out, "PGPOOL_")
      }))

    it.effect("a load that no server or no candidate can serve: by how much the queue grows", () =>
      Effect.gen(function*() {
        assert.strictEqual(
          yield* wrong(...small, "--instances", "4", "--server-cores", "3"),
          "No pool can serve this load: the statements need 4.0 cores of the server all the time, and it has 3, so the " +
            "queue grows for ever, by 100 callers each second. Make the statements shorter, or give the server more cores"
        )
        const tooMany = "--rate 300/s --hold 10ms --length 10s --maxsize 2 --maxoverflow 2".split(" ")
        const { err, isDone, out } = yield* plan(...tooMany)
        assert.isFalse(isDone)
        const [, growth] = /the queue grows for ever, by at least (\d+) callers each second/.exec(err) ?? []
        // 200 of 300 are served.
        assert.approximately(Number(growth), 100, 20)
        assert.include(err, "3.0 connections are in use on average where there are enough: take a higher --maxoverflow")
        assert.match(out, /^ *! +2 /m)
        // Refused callers bound the queue.
        const bounds = [
          { options: ["--when-full", "fail"], queue: "" },
          {
            options: ["--acquire-timeout", "1s"],
            queue:
              ". The queue grows until callers are refused, who have waited 1 s. 3.0 connections are in use on average " +
              "where there are enough: take a higher --maxoverflow, or make the statements shorter"
          }
        ]
        for (const { options, queue } of bounds) {
          const { err, out } = yield* plan(...tooMany, ...options)
          assert.notInclude(err + out, "for ever, by")
          const [, part, more] = /: p99 wait .*, ([\d.]+) % refused(.*)$/.exec(err) ?? []
          assert.approximately(Number(part), 33, 8)
          assert.strictEqual(more, queue)
        }
        // There is no queue.
        assert.notInclude((yield* plan(...tooMany, "--acquire-timeout", "0ms")).err, "queue")
        assert.include(
          yield* wrong(...small, "--instances", "4", "--server-cores", "3", "--when-full", "fail"),
          "and it has 3, so at least 25 % of the callers are refused. Make"
        )
        // The pool's default, 30 s, refuses some of them within a minute, and makes the load no better.
        const minute = ["--rate", "100/s", "--hold", "10ms", "--length", "1min", "--instances", "4"]
        for (const said of [[], ["--acquire-timeout", "30s"]]) {
          assert.include(
            yield* wrong(...minute, "--server-cores", "3", ...said),
            "so the queue grows for ever, by 100 callers each second"
          )
        }
        assert.include(
          yield* wrong(...minute, "--server-cores", "3", "--acquire-timeout", "5s"),
          "so the queue grows until callers have waited 5 s, and at least 25 % of the callers are refused"
        )
        assert.include(
          yield* wrong(...minute, "--server-cores", "4"),
          "the statements need 4.0 cores of the server all the time, which is all that it has: nothing is left for a rush"
        )
      }))

    it.effect("what --max-connections forbids is not advised", () =>
      Effect.gen(function*() {
        const heavy = "--rate 1000/s --hold 100ms --length 5s --max-connections 20 --maxwait auto --maxsize 16".split(
          " "
        )
        const { err } = yield* plan(...heavy)
        assert.include(err, "--max-connections 20 leaves each process 16, so let the server allow more, or make the")
        assert.notInclude(err, "higher --maxoverflow")
        assert.strictEqual(
          yield* wrong(...small, "--maxsize", "50", "--max-connections", "40"),
          "No --maxsize fits: --max-connections 40 leaves each process 36 connections, a listener not counted"
        )
      }))

    it.effect("more instances than the server has connections for", () =>
      Effect.gen(function*() {
        assert.include(
          yield* wrong(...small, "--max-connections", "4"),
          "1 instance does not fit into --max-connections 4, of which"
        )
        assert.include(
          yield* wrong(...small, "--instances", "60", "--max-connections", "100"),
          "60 instances do not fit into --max-connections 100, of which 3 are reserved"
        )
      }))

    it.effect("a candidate that meets the target, and has more connections than the server", () =>
      Effect.gen(function*() {
        const large = ["--maxsize", "8", "--maxoverflow", "60", "--max-connections", "50"]
        const { err, isDone, out } = yield* plan(...small, ...large)
        assert.isFalse(isDone)
        const reason = "No candidate that meets the target (p99-wait at most 50 ms, refused at most 0.1 %) fits into " +
          "--max-connections 50."
        assert.include(err, reason)
        assert.include(out, reason)
        assert.include((yield* plan(...small, ...large, "--format", "html")).out, reason)
      }))

    it.effect("--help names all options", () =>
      Effect.gen(function*() {
        const { isDone, out } = yield* plan("--help")
        assert.isTrue(isDone)
        for (const name of ["--rate", "--recording", "--outage", "--maxoverflow", "--server-part"]) {
          assert.include(out, name)
        }
      }))
  })
})
