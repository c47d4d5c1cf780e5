/** What a program traced, in a form that two programs can be compared by. */
import { Effect, Exit, Option, Tracer } from "effect"

export interface Traced {
  readonly name: string
  readonly kind: string
  readonly parent: string | undefined
  readonly attributes: Record<string, unknown>
  readonly events: Array<string>
  /** `undefined` if it never ended. */
  ended: "success" | "failure" | undefined
}

/** How long it took, in milliseconds. */
export const tookOf = (span: Traced): number => times.get(span) ?? NaN

/** Beside the records: no two programs take as long as each other. */
const times = new WeakMap<Traced, number>()

/** Gives all spans of an effect, in the order in which they began, whatever its exit. */
export const traced = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Array<Traced>, never, R> =>
  Effect.suspend(() => {
    const all: Array<Traced> = []
    const tracer = Tracer.make({
      span(name, parent, context, links, startTime, kind) {
        const record: Traced = {
          name,
          kind,
          parent: Option.getOrUndefined(Option.map(parent, (span) => span._tag === "Span" ? span.name : "external")),
          attributes: {},
          events: [],
          ended: undefined
        }
        all.push(record)
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          spanId: String(all.length),
          traceId: "trace",
          parent,
          context,
          status: { _tag: "Started", startTime },
          attributes: new Map(),
          links,
          sampled: true,
          kind,
          end: (endTime, exit) => {
            times.set(record, Number(endTime - startTime) / 1e6)
            record.ended = Exit.isSuccess(exit) ? "success" : "failure"
          },
          attribute: (key, value) => {
            record.attributes[key] = value
          },
          event: (name) => {
            record.events.push(name)
          },
          addLinks: () => {}
        }
        return span
      },
      context: (f) => f()
    })
    return Effect.as(Effect.withTracer(Effect.exit(effect), tracer), all)
  })
