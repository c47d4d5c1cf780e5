/** How long requests hold a connection, in words: `5ms`, `mean=5ms` or `p50=4ms,p99=80ms`. */
import * as Either from "effect/Either"
import { bisect, errorFunction, linearRegression } from "simple-statistics"
import type { Hold } from "../load.js"
import { shown } from "./shown.js"
import type { Read } from "./units.js"
import { duration, longest } from "./units.js"

interface Quantile {
  readonly part: number
  readonly millis: number
}

/** Fits a lognormal distribution through quantiles; two are met exactly. */
export const hold = (text: string): Read<Hold> => {
  if (!text.includes("=")) return Either.map(positive(text), (millis) => ({ _tag: "Constant", millis }))
  const [, mean] = /^\s*mean\s*=(.*)$/.exec(text) ?? []
  if (mean !== undefined) return Either.map(positive(mean), (mean) => ({ _tag: "Exponential", mean }))
  return Either.flatMap(Either.all(text.split(",").map(quantile)), fit)
}

const positive = (text: string): Read<number> =>
  Either.flatMap(
    duration(text),
    (millis) =>
      millis > 0 ? Either.right(millis) : Either.left("a hold of 0 needs no connection: write one such as 0.1ms")
  )

const quantile = (text: string): Read<Quantile> => {
  const [, percent, time] = /^\s*p(\d+(?:\.\d+)?)\s*=(.*)$/.exec(text) ?? []
  if (percent === undefined || time === undefined || Number(percent) === 0 || Number(percent) >= 100) {
    return Either.left(
      `${shown(text.trim())} is no quantile: write 5ms, mean=5ms, or quantiles such as p50=4ms,p99=80ms`
    )
  }
  return Either.map(positive(time), (millis) => ({ part: Number(percent) / 100, millis }))
}

const fit = (given: ReadonlyArray<Quantile>): Read<Hold> => {
  const quantiles = [...given].sort((a, b) => a.part - b.part)
  const [first] = quantiles
  const backwards = quantiles.find((one, i) => i > 0 && one.millis < quantiles[i - 1].millis)
  if (quantiles.length === 1) {
    return Either.left(`one quantile, p${100 * first.part}, says nothing about the others: add p99, or write 5ms`)
  }
  if (backwards !== undefined || new Set(quantiles.map(({ part }) => part)).size < quantiles.length) {
    return Either.left("each quantile is named once, and a higher one is not shorter than a lower one")
  }
  const { b, m } = linearRegression(quantiles.map(({ millis, part }) => [normalQuantile(part), Math.log(millis)]))
  const fitted = { _tag: "Lognormal", median: Math.exp(b), sigma: m } as const
  return meanOf(fitted) <= longest
    ? Either.right(fitted)
    : Either.left(
      "with these quantiles a hold is longer than a year on average: give quantiles that lie further apart, such as p50 and p99"
    )
}

/** What that part of normal values (mean 0, deviation 1) does not exceed. */
const normalQuantile = (part: number): number =>
  bisect((z) => errorFunction(z / Math.SQRT2) - (2 * part - 1), -9, 9, 100, 1e-9)

/** Milliseconds on average. */
export const meanOf = (hold: Hold): number => {
  switch (hold._tag) {
    case "Constant":
      return hold.millis
    case "Exponential":
      return hold.mean
    case "Lognormal":
      return hold.median * Math.exp(hold.sigma ** 2 / 2)
  }
}
