/** What is told of many times. */

/** What that part of them does not exceed. They are in order. */
export const quantile = (sorted: ArrayLike<number>, part: number): number =>
  sorted[Math.floor(sorted.length * part)] ?? NaN

/** How long requests took, or waited for a connection, in milliseconds. */
export interface Times {
  readonly mean: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

export const timesOf = (millis: ReadonlyArray<number>): Times => {
  const sorted = Float64Array.from(millis).sort()
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => quantile(sorted, part))
  return { mean: sorted.reduce((sum, time) => sum + time, 0) / sorted.length, p50, p99, p999 }
}
