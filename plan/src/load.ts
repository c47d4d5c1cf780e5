/** Loads as data, so that a worker thread can be told which one it plays. */
import type { Arrival, Load } from "./model.js"
import { Random } from "./random.js"

/** How long a request holds its connection, in milliseconds. */
export type Hold =
  | { readonly _tag: "Constant"; readonly millis: number }
  | { readonly _tag: "Exponential"; readonly mean: number }
  /** The logarithm of the hold is normal: half of the holds are shorter than the median. */
  | { readonly _tag: "Lognormal"; readonly median: number; readonly sigma: number }

/** A rate for a time: requests come one independently of the other, as a Poisson process. */
export interface Phase {
  /** In milliseconds. */
  readonly length: number
  readonly perSecond: number
}

export type Source =
  | { readonly _tag: "Rate"; readonly name: string; readonly phases: ReadonlyArray<Phase>; readonly hold: Hold }
  | {
    readonly _tag: "Recorded"
    readonly name: string
    readonly duration: number
    /** Milliseconds from the beginning, in order. */
    readonly at: Float64Array
    /** Of each how long it held its connection, in milliseconds. */
    readonly holds: Float64Array
  }
  /** It was recorded when the requests came, and not how long they held a connection. */
  | {
    readonly _tag: "Arrivals"
    readonly name: string
    readonly duration: number
    readonly at: Float64Array
    readonly hold: Hold
  }

export const loadOf = (source: Source): Load => {
  switch (source._tag) {
    case "Rate":
      return {
        name: source.name,
        duration: source.phases.reduce((sum, { length }) => sum + length, 0),
        // Times and holds are drawn apart: the same requests come, whatever they hold.
        arrivals: (seed) => poisson(source.phases, new Random(seed), drawn(source.hold, new Random(seed + 1)))
      }
    case "Recorded": {
      const { at, holds } = source
      return { ...source, arrivals: () => listed(at, (i) => holds[i]) }
    }
    case "Arrivals": {
      const { at, hold } = source
      return { ...source, arrivals: (seed) => listed(at, drawn(hold, new Random(seed))) }
    }
  }
}

const drawn = (hold: Hold, random: Random): () => number => {
  switch (hold._tag) {
    case "Constant":
      return () => hold.millis
    case "Exponential":
      return () => hold.mean * random.exponential()
    case "Lognormal":
      return () => hold.median * Math.exp(hold.sigma * random.normal())
  }
}

/** Requests that come by chance. */
export function* poisson(phases: ReadonlyArray<Phase>, random: Random, hold: () => number): Generator<Arrival> {
  let begin = 0
  for (const { length, perSecond } of phases) {
    const end = begin + length
    let at = begin
    while (perSecond > 0 && (at += 1000 / perSecond * random.exponential()) < end) yield { at, hold: hold() }
    begin = end
  }
}

function* listed(at: Float64Array, hold: (i: number) => number): Generator<Arrival> {
  for (let i = 0; i < at.length; i++) yield { at: at[i], hold: hold(i) }
}
