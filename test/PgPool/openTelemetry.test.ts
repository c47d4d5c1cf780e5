import { Metrics, Resource } from "@effect/opentelemetry"
import { assert, describe, it } from "@effect/vitest"
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import type { DataPoint, Histogram, MetricData } from "@opentelemetry/sdk-metrics"
import { Effect, Layer } from "effect"
import { makePool, uniqueName } from "../support/pgPool.js"

/** What an exporter of OpenTelemetry is given of all metrics. */
const exported = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000_000 })
    const layer = Layer.provide(Metrics.layer(() => reader), Resource.layer({ serviceName: "shop" }))
    yield* Effect.scoped(Effect.zipRight(
      Layer.build(layer),
      Effect.zipRight(effect, Effect.promise(() => reader.forceFlush()))
    ))
    return exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
  })

const kindOf = (metric: MetricData): string =>
  metric.dataPointType === DataPointType.SUM
    ? metric.isMonotonic ? "Counter" : "UpDownCounter"
    : metric.dataPointType === DataPointType.GAUGE
    ? "Gauge"
    : "Histogram"

describe("R41: what OpenTelemetry's exporters are given", () => {
  it.scopedLive("names, kinds, units, attributes and values", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { sql } = yield* makePool({ name, minsize: 1, maxsize: 3, maxoverflow: 5 })
      const metrics = yield* exported(Effect.zipRight(sql`SELECT 1`, Effect.exit(sql`SELECT 1 / 0`)))
      const mine = (points: ReadonlyArray<DataPoint<number | Histogram>>) =>
        points.filter(({ attributes }) => attributes["db.client.connection.pool.name"] === name)
      const found = metrics
        .map((metric) => ({ metric, points: mine(metric.dataPoints as Array<DataPoint<number | Histogram>>) }))
        .filter(({ points }) => points.length > 0)
      const summary = Object.fromEntries(found.map(({ metric, points }) => [
        metric.descriptor.name,
        `${kindOf(metric)} in ${metric.descriptor.unit}, ${points.length}`
      ]))
      assert.deepStrictEqual(summary, {
        "db.client.connection.count": "UpDownCounter in {connection}, 5",
        "db.client.connection.max": "UpDownCounter in {connection}, 1",
        "db.client.connection.idle.max": "UpDownCounter in {connection}, 1",
        "db.client.connection.idle.min": "UpDownCounter in {connection}, 1",
        "db.client.connection.pending_requests": "UpDownCounter in {request}, 1",
        "db.client.connection.timeouts": "Counter in {timeout}, 1",
        "db.client.connection.create_time": "Histogram in s, 1",
        "db.client.connection.wait_time": "Histogram in s, 1",
        "db.client.connection.use_time": "Histogram in s, 1",
        "db.client.operation.duration": "Histogram in s, 2",
        "effect_pgpool.connection.closed": "Counter in {connection}, 11",
        "effect_pgpool.connection.connect_failures": "Counter in {connection}, 1",
        "effect_pgpool.connection.overflow": "Counter in {connection}, 1",
        "effect_pgpool.connection.leaked": "Counter in {connection}, 1",
        "effect_pgpool.connection.oldest_wait": "Gauge in s, 1",
        "effect_pgpool.connection.requests": "Counter in {request}, 11"
      })
      const pointsOf = (metric: string) => found.find((one) => one.metric.descriptor.name === metric)!.points
      const idle = pointsOf("db.client.connection.count").find(({ attributes }) =>
        attributes["db.client.connection.state"] === "idle"
      )
      assert.strictEqual(idle?.value, 1)
      assert.strictEqual(pointsOf("db.client.connection.max")[0].value, 5)
      const [succeeded, failed] = pointsOf("db.client.operation.duration")
      const { boundaries, counts } = (succeeded.value as Histogram).buckets
      assert.deepStrictEqual(boundaries, [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10])
      assert.strictEqual(counts.reduce((sum, count) => sum + count, 0), 1)
      assert.strictEqual(failed.attributes["error.type"], "22012")
      assert.strictEqual(failed.attributes["db.system.name"], "postgresql")
      for (const { points } of found) assert.strictEqual(new Set(points.map(keyOf)).size, points.length)
    }))
})

const keyOf = ({ attributes }: DataPoint<unknown>): string => JSON.stringify(Object.entries(attributes).sort())
