/** What pools of one kind need: how many connections on average, for which p99. */
import { scaleLinear } from "d3-scale"
import { Array as Arr, Order } from "effect"
import type { Goal } from "../report.js"
import { atMost } from "../report.js"

export interface Point {
  readonly name: string
  /** By which it differs from the others on its curve. */
  readonly size: number
  /** Connections, on average. */
  readonly mean: number
  /** Milliseconds; infinite if one of 100 requests failed. */
  readonly p99: number
}

export const curveOf = <A extends Point>(points: ReadonlyArray<A>): ReadonlyArray<A> =>
  Arr.sortWith(points, ({ mean }) => mean, Order.number)

/** Those that have a place in the chart. */
export const placed = <A extends Point>(points: ReadonlyArray<A>): ReadonlyArray<A> =>
  points.filter(({ p99 }) => p99 < Infinity)

/**
 * The p99 of a curve with so many connections, on the line between the points beside it. With more than it has anywhere,
 * it is that of its last point, which needs fewer. With fewer there is none.
 */
const at = (curve: ReadonlyArray<Point>, mean: number): number | undefined => {
  const next = curve.findIndex((point) => point.mean > mean)
  if (next === 0) return undefined
  if (next < 0) return curve[curve.length - 1]?.p99
  const [from, to] = [curve[next - 1], curve[next]]
  // As the chart joins them: its times are logarithmic.
  return Math.exp(scaleLinear([from.mean, to.mean], [Math.log(from.p99), Math.log(to.p99)])(mean))
}

/** That a pool is no slower than those of the other curve are with as many connections. */
export const goalOf = ({ mean, name, p99 }: Point, other: ReadonlyArray<Point>): Goal => {
  const goal = `frontier, ${name}: p99 beside pg-pool's curve`
  const theirs = at(placed(other), mean)
  return theirs === undefined && p99 < Infinity
    ? { goal: `${goal}: at most 1`, measured: "pg-pool has none so small", met: "yes" }
    : atMost(goal, p99 / (theirs ?? 1), 1)
}
