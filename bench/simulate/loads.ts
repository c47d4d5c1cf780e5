import type { Load } from "./load.js"
import { constant, exponential, lognormal } from "./load.js"

const times = <T>(n: number, items: ReadonlyArray<T>): ReadonlyArray<T> => Array.from({ length: n }, () => items).flat()

const usual = { service: constant(5), connect: 20 }

/** Night, and a day with a peak and a burst for each minute that it all takes. */
export const dayOf = (seconds: number): Load["phases"] => {
  const minutes = Math.max(1, Math.round(seconds / 60))
  const round = [[20, 200], [8, 1500], [15, 200], [1, 4000], [1, 200]] as const
  const phases = [[15 * minutes, 5], ...times(minutes, round)] as const
  return phases.map(([length, perSecond]) => [length * seconds / minutes / 60, perSecond])
}

const day = dayOf(240)

/** A burst each so many seconds over an hour of an ordinary day would take long: two minutes of it. */
const everySeconds = (seconds: number): Load["phases"] =>
  times(Math.ceil(60 / seconds), [[seconds * 0.8, 100], [seconds * 0.2, 2500]])

export const loads: ReadonlyArray<Load> = [
  { name: "day", phases: day, ...usual },
  { name: "day, service exponential", phases: day, ...usual, service: exponential(5) },
  { name: "day, service lognormal", phases: day, ...usual, service: lognormal(4, 1.5) },
  { name: "day, connect 5 ms", phases: day, ...usual, connect: 5 },
  { name: "day, connect 100 ms", phases: day, ...usual, connect: 100 },
  {
    name: "a tenth of the day, service 50 ms",
    phases: day.map(([s, n]) => [s, n / 10]),
    ...usual,
    service: constant(50)
  },
  { name: "step from 100/s to 3,000/s", phases: [[10, 100], [20, 3000], [20, 100]], ...usual },
  ...[1, 10, 60].map((seconds) => ({
    name: `2,500/s a fifth of each ${seconds} s`,
    phases: everySeconds(seconds),
    ...usual
  })),
  { name: "a holder stuck for 10 s", phases: [[30, 200]], ...usual, stuck: [[10, 10]] },
  { name: "two holders stuck for 10 s", phases: [[30, 200]], ...usual, stuck: [[10, 10], [10, 10]] },
  { name: "an outage of 5 s", phases: [[30, 200]], ...usual, outage: [10, 15] }
]
