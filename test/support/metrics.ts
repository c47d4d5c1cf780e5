/** What the registry of metrics says, by the name of a pool. */
import { Metric, MetricKeyType, MetricState } from "effect"

export interface Sample {
  readonly name: string
  readonly kind: "counter" | "upDownCounter" | "gauge" | "histogram"
  readonly unit: string | undefined
  /** All tags but the unit. */
  readonly attributes: Record<string, string>
  /** Of a histogram: how many values there were. */
  readonly value: number
  /** Of a histogram. */
  readonly sum?: number
  readonly bounds?: ReadonlyArray<number>
}

const poolName = "db.client.connection.pool.name"

export const samplesOf = (pool: string): ReadonlyArray<Sample> =>
  Metric.unsafeSnapshot().flatMap(({ metricKey, metricState }): Array<Sample> => {
    const { unit, ...attributes } = Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value]))
    if (attributes[poolName] !== pool) return []
    const base = { name: metricKey.name, unit, attributes }
    if (MetricState.isCounterState(metricState)) {
      const { keyType } = metricKey
      const kind = MetricKeyType.isCounterKey(keyType) && keyType.incremental ? "counter" : "upDownCounter"
      return [{ ...base, kind, value: Number(metricState.count) }]
    }
    if (MetricState.isGaugeState(metricState)) return [{ ...base, kind: "gauge", value: Number(metricState.value) }]
    if (!MetricState.isHistogramState(metricState)) throw new Error(`${metricKey.name} is of an unknown kind`)
    const { buckets, count: value, sum } = metricState
    return [{ ...base, kind: "histogram", value, sum, bounds: buckets.map(([bound]) => bound) }]
  })

/** The value of a metric that has this attribute, by any of its attributes; `undefined`: there is no such metric. */
export const valueOf = (pool: string, name: string, attribute?: string): number | undefined =>
  sampleOf(pool, name, attribute)?.value

export const sampleOf = (pool: string, name: string, attribute?: string): Sample | undefined =>
  samplesOf(pool).find((sample) =>
    sample.name === name && (attribute === undefined || Object.values(sample.attributes).includes(attribute))
  )
