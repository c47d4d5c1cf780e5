/** How much a load asks for, by Little's law: the rate of the requests times how long each holds a connection. */
import type { Source } from "./load.js"
import { meanOf } from "./words/hold.js"

export interface Demand {
  readonly requests: number
  readonly perSecond: number
  /** Milliseconds on average. */
  readonly hold: number
  /** Connections in use on average, if there are always enough. */
  readonly mean: number
  /** The same in the busiest second. */
  readonly worst: number
}

export const demandOf = (source: Source): Demand => {
  switch (source._tag) {
    case "Rate": {
      const hold = meanOf(source.hold)
      const length = source.phases.reduce((sum, { length }) => sum + length, 0)
      const requests = source.phases.reduce((sum, { length, perSecond }) => sum + perSecond * length / 1000, 0)
      const worst = Math.max(...source.phases.map(({ perSecond }) => perSecond)) * hold / 1000
      return { ...averages(requests, hold, length), worst }
    }
    case "Recorded":
      return listed(source.at, source.duration, (i) => source.holds[i])
    case "Arrivals": {
      const hold = meanOf(source.hold)
      return listed(source.at, source.duration, () => hold)
    }
  }
}

const averages = (requests: number, hold: number, length: number) => ({
  requests: Math.round(requests),
  perSecond: requests * 1000 / length,
  hold,
  mean: requests * hold / length
})

const second = 1000

const listed = (at: Float64Array, duration: number, holdOf: (i: number) => number): Demand => {
  const inUse = new Float64Array(Math.ceil(duration / second) + 1)
  let held = 0
  for (let i = 0; i < at.length; i++) {
    const hold = holdOf(i)
    held += hold
    spread(inUse, at[i], Math.min(at[i] + hold, duration + second))
  }
  const worst = inUse.reduce((most, time) => Math.max(most, time / second), 0)
  return { ...averages(at.length, held / at.length, duration), worst: Math.max(worst, held / duration) }
}

/** Adds to each second how much of it lies between. */
const spread = (inUse: Float64Array, from: number, to: number): void => {
  for (let i = Math.floor(from / second); i < inUse.length && i * second < to; i++) {
    inUse[i] += Math.min(to, (i + 1) * second) - Math.max(from, i * second)
  }
}
