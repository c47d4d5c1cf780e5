/** The rule: with auto nobody waits longer than with the better of the two by more than a tenth. */
import type { Times } from "../times.js"

/** By what each of the three is had. */
export const waits = { auto: "auto", fixed: 200, none: 0 } as const

export const tenth = 1.1

/** Milliseconds by which more nobody sees, and by which the clock, which has whole ones, may be wrong. */
export const tolerance = 1

/** By how many times the mean, the median or the 99th percentile is as long as it may be: the worst of the three. */
export const excess = (auto: Times, fixed: Times, none: Times): number =>
  Math.max(
    ...(["mean", "p50", "p99"] as const).map((key) => auto[key] / (tenth * Math.min(fixed[key], none[key]) + tolerance))
  )
