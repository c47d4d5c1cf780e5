/** @internal */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"

/** What is measured. @internal */
export interface Instrument {
  readonly name: string
  /** As UCUM writes it. Exporters take it from the tag `unit`. */
  readonly unit: string
  readonly description: string
}

/** @internal */
export type Attributes = Readonly<Record<string, string | number>>

/** Notes a value. @internal */
export type Note = (value: number) => void

/**
 * Makes metrics that have some attributes in common. Each is taken from the registry once, with all of its tags: then an
 * update takes ten nanoseconds, and a hundred times as long where the tags come with the update.
 *
 * Metrics with the same name and tags are one metric. So what two pools of one name count adds up.
 *
 * @internal
 */
export class Instruments {
  constructor(
    /** Those that the program gives to all metrics, by `Effect.labelMetrics`. */
    private readonly labels: ReadonlyArray<MetricLabel.MetricLabel>,
    private readonly common: Attributes
  ) {}

  with(attributes: Attributes): Instruments {
    return new Instruments(this.labels, { ...this.common, ...attributes })
  }

  /** Something that only grows. */
  counter({ description, name, unit }: Instrument): Note {
    return this.registered(MetricKey.counter(name, { description, incremental: true }), unit)
  }

  /** Something that grows and shrinks by what is noted. */
  upDownCounter({ description, name, unit }: Instrument): Note {
    return this.registered(MetricKey.counter(name, { description }), unit)
  }

  /** The latest value. */
  gauge({ description, name, unit }: Instrument): Note {
    return this.registered(MetricKey.gauge(name, { description }), unit)
  }

  /** It is registered with its first value: what is exported of an empty one makes no sense. */
  histogram({ description, name, unit }: Instrument, bounds: ReadonlyArray<number>): Note {
    const key = this.tagged(MetricKey.histogram(name, MetricBoundaries.fromIterable(bounds), description), unit)
    let note: Note | undefined
    return (value) => (note ??= Metric.globalMetricRegistry.get(key).update)(value)
  }

  /** The others begin with 0, so that their first change can be seen. */
  private registered(key: MetricKey.MetricKey<NumberType>, unit: string): Note {
    return Metric.globalMetricRegistry.get(this.tagged(key, unit)).update
  }

  private tagged(key: MetricKey.MetricKey<NumberType>, unit: string): MetricKey.MetricKey<NumberType> {
    const own = Object.entries({ ...this.common, unit }).map(([name, value]) => MetricLabel.make(name, String(value)))
    return MetricKey.taggedWithLabels(key, [...this.labels, ...own])
  }
}

type NumberType = MetricKeyType.MetricKeyType<number, unknown>
