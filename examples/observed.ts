// A program whose pool can be watched: metrics for Prometheus, and metrics and spans for an OpenTelemetry collector.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/observed.ts            works for a moment and shows its metrics
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/observed.ts --serve    works on, with its metrics at
//                                                                                   http://127.0.0.1:9464/metrics
// OTEL_EXPORTER_PROMETHEUS_PORT is another port. With OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 it also sends
// metrics and spans there. The folder observed/ has a dashboard for Grafana and alerts for Prometheus.
import { NodeSdk } from "@effect/opentelemetry"
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http"
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Config, Console, Effect, Layer, Metric, Option, Schedule } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import { hostname } from "node:os"
import { performance } from "node:perf_hooks"

// --- What makes it visible ---

/** Its server is started below: only with `--serve` somebody comes to read. */
const prometheus = new PrometheusExporter({ preventServerStart: true })

/** The exporters read OTEL_EXPORTER_OTLP_ENDPOINT themselves. */
const collector = (exportIntervalMillis: number) => ({
  metricReader: [
    prometheus,
    new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(), exportIntervalMillis })
  ],
  spanProcessor: new BatchSpanProcessor(new OTLPTraceExporter())
})

const TelemetryLive = NodeSdk.layer(Effect.gen(function*() {
  const endpoint = yield* Config.option(Config.nonEmptyString("OTEL_EXPORTER_OTLP_ENDPOINT"))
  const interval = yield* Config.withDefault(Config.integer("OTEL_METRIC_EXPORT_INTERVAL"), 10_000)
  return {
    // Prometheus gets them as the labels `job` and `instance`.
    resource: { serviceName: "shop", attributes: { "service.instance.id": `${hostname()}:${process.pid}` } },
    ...Option.isSome(endpoint) ? collector(interval) : { metricReader: prometheus }
  }
}))

const eventLoop = Metric.gauge("nodejs.eventloop.utilization", {
  description: "The part of the time in which the event loop was busy"
}).pipe(Metric.tagged("unit", "1"))

/** A busy event loop delays everything, so it looks as if the pool or the server were slow. */
const watchEventLoop = Effect.suspend(() => {
  let before = performance.eventLoopUtilization()
  const note = Effect.suspend(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    return Metric.set(eventLoop, utilization)
  })
  return Effect.repeat(note, Schedule.spaced("1 second"))
})

/** The name of the pool is a label of all its metrics, and a variable of the dashboard. */
const PoolLive = PgPool.layerConfig({
  url: Config.redacted("DATABASE_URL"),
  name: Config.succeed("shop"),
  maxsize: Config.succeed(2),
  maxwait: Config.succeed("10 millis"),
  maxoverflow: Config.succeed(4),
  acquireTimeout: Config.succeed("2 seconds"),
  leakThreshold: Config.succeed("1 second")
})

// --- Something to be seen ---

const order = Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(sql`SELECT pg_sleep(0.4)`)).pipe(
  Effect.withSpan("order")
)

/** It holds its connection while no statement runs, and for so long that the pool tells of it. */
const report = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.sleep("1.5 seconds")))
).pipe(Effect.withSpan("report"))

/** The pool refuses callers that would wait for too long. */
const unlessRefused = Effect.catchAll((error: SqlError) =>
  PgError.isUnavailable(error) ? Effect.void : Effect.logError(error)
)

/** So many callers at the same time. */
const rush = (callers: number) =>
  Effect.all(Effect.replicate(unlessRefused(order), callers), { concurrency: "unbounded", discard: true })

/** One caller, as many as may have a connection, and far too many. */
const day = Effect.zipRight(
  Effect.forEach([1, 4, 30], rush),
  Effect.all([rush(2), unlessRefused(report)], { concurrency: "unbounded" })
)

// --- The program ---

const serve = Effect.gen(function*() {
  yield* Effect.promise(() => prometheus.startServer())
  const port = yield* Config.withDefault(Config.port("OTEL_EXPORTER_PROMETHEUS_PORT"), 9464)
  yield* Console.log(`The metrics are at http://127.0.0.1:${port}/metrics`)
  return yield* Effect.forever(day)
})

/** What Prometheus would read. */
const show = Effect.gen(function*() {
  yield* day
  const { resourceMetrics } = yield* Effect.promise(() => prometheus.collect())
  const lines = new PrometheusSerializer().serialize(resourceMetrics).split("\n")
  const shown = lines.filter((line) => /^(db_client_connection_(count|max)|effect_pgpool_)/.test(line))
  yield* Effect.forEach(shown.filter((line) => !line.endsWith(" 0")), (line) => Console.log(line))
})

const program = process.argv.includes("--serve") ? serve : show

program.pipe(
  Effect.raceFirst(Effect.zipRight(watchEventLoop, Effect.never)),
  Effect.provide(Layer.provideMerge(PoolLive, TelemetryLive)),
  NodeRuntime.runMain
)
