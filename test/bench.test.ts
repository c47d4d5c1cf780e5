/** The benchmarks still run, and report what they should. Nothing here is about time. */
import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { inject } from "vitest"
import { moreTime } from "../bench/builds.js"
import type { Send } from "../bench/day/contenders.js"
import { play } from "../bench/day/play.js"
import { goalOf } from "../bench/frontier/curve.js"

const main = fileURLToPath(new URL("../bench/main.ts", import.meta.url))
const sources = fileURLToPath(new URL("../src", import.meta.url))

interface Ended {
  readonly code: number
  readonly stderr: string
}

/** On the sources, so that nothing has to be built. */
const bench = (...args: ReadonlyArray<string>): Effect.Effect<Ended> =>
  Effect.async((resume) => {
    const env = { ...process.env, DATABASE_URL: inject("pgUrl") }
    const child = execFile(process.execPath, ["--import", "tsx", main, ...args], { env }, (_error, _stdout, stderr) =>
      resume(Effect.succeed({ code: child.exitCode ?? -1, stderr })))
    return Effect.sync(() =>
      void child.kill()
    )
  })

/** The first cells of the rows below a title, by title. */
const tablesOf = (report: string): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(
    report.split(/^## /m).slice(1).map((section) => [
      section.split("\n")[0],
      [...section.matchAll(/^\| (.*?) \|/gm)].map(([_, cell]) => cell).slice(2)
    ])
  )

const pools = ["effect-pgpool `use`", "effect-pgpool `get`", "Effect 3 `Pool.get`", "pg-pool", "tarn"]
const clients = ["effect-pgpool", "effect-pgpool, `multiplex: true`", "@effect/sql-pg", "`pg.Pool`", "postgres.js"]
const sizes = ["1", "100"]

type Tables = Readonly<Record<string, ReadonlyArray<string>>>

const whoLooksOn = [
  "nothing on",
  "metrics on, as by default",
  "metrics on, and the live page in one browser",
  "metrics on, and all events and loans listened to"
]

const ofThePool: Tables = {
  "Taking an idle item and giving it back, beside another build": ["this build", "the other build"],
  "Taking an idle item and giving it back": pools,
  "Waiting for one of 10 items, 64 fibers": pools,
  "Waiting for one of 10 items, 100 fibers": pools,
  "Remembering who holds an item": ["nobody is remembered", "the fiber and its span are remembered, as always"],
  "Taking a connection and giving it back, while somebody looks on": whoLooksOn,
  "`SELECT 1`, while somebody looks on": whoLooksOn,
  "Memory": ["a waiter, beyond a fiber that is suspended", "an idle connection, on this side"],
  "Growth: fibers that each take one of 10 items once": ["10", "1,000"],
  "Growth: taking one of so many idle items": sizes,
  "Growth: so many items in use, and as many fibers that wait": sizes,
  "Growth: `select $1::int` by 64 fibers over so many connections": ["1", "10"],
  "Growth: so many statements in flight on one connection": sizes,
  "Growth: memory": [
    "waiters, beyond a suspended fiber",
    "idle items, beyond the item",
    "idle connections",
    "statements in flight, beyond a suspended fiber"
  ],
  "A day in 4 seconds": [
    "pg-pool, max 10",
    "pg-pool, max 20",
    "@effect/sql-pg, max 20",
    "fixed (10 / 200 ms / 20)",
    "the seed's (2 / 200 ms / 20)",
    "auto (2 / 20)",
    "auto (10 / 20)"
  ]
}

const ofTheFrontier: Tables = {
  Goals: [
    "frontier, auto (8 / 20): p99 beside pg-pool's curve: at most 1",
    "frontier, auto (12 / 20): p99 beside pg-pool's curve: at most 1"
  ],
  "Connections and waits in a day of 4 seconds": [
    "auto (8 / 20)",
    "auto (12 / 20)",
    "pg-pool, max 12",
    "pg-pool, max 20"
  ]
}

const withStreams = clients.filter((name) => name !== "effect-pgpool, `multiplex: true`")

const ofTheQueries: Tables = {
  Goals: [
    "CPU of a query of effect-pgpool, 512 fibers, by that with 64: at most 1.25",
    "CPU of a query of effect-pgpool, `multiplex: true`, 512 fibers, by that with 64: at most 1.25",
    "CPU of a query, `multiplex` and `prepare`, 2 connections, by postgres.js: at most 1.2",
    "CPU of a query, no options, 10 connections, by `pg.Pool`: at most 1.5",
    "CPU of 100 rows, 2 connections, by `pg.Pool`: at most 1.1",
    "CPU of 10,000 rows, 2 connections, by `pg.Pool`: at most 1.1",
    "queries, no options, 10 connections, by @effect/sql-pg: at least 1.25",
    "transactions, 2 connections, by @effect/sql-pg: at least 1.2",
    "rows of a stream, by @effect/sql-pg: at least 1.2",
    "bytes of a statement that waits, beyond its fiber, effect-pgpool: at most 3380",
    "bytes of a statement that waits, beyond its fiber, effect-pgpool, `multiplex: true`: at most 3114"
  ],
  "Queries: `select $1::int`": clients,
  "Queries: a result of 100 rows": clients,
  "Queries: a result of 10,000 rows": clients,
  "Queries: an insert": clients,
  "Queries: a transaction: begin, select, insert, commit": clients,
  "Queries: a stream of 20,000 rows": withStreams,
  "Queries: `select $1::int`, 1 ms away": clients,
  "Memory while a stream of 20,000 rows is read": withStreams,
  "Memory of 1,000 statements that wait for a connection": clients.slice(0, 3)
}

const ofTheLoads: Tables = {
  "Three ways to wait at maxsize, in simulated time": ["2/20, steady, connects of 2 ms"],
  "Twenty fibers on a pool that may have twenty connections": [
    "@effect/sql-pg, 20 connections",
    "no options (10 / auto / 20)",
    "2 / auto / 20",
    "2 / 200 ms / 20",
    "2 / none / 20"
  ],
  "Three ways to wait at maxsize, on a real server": [
    "direct: auto",
    "with TLS: none",
    "connects 100 ms longer: 200 ms"
  ]
}

const ofThePlanner: Tables = {
  "What the planner foretells": ["steady", "swinging", "bursts"].flatMap((load) => [
    `${load}, 2 / auto / 10`,
    `${load}, 4 / 100 ms / 6`
  ])
}

describe("the benchmarks", () => {
  const reports = (title: string, parts: ReadonlyArray<string>, expected: Tables, drawing?: string) =>
    it.live(title, () =>
      Effect.gen(function*() {
        const files = yield* FileSystem.FileSystem
        const directory = yield* files.makeTempDirectoryScoped()
        const out = `${directory}/report.md`
        const { code, stderr } = yield* bench(...parts, "--quick", "--seconds", "4", "--out", out)
        assert.strictEqual(code, 0, stderr)
        const report = yield* files.readFileString(out)
        const tables = tablesOf(report)
        for (const [title, rows] of Object.entries(expected)) {
          assert.includeMembers([...tables.get(title) ?? []], [...rows], title)
        }
        assert.isTrue(parts.includes("loads") || tables.has("Goals"))
        assert.notMatch(report, /NaN|undefined|Infinity/)
        if (drawing !== undefined) assert.match(yield* files.readFileString(`${directory}/${drawing}`), /<svg/)
      }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)), 600_000)

  reports(
    "report what the pool itself costs, how it grows, and its day",
    ["overhead", "growth", "day", "--against", sources],
    ofThePool,
    "day.svg"
  )
  reports("report what a wait costs in connections", ["frontier"], ofTheFrontier, "frontier.svg")
  reports("report what a query costs", ["queries"], ofTheQueries)
  reports("report how long callers wait", ["loads"], ofTheLoads)

  reports("report what the planner foretells", ["plan"], ofThePlanner)

  it.live("count what failed as infinitely slow, where that is asked", () =>
    Effect.gen(function*() {
      let count = 0
      const send: Send = (done) => done(count++ % 50 === 0 ? new Error("refused") : undefined)
      const { failures, p99, withFailures } = yield* play(send, Array.from({ length: 100 }, () => 0))
      assert.strictEqual(failures, 2)
      assert.isBelow(p99, Infinity)
      assert.isBelow(withFailures.p50, Infinity)
      assert.strictEqual(withFailures.p99, Infinity)
    }))

  it("say how many times as long a build takes as another one", () => {
    const [slow, quick] = [2, 1].map((each) => ({
      name: "",
      wall: each,
      cpu: each,
      rounds: [each, each, each],
      cpuRounds: [each, each, each]
    }))
    assert.strictEqual(moreTime(slow, quick).median, 2)
    assert.strictEqual(moreTime(quick, slow).median, 0.5)
  })

  it("compare a pool with a curve where that has as many connections", () => {
    const curve = [[2, Infinity], [4, 400], [6, 200], [10, 100]].map(([mean, p99]) => ({
      name: "",
      size: 1,
      mean,
      p99
    }))
    const measured = (mean: number, p99: number) => {
      const { measured, met } = goalOf({ name: "ours", size: 1, mean, p99 }, curve)
      return [measured, met]
    }
    assert.deepStrictEqual(measured(4, 200), ["0.50", "yes"])
    assert.deepStrictEqual(measured(5, 0.999 * Math.sqrt(400 * 200)), ["1.00", "yes"])
    assert.deepStrictEqual(measured(8, 2 * Math.sqrt(200 * 100)), ["2.00", "**no**"])
    // More connections than any other one needs are no excuse.
    assert.deepStrictEqual(measured(12, 150), ["1.50", "**no**"])
    // What failed has no place on the curve.
    assert.deepStrictEqual(measured(3, 9000), ["pg-pool has none so small", "yes"])
    assert.deepStrictEqual(measured(3, Infinity), ["∞", "**no**"])
  })

  it.live("refuse what they don't know, and say what they do", () =>
    Effect.gen(function*() {
      const wrong = [
        [["queries", "--connections", "none"], "--connections is a whole number of at least 1, not \"none\""],
        [
          ["overhead", "--against", "/nowhere"],
          "--against is the folder of a build, with ElasticPool.js; /nowhere has none"
        ]
      ] as const
      for (const [args, reason] of wrong) {
        const { code, stderr } = yield* bench(...args)
        assert.strictEqual(code, 1)
        assert.isTrue(stderr.startsWith(`${reason}\n\nUsage: npm run bench`), stderr)
      }
    }), 60_000)
})
