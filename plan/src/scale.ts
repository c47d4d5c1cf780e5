/** The same load with more requests, or with longer holds. */
import { Requests } from "./input/requests.js"
import type { Hold, Source } from "./load.js"
import { Random } from "./random.js"

export const withLongerHolds = (source: Source, factor: number): Source =>
  source._tag === "Recorded"
    ? { ...source, holds: source.holds.map((hold) => hold * factor) }
    : { ...source, hold: longer(source.hold, factor) }

const longer = (hold: Hold, factor: number): Hold => {
  switch (hold._tag) {
    case "Constant":
      return { ...hold, millis: hold.millis * factor }
    case "Exponential":
      return { ...hold, mean: hold.mean * factor }
    case "Lognormal":
      return { ...hold, median: hold.median * factor }
  }
}

/**
 * `factor` is between 1 and 2. Between two requests that were recorded another one comes with that chance, so that rushes
 * stay rushes, and last as long as they did. It holds its connection as long as the one before it.
 */
export const withMoreRequests = (source: Source, factor: number): Source => {
  if (source._tag === "Rate") {
    return { ...source, phases: source.phases.map((phase) => ({ ...phase, perSecond: phase.perSecond * factor })) }
  }
  const { at, duration, name } = source
  const holds = source._tag === "Recorded" ? source.holds : undefined
  const random = new Random(1)
  const requests = new Requests()
  at.forEach((time, i) => {
    const hold = holds?.[i] ?? NaN
    requests.add(time, hold)
    if (random.uniform() < factor - 1) requests.add(time + random.uniform() * ((at[i + 1] ?? duration) - time), hold)
  })
  return { ...requests.finish(name, source._tag === "Arrivals" ? source.hold : undefined).source, duration }
}
