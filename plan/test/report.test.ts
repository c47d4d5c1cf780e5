import { assert, describe, it, layer } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Either, Layer } from "effect"
import { PgPool } from "effect-pgpool"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Browser } from "playwright-core"
import { areAll } from "../../test/support/areAll.js"
import * as Chromium from "../../test/support/chromium.js"
import { frontOf } from "../src/choice.js"
import type { Plan } from "../src/plan.js"
import { svg } from "../src/report/chart.js"
import { html } from "../src/report/html.js"
import { json } from "../src/report/json.js"
import { text } from "../src/report/text.js"
import { settings } from "../src/report/words.js"
import { candidate, outcome } from "./outcomes.js"

const few = outcome(candidate(1, 4, 200), { p99: 80, meanConnections: 1.5 })
const some = outcome(candidate(4, 8), { p99: 40, meanConnections: 4.5, refused: 1 })
const worse = outcome(candidate(4, 16, 200), { p99: 60, meanConnections: 4.7 })
const grows = outcome(candidate(1, 1), { p99: 9000, meanConnections: 1, queueGrowth: 12 })

const outcomes = [few, some, worse, grows]

const plan: Plan = {
  asked: {
    from: { _tag: "Csv", file: "<load>.csv", hold: undefined },
    connect: 20,
    fleet: { instances: 6, rollout: true, maxConnections: 100, serverCores: 8, serverPart: 1 },
    outages: [],
    options: { acquireTimeout: 5000, whenFull: "fail", expires: 60_000 },
    target: { waits: [["p99-wait", 50]], refused: 0.001 },
    limits: {},
    seed: 1
  },
  input: {
    source: {
      _tag: "Recorded",
      name: "<load>.csv",
      duration: 600_000,
      at: Float64Array.of(1),
      holds: Float64Array.of(1)
    },
    began: undefined,
    notes: ["Lines that do not fit the pattern are left out: 3."]
  },
  demand: { requests: 24_000, perSecond: 40, hold: 10, mean: 0.4, worst: 2.5 },
  outages: [],
  outcomes,
  front: frontOf(outcomes),
  chosen: some,
  best: some,
  scenarios: [
    { name: "1.5 times the load", result: Either.right(worse) },
    { name: "holds twice as long", result: Either.left({ needed: 9.5, cores: 8, growth: 30 }) }
  ]
}

describe("the report", () => {
  it("as text has a table, the settings, the fleet, what changes and what is not known", () => {
    const lines = text(plan).split("\n")
    const has = (line: string) => assert.include(lines, line)
    const words = (line: string) => line.trim().split(/ {2,}/)
    has("Target: p99-wait at most 50 ms, refused at most 0.1 %.")
    has("Lines that do not fit the pattern are left out: 3.")
    const rows = lines.slice(lines.findIndex((line) => line.includes("maxoverflow  ")))
    assert.deepStrictEqual(words(rows[0]), [
      "maxsize",
      "maxwait",
      "maxoverflow",
      "p50",
      "p99",
      "p99.9",
      "refused",
      "mean",
      "peak",
      "connects"
    ])
    assert.deepStrictEqual(
      words(rows[1]),
      ["*", "1", "200 ms", "4", "0", "80 ms", "160 ms", "0", "1.5", "4", "10"]
    )
    assert.deepStrictEqual(words(rows[2]), [">*-", "4", "auto", "8", "0", "40 ms", "80 ms", "0.1 %", "4.5", "8", "10"])
    assert.deepStrictEqual(words(rows[4]).slice(0, 2), ["!", "1"])
    has("PGPOOL_MAXSIZE=4")
    has("PGPOOL_MAXWAIT=auto")
    has("All 6 instances hold 27.0 connections on average under this load, and 24 are kept on an ordinary day.")
    assert.include(text(plan), "At worst 108, with old and new instances at once")
    assert.include(text(plan), "the server allows 97 (--max-connections less 3 that are reserved): too many.")
    has(
      "With 1.5 times the load: p99 wait 60 ms, 0 refused, 4.7 connections on average; the target is missed."
    )
    has("With holds twice as long: the statements need 9.5 cores, and the server has 8.")
    assert.include(text(plan), "What it does not know:\n- Locks:")
  })

  it("callers that an outage ended have a column, where there are some", () => {
    const lost = { ...some, failed: 1234 }
    const report = { ...plan, outcomes: [few, lost], chosen: lost }
    assert.match(text(report), /connects +failed\n.* 0\n.* 1,234\n/)
    assert.match(html(report), /<th scope="col">failed<\/th>[^]*<td>1,234<\/td><\/tr>/)
    assert.notInclude(text(plan) + html(plan), "failed")
  })

  it("counts one of something as one", () => {
    const fleet = { ...plan.asked.fleet, instances: 1 }
    const one = text({ ...plan, asked: { ...plan.asked, fleet }, demand: { ...plan.demand, requests: 1 }, best: few })
    assert.include(one, "and 1 is kept on an ordinary day")
    assert.include(one, ", 1 request in")
  })

  it("without one that meets the target names the closest", () => {
    const { chosen: _, ...rest } = plan
    const report = text({ ...rest, chosen: undefined, best: worse })
    assert.include(report, "The closest to the target: maxsize 4, maxwait 200 ms, maxoverflow 16.")
    assert.notInclude(report, "PGPOOL_")
  })

  it.scopedLive("the settings are what a pool takes from the environment", () =>
    Effect.gen(function*() {
      const entries = settings(plan, { ...few.candidate, maxoverflow: 7 })
      assert.sameMembers(Object.keys(entries), [
        "PGPOOL_MAXSIZE",
        "PGPOOL_MAXWAIT",
        "PGPOOL_MAXOVERFLOW",
        "PGPOOL_ACQUIRE_TIMEOUT",
        "PGPOOL_WHEN_FULL",
        "PGPOOL_EXPIRES"
      ])
      const provider = ConfigProvider.fromMap(new Map(Object.entries(entries)))
      // Nothing listens there, and the pool opens nothing before it is asked to.
      const context = yield* Layer.build(PgPool.layerFromEnv({ host: "127.0.0.1", port: 1 })).pipe(
        Effect.withConfigProvider(provider)
      )
      const pool = Context.get(context, PgPool.PgPool)
      const { maxoverflow, maxsize } = yield* pool.stats
      assert.deepStrictEqual({ maxoverflow, maxsize }, { maxoverflow: 7, maxsize: 1 })
    }))

  it("as JSON has all figures for tools", () => {
    const report = JSON.parse(json(plan))
    assert.strictEqual(report.version, 1)
    assert.strictEqual(report.outcomes.length, 4)
    assert.deepInclude(report.outcomes[1], { meetsTarget: true, fits: false, isOnFront: true, refused: 1 })
    assert.strictEqual(report.outcomes[1].wait.p99, 40)
    assert.strictEqual(report.chosen.environment.PGPOOL_MAXOVERFLOW, "8")
    assert.deepInclude(report.fleet, { worst: 108, allowed: 97 })
    assert.strictEqual(report.scenarios[0].outcome.meetsTarget, false)
    assert.strictEqual(report.scenarios[1].overload.cores, 8)
    assert.strictEqual(JSON.parse(json({ ...plan, chosen: undefined })).chosen, null)
  })

  it("the chart has a point for each candidate, joins the best ones, and rings the one to take", () => {
    const chart = svg(plan)
    assert.strictEqual(chart.match(/<g tabindex/g)?.length, 4)
    const [, line] = /class="front" d="([^"]*)"/.exec(chart)!
    const corners = line.match(/-?[\d.]+,-?[\d.]+/g)!
    assert.strictEqual(corners.length, 2)
    const placeOf = (pool: string) => new RegExp(`aria-label="${pool}[^]*?translate\\(([^)]*)\\)`).exec(chart)![1]
    assert.deepStrictEqual(corners, [
      placeOf("maxsize 1, maxwait 200 ms, maxoverflow 4"),
      placeOf("maxsize 4, maxwait auto, maxoverflow 8")
    ])
    assert.include(chart, `<circle class="ring" r="10" transform="translate(${corners[1]})"`)
    const { chosen: _, ...rest } = plan
    assert.notInclude(svg({ ...rest, chosen: undefined }), "<circle")
  })
})

const Chrome = Context.GenericTag<Browser>("test/Chrome")

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

describe.skipIf(!Chromium.isInstalled)("in a browser", () => {
  layer(Layer.scoped(Chrome, Chromium.start), { timeout: 60_000, excludeTestServices: true })("the page", (it) => {
    const open = (colorScheme: "light" | "dark", width = 1000) =>
      Effect.gen(function*() {
        const browser = yield* Chrome
        const page = yield* Effect.acquireRelease(
          Effect.promise(() => browser.newPage({ colorScheme, offline: true, viewport: { width, height: 800 } })),
          (page) => Effect.promise(() => page.close())
        )
        const complaints: Array<string> = []
        page.on("pageerror", ({ message }) => complaints.push(message))
        page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
        page.on("request", (request) => complaints.push(`it asked for ${request.url()}`))
        yield* Effect.promise(() => page.setContent(html(plan)))
        return { page, complaints }
      })

    for (const scheme of ["light", "dark"] as const) {
      it.scoped(`in ${scheme} anybody can read it, with nothing from elsewhere`, () =>
        Effect.gen(function*() {
          const { complaints, page } = yield* open(scheme)
          yield* Effect.promise(() => page.evaluate(axe))
          const violations = yield* Effect.promise(() =>
            page.evaluate<Array<string>>(
              `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html)))`
            )
          )
          assert.deepStrictEqual(violations, [])
          assert.deepStrictEqual(complaints, [])
          assert.include(
            yield* Effect.promise(() => page.locator("main").innerText()),
            "each of 6 instances: <load>.csv"
          )
        }))
    }

    it.scoped("a point tells what it is to the pointer and to the keyboard", () =>
      Effect.gen(function*() {
        const { page } = yield* open("light")
        const tip = page.locator("#tip")
        const point = page.locator(`svg g[aria-label^="maxsize 4, maxwait auto"]`)
        assert.isFalse(yield* Effect.promise(() => tip.isVisible()))
        yield* Effect.promise(() => point.hover())
        assert.include(yield* Effect.promise(() => tip.innerText()), "p99 wait 40 ms")
        yield* Effect.promise(() => page.mouse.move(0, 0))
        assert.isFalse(yield* Effect.promise(() => tip.isVisible()))
        yield* Effect.promise(() => point.focus())
        assert.isTrue(yield* Effect.promise(() => tip.isVisible()))
        yield* Effect.promise(() => page.keyboard.press("Escape"))
        assert.isFalse(yield* Effect.promise(() => tip.isVisible()))
      }))

    it.scoped("on a narrow screen only the table scrolls", () =>
      Effect.gen(function*() {
        const { page } = yield* open("light", 360)
        const widths = yield* Effect.promise(() =>
          page.evaluate<ReadonlyArray<number>>("[document.documentElement.scrollWidth, innerWidth]")
        )
        assert.isAtMost(widths[0], widths[1])
        assert.isTrue(areAll(widths, (width) => width > 0))
      }))
  })
})
