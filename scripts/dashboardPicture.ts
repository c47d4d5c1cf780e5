/**
 * Writes docs/grafana.svg: the panels of the dashboard, drawn from their own queries, which a real Prometheus has
 * answered about a run of examples/observed.ts. In the middle of it the server refuses connections. It needs the program
 * `prometheus`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Redacted } from "effect"
import { spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { dashboardFile } from "../examples/observed/dashboard.js"
import * as Proxy from "../src/internal/testing/proxy.js"
import * as Postgres from "../test/support/postgres.js"
import { freePort } from "../test/support/program.js"
import * as Prometheus from "../test/support/prometheus.js"
import type { Drawn, Panel } from "./dashboardPicture/draw.js"
import { svg } from "./dashboardPicture/draw.js"

const { panels }: { readonly panels: ReadonlyArray<Panel> } = JSON.parse(readFileSync(dashboardFile, "utf8"))

const serve = (env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--import", "tsx", "examples/observed.ts", "--serve"], {
        stdio: "ignore",
        env: { ...process.env, ...env }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const seconds = Effect.clockWith((clock) => Effect.map(clock.currentTimeMillis, (millis) => Math.floor(millis / 1000)))

/** What Grafana makes of a legend: `{{label}}` is the value of the label. */
const named = (legend: string, labels: Readonly<Record<string, string>>) =>
  legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? "")

Effect.gen(function*() {
  const { url } = yield* Postgres.start()
  const proxy = yield* Proxy.start(Redacted.make(url))
  const port = yield* freePort
  yield* serve({ DATABASE_URL: Redacted.value(proxy.url), OTEL_EXPORTER_PROMETHEUS_PORT: String(port) })
  const prometheus = yield* Prometheus.start({
    jobs: { shop: port },
    rules: "examples/observed/alerts.yml"
  })
  yield* Console.log("The example works for a minute and a half...")
  yield* Effect.sleep("20 seconds")
  const from = yield* seconds
  yield* Effect.sleep("40 seconds")
  proxy.refusing = true
  proxy.cut()
  yield* Effect.sleep("10 seconds")
  proxy.refusing = false
  yield* Effect.sleep("40 seconds")
  const to = yield* seconds

  const dataOf = ({ fieldConfig, targets = [] }: Panel) =>
    Effect.map(
      Effect.forEach(targets, ({ expr, legendFormat }) => {
        const asked = expr
          .replaceAll("$pool", "shop")
          .replaceAll("$instance", ".*")
          .replaceAll("$__rate_interval", "10s")
        const properties = fieldConfig?.overrides.find(({ matcher }) => matcher.options === legendFormat)?.properties
        const style = Object.fromEntries((properties ?? []).map(({ id, value }) => [id, value]))
        return Effect.map(prometheus.range(asked, from, to), (series) =>
          series
            // Grafana has a legend for each; here there is no room for those that are always 0.
            .filter(({ values }) => values.some(([, value]) => value > 0))
            .map((one): Drawn => ({ ...one, legend: named(legendFormat, one.metric), style })))
      }),
      (found) => found.flat()
    )
  const data = new Map(
    yield* Effect.forEach(panels, (panel) => Effect.map(dataOf(panel), (some) => [panel, some] as const))
  )
  writeFileSync("docs/grafana.svg", svg(panels, (panel) => data.get(panel)!, { from, to }))
  yield* Console.log("docs/grafana.svg is written.")
}).pipe(Effect.scoped, NodeRuntime.runMain)
