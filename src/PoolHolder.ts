/**
 * Who holds the connections of a pool.
 *
 * @since 0.1.0
 */

/**
 * A span as a person reads it: its name, and the file and line where the program began it, if they are known.
 *
 * @since 0.1.0
 * @category models
 */
export interface SpanFrame {
  readonly name: string
  /** Such as `shop.ts:5:25`, with the folder that the program gave. */
  readonly location: string | undefined
}

/**
 * A borrower that holds a connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Holder {
  /** The fiber that took the connection, such as `#12`. */
  readonly fiber: string
  /** For how long it has held the connection, in milliseconds. */
  readonly heldFor: number
  /** The span in which it took the connection, and the spans around that one. Empty if it was in no span. */
  readonly takenIn: ReadonlyArray<SpanFrame>
  /** The span in which the fiber is now, and the spans around that one. Empty if it is in no span, or has ended. */
  readonly nowIn: ReadonlyArray<SpanFrame>
  /** Whether a statement is running on the connection. `undefined` if the pool can't know. */
  readonly isRunning: boolean | undefined
  /** The server's process behind the connection. `undefined` if it is not known. */
  readonly processId: number | undefined
}

/** A span and those around it, such as `transfer (shop.ts:5:25) < POST /transfer (http.ts:9:3)`. */
const chain = (frames: ReadonlyArray<SpanFrame>): string =>
  frames.map(({ location, name }) => location === undefined ? name : `${name} (${location})`).join(" < ")

/** The spans of `nowIn` as far as the one in which the connection was taken: the places of the rest are known by then. */
const upTo = (takenIn: ReadonlyArray<SpanFrame>, nowIn: ReadonlyArray<SpanFrame>): ReadonlyArray<SpanFrame> => {
  const inner = nowIn.length - takenIn.length
  const isInside = takenIn.length > 0 && inner >= 0 && takenIn.every(({ location, name }, i) => {
    const frame = nowIn[inner + i]
    return frame.name === name && frame.location === location
  })
  return isInside ? [...nowIn.slice(0, inner), { name: takenIn[0].name, location: undefined }] : nowIn
}

const howToSeeMore = "Effect.withSpan around the work gives it a name"

/**
 * Says in one line what a holder has to do with its connection: where it took the connection, and where it is now.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { PgPool, PoolHolder } from "effect-pgpool"
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* PgPool.PgPool
 *   for (const holder of yield* pool.holders) yield* Effect.log(PoolHolder.describe(holder))
 * })
 * ```
 *
 * @since 0.1.0
 * @category rendering
 */
export const describe = ({ fiber, nowIn, takenIn }: Holder): string => {
  if (takenIn.length === 0 && nowIn.length === 0) return `taken in no span, by fiber ${fiber} (${howToSeeMore})`
  const taken = takenIn.length === 0 ? "in no span" : `in ${chain(takenIn)}`
  const now = nowIn.length === 0 ? "in no span" : `in ${chain(upTo(takenIn, nowIn))}`
  return `taken ${taken}; now ${now}; fiber ${fiber}`
}

/**
 * Sums up holders by the span in which they took their connections, the largest group first: `14 taken in transfer, up
 * to 12.3 s, now in http.client POST; 6 in report, up to 900 ms`. Empty if there are none.
 *
 * @since 0.1.0
 * @category rendering
 */
export const summary = (holders: ReadonlyArray<Holder>): string => {
  const groups = new Map<string, Array<Holder>>()
  for (const holder of holders) {
    const span = holder.takenIn[0]?.name ?? noSpan
    groups.set(span, [...groups.get(span) ?? [], holder])
  }
  const sorted = [...groups].sort(([, a], [, b]) => b.length - a.length)
  const parts = sorted.slice(0, mostGroups).map(([span, group], n) => groupText(span, group, n === 0))
  const rest = sorted.slice(mostGroups).reduce((sum, [, group]) => sum + group.length, 0)
  if (rest > 0) parts.push(`${rest} elsewhere`)
  const hint = holders.length > 0 && groups.get(noSpan)?.length === holders.length ? ` (${howToSeeMore})` : ""
  return parts.join("; ") + hint
}

const noSpan = "no span"

const mostGroups = 5

const groupText = (span: string, group: ReadonlyArray<Holder>, isFirst: boolean): string => {
  const longest = formatTime(Math.max(...group.map(({ heldFor }) => heldFor)))
  const now = mostOften(group.map(({ nowIn }) => nowIn[0]?.name ?? noSpan))
  const nowText = now === span ? "" : `, now in ${now}`
  return `${group.length} ${isFirst ? "taken " : ""}in ${span}, up to ${longest}${nowText}`
}

const mostOften = (names: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)[0][0]
}

const formatTime = (millis: number): string => millis < 1000 ? `${millis} ms` : `${(millis / 1000).toFixed(1)} s`
