/**
 * Stands in for an OpenTelemetry collector: it takes OTLP over HTTP, and is read by Prometheus, with the names that
 * collectors give to metrics. They add the unit `s` as `_seconds` and the unit `1` of a gauge as `_ratio`, leave out a
 * unit in braces, and add `_total` to what only grows.
 *
 * https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { once } from "node:events"
import { createServer } from "node:http"
import type { IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"

export interface Collector {
  readonly port: number
  readonly url: string
  /** The names of all spans so far. */
  readonly spans: ReadonlySet<string>
  /** The instance that has sent metrics, once it has. */
  readonly instance: () => string | undefined
}

export const start: Effect.Effect<Collector, never, Scope.Scope> = Effect.gen(function*() {
  const spans = new Set<string>()
  let latest: Source | undefined
  const server = createServer(async (request, response) => {
    if (request.method === "GET") return response.end(latest === undefined ? "" : exposed(latest))
    const { resourceMetrics = [], resourceSpans = [] } = await bodyOf(request)
    for (const { scopeSpans } of resourceSpans) {
      for (const { spans: some } of scopeSpans) for (const { name } of some) spans.add(name)
    }
    latest = resourceMetrics[0] ?? latest
    response.setHeader("content-type", "application/json").end("{}")
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () => Effect.sync(() => (server.close(), server.closeAllConnections()))
  )
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    spans,
    instance: () => latest && labelsOf(latest.resource.attributes)["service.instance.id"]
  }
})

// --- OTLP, as far as the pool's metrics need it ---

type Attributes = ReadonlyArray<{ readonly key: string; readonly value: { readonly stringValue?: string } }>

interface NumberPoint {
  readonly attributes: Attributes
  readonly asDouble: number
}

interface HistogramPoint {
  readonly attributes: Attributes
  readonly count: number
  readonly sum: number
  readonly bucketCounts: ReadonlyArray<number>
  readonly explicitBounds: ReadonlyArray<number>
}

interface OtlpMetric {
  readonly name: string
  readonly unit: string
  readonly gauge?: { readonly dataPoints: ReadonlyArray<NumberPoint> }
  readonly sum?: { readonly isMonotonic: boolean; readonly dataPoints: ReadonlyArray<NumberPoint> }
  readonly histogram?: { readonly dataPoints: ReadonlyArray<HistogramPoint> }
}

interface Source {
  readonly resource: { readonly attributes: Attributes }
  readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<OtlpMetric> }>
}

interface Body {
  readonly resourceMetrics?: ReadonlyArray<Source>
  readonly resourceSpans?: ReadonlyArray<{
    readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<{ readonly name: string }> }>
  }>
}

const bodyOf = (request: IncomingMessage): Promise<Body> => json(request) as Promise<Body>

const labelsOf = (attributes: Attributes): Readonly<Record<string, string>> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? ""]))

// --- What Prometheus reads ---

const underscored = (name: string): string => name.replaceAll(".", "_")

const nameOf = ({ gauge, name, sum, unit }: OtlpMetric): string => {
  const withUnit = underscored(name) + (unit === "s" ? "_seconds" : gauge && unit === "1" ? "_ratio" : "")
  return sum?.isMonotonic === true ? `${withUnit}_total` : withUnit
}

const exposed = ({ resource, scopeMetrics }: Source): string => {
  const { "service.instance.id": instance, "service.name": job } = labelsOf(resource.attributes)
  const line = (name: string, attributes: Attributes, value: number, le?: number | "+Inf") => {
    const labels = { ...labelsOf(attributes), job, instance, ...le === undefined ? {} : { le } }
    const pairs = Object.entries(labels).map(([key, text]) => `${underscored(key)}=${JSON.stringify(String(text))}`)
    return `${name}{${pairs.join(",")}} ${value}\n`
  }
  return scopeMetrics.flatMap(({ metrics }) => metrics).flatMap((metric) => {
    const name = nameOf(metric)
    const numbers = metric.gauge?.dataPoints ?? metric.sum?.dataPoints ?? []
    const histograms = metric.histogram?.dataPoints ?? []
    return [
      ...numbers.map(({ asDouble, attributes }) => line(name, attributes, asDouble)),
      ...histograms.flatMap(({ attributes, bucketCounts, count, explicitBounds, sum }) => {
        let below = 0
        return [
          ...bucketCounts.map((n, i) => line(`${name}_bucket`, attributes, below += n, explicitBounds[i] ?? "+Inf")),
          line(`${name}_sum`, attributes, sum),
          line(`${name}_count`, attributes, count)
        ]
      })
    ]
  }).join("")
}
