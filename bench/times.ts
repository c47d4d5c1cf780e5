/** What is told of many times. */

/** What that part of them does not exceed. They are in order. */
export const quantile = (sorted: ArrayLike<number>, part: number): number =>
  sorted[Math.floor(sorted.length * part)] ?? NaN

export interface Quantiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

export const quantilesOf = (sorted: ArrayLike<number>): Quantiles => {
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => quantile(sorted, part))
  return { p50, p99, p999 }
}

/** How long requests took, or waited for a connection, in milliseconds. */
export interface Times extends Quantiles {
  readonly mean: number
}

export const timesOf = (millis: ReadonlyArray<number>): Times => {
  const sorted = Float64Array.from(millis).sort()
  return { mean: sorted.reduce((sum, time) => sum + time, 0) / sorted.length, ...quantilesOf(sorted) }
}
