import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { dashboardFile, written } from "../examples/observed/dashboard.js"
import * as Proxy from "../src/internal/testing/proxy.js"
import { areAll } from "./support/areAll.js"
import * as Collector from "./support/collector.js"
import { eventually, serverUrl } from "./support/pgPool.js"
import { freePort } from "./support/program.js"
import * as Prometheus from "./support/prometheus.js"

const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

const rules = file("examples/observed/alerts.yml")
const rulesTest = file("examples/observed/alerts.test.yml")

interface Query {
  readonly panel: string
  readonly legend: string
  readonly expr: string
}

interface Panel {
  readonly title: string
  readonly targets?: ReadonlyArray<{ readonly legendFormat: string; readonly expr: string }>
}

const dashboard: { readonly panels: ReadonlyArray<Panel> } = JSON.parse(readFileSync(dashboardFile, "utf8"))

/** All queries of the dashboard, for one process. */
const queriesFor = (instance: string): ReadonlyArray<Query> =>
  dashboard.panels.flatMap(({ targets = [], title }) =>
    targets.map(({ expr, legendFormat }) => ({
      panel: title,
      legend: legendFormat,
      expr: expr.replaceAll("$pool", "shop").replaceAll("$instance", instance).replaceAll("$__rate_interval", "10s")
    }))
  )

/** The example as a process of its own, which works until the test has ended. */
const serve = (env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--import", "tsx", file("examples/observed.ts"), "--serve"], {
        stdio: "ignore",
        env: { ...process.env, ...env }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** The queries that have given nothing above 0 so far, once they are no more than so many. */
const untilShown = ({ query }: Prometheus.Prometheus, queries: ReadonlyArray<Query>, atMost = 0) => {
  const empty = new Set(queries)
  const ask = (one: Query) =>
    Effect.map(query(one.expr), (samples) => samples.some(({ value }) => value > 0) && empty.delete(one))
  return eventually(Effect.map(Effect.forEach(empty, ask), () => [...empty]), ({ length }) => length <= atMost)
}

describe("R42: the dashboard", () => {
  it("R42: grafana.json is what dashboard.ts writes", () => {
    assert.strictEqual(readFileSync(dashboardFile, "utf8"), written)
  })

  it.scopedLive.skipIf(!Prometheus.isInstalled)(
    "each query of each panel gives data, as scraped from the program and as passed on by a collector",
    () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        const collector = yield* Collector.start
        const port = yield* freePort
        yield* serve({
          DATABASE_URL: Redacted.value(proxy.url),
          OTEL_EXPORTER_PROMETHEUS_HOST: "127.0.0.1",
          OTEL_EXPORTER_PROMETHEUS_PORT: String(port),
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
          OTEL_METRIC_EXPORT_INTERVAL: "1000"
        })
        const prometheus = yield* Prometheus.start({ jobs: { scraped: port }, collector: collector.port, rules })
        yield* eventually(Effect.sync(collector.instance), (instance) => instance !== undefined)
        const scraped = queriesFor(`127.0.0.1:${port}`)
        const collected = queriesFor(collector.instance()!)
        assert.isAbove(scraped.length, 20)

        const failures = [...scraped, ...collected].filter(({ legend }) => legend === "failed")
        assert.sameMembers(yield* untilShown(prometheus, [...scraped, ...collected], failures.length), failures)
        const areIn = (names: ReadonlyArray<string>) =>
          ["order", "sql.execute", "pool.wait"].every((name) => names.includes(name))
        yield* eventually(Effect.sync(() => [...collector.spans]), areIn)

        proxy.refusing = true
        proxy.cut()
        yield* untilShown(prometheus, failures)

        // Of both, although their metrics have other names.
        const isRefusing = prometheus.query(`ALERTS{alertname="PgPoolRefusesCallers", alertstate="firing"}`)
        const jobs = yield* eventually(isRefusing, ({ length }) => length === 2)
        assert.sameMembers(jobs.map(({ metric }) => metric.job), ["scraped", "shop"])
        assert.isTrue(areAll(yield* prometheus.alerts, ({ health }) => health === "ok"))
      }),
    { timeout: 180_000 }
  )
})

describe("R42: the alerts", () => {
  const names = readFileSync(rules, "utf8").matchAll(/- alert: (\w+)/g)
  const alerts = Array.from(names, ([, name]) => name)

  it.effect.skipIf(!Prometheus.isInstalled)(
    "each fires and is silent as alerts.test.yml says",
    () =>
      Effect.gen(function*() {
        for (const args of [["check", "rules", rules], ["test", "rules", rulesTest]]) {
          const { isFine, says } = yield* Prometheus.promtool(...args)
          assert.isTrue(isFine, says)
        }
      })
  )

  it("R42: each has a case in which it fires, one in which it is silent, and a section of the page", () => {
    assert.strictEqual(alerts.length, 5)
    const cases = readFileSync(rulesTest, "utf8")
    const page = readFileSync(file("docs/prometheus.md"), "utf8")
    for (const alert of alerts) {
      assert.include(cases, `exp_alerts: &${alert}\n`)
      assert.include(cases, `"${alert}: silent`)
      assert.include(page, `\n### ${alert}\n`)
      assert.include(readFileSync(rules, "utf8"), `runbook: docs/prometheus.md#${alert.toLowerCase()}\n`)
    }
  })
})
