/** Times, rates and shares in words, as the command line and files have them. A number without its unit is refused. */
import * as Either from "effect/Either"
import { shown } from "./shown.js"

/** A text that can't be read says what it would have to be. */
export type Read<A> = Either.Either<A, string>

const units: ReadonlyMap<string, number> = new Map([
  ["us", 0.001],
  ["µs", 0.001],
  ["ms", 1],
  ["s", 1000],
  ["min", 60_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000]
])

const measure = /^(\d+(?:\.\d+)?|\.\d+)\s*([a-zµ]*)$/

/** `5ms`, `1.5s`, `10min`: milliseconds. */
export const duration = (text: string): Read<number> => {
  const [, number, unit] = measure.exec(text.trim()) ?? []
  if (number === undefined || unit === undefined) {
    return Either.left(`${shown(text)} is no time: write one such as 5ms or 2s`)
  }
  if (unit === "") {
    return Number(number) === 0
      ? Either.right(0)
      : Either.left(`${brief(number)} has no unit: write ${brief(number)}ms or ${brief(number)}s`)
  }
  const factor = units.get(unit)
  if (factor === undefined) return Either.left(`${shown(unit)} is no unit of time: there are ms, s, min, h and d`)
  const millis = Number(number) * factor
  return millis <= longest
    ? Either.right(millis)
    : Either.left(`${brief(number)}${unit} is too long: a time is at most a year (365d)`)
}

/** No time is longer, in milliseconds: playing it would take for ever. */
export const longest = 365 * 86_400_000

/** A number of hundreds of digits says no more than its beginning. */
const brief = (number: string): string => number.length > 30 ? `${number.slice(0, 30)}...` : number

/** A duration that the pool takes as the life of a connection. */
export const life = (text: string): Read<number> =>
  Either.flatMap(duration(text), (millis) =>
    millis >= 1
      ? Either.right(millis)
      : Either.left(`a connection lives for at least a millisecond: write one such as 10min`))

/** A duration that the pool takes as the limit of a wait. */
export const limit = (text: string): Read<number> =>
  Either.flatMap(duration(text), (millis) =>
    millis === 0 || millis >= 1
      ? Either.right(millis)
      : Either.left(`${text.trim()} is less than a millisecond: write 0, or 1ms or more`))

/** In a second. One process can't have more requests. */
const highestRate = 1_000_000

/** `400/s`, `20/min`: how many in a second. */
export const rate = (text: string): Read<number> => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(?:\s*\/\s*(\w+))?$/.exec(text.trim()) ?? []
  if (number === undefined) return Either.left(`${shown(text)} is no rate: write one such as 400/s`)
  if (unit === undefined) {
    return Either.left(`${brief(number)} has no unit: write ${brief(number)}/s or ${brief(number)}/min`)
  }
  const length = units.get(unit)
  if (length === undefined) {
    return Either.left(`${shown(unit)} is no unit of time: write ${brief(number)}/s, /min or /h`)
  }
  if (Number(number) === 0) return Either.left("a rate of 0 is no load: write one such as 400/s")
  const perSecond = Number(number) * 1000 / length
  return perSecond <= highestRate
    ? Either.right(perSecond)
    : Either.left(`${brief(number)}/${unit} is too much: a rate is at most 1000000/s`)
}

/** `0.1%`: a part of 1. */
export const share = (text: string): Read<number> => {
  const [, number, sign] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim()) ?? []
  if (number === undefined) return Either.left(`${shown(text)} is no share: write one such as 0.1%`)
  if (sign === "" && Number(number) !== 0) return Either.left(`${brief(number)} has no unit: write ${brief(number)}%`)
  return Number(number) <= 100
    ? Either.right(Number(number) / 100)
    : Either.left(`a share is at most 100%, not ${brief(number)}%`)
}

/** `8`: a whole number of at least 1. */
const wholeUpTo = (most: number) => (text: string): Read<number> => {
  if (!/^\d+$/.test(text.trim()) || Number(text) < 1) {
    return Either.left(`${shown(text)} is no whole number of at least 1`)
  }
  return Number(text) <= most
    ? Either.right(Number(text))
    : Either.left(`${brief(text.trim())} is too many: at most ${most}`)
}

/** More connections, cores or processes than any server has would be a slip of the finger, and take all memory. */
const highestCount = 100_000

export const count = wholeUpTo(highestCount)

/** It counts nothing. */
export const seed = wholeUpTo(Number.MAX_SAFE_INTEGER)

/** The most that one list is taken for: more would be a mistake, and take hours. */
const longestList = 100

/** `2,4,8`, `2..10` or `2..20/4` (by fours): whole numbers in order. */
export const counts = (text: string): Read<ReadonlyArray<number>> =>
  Either.map(Either.all(text.split(",").map(range)), (lists) => inOrder(lists.flat()))

const range = (text: string): Read<ReadonlyArray<number>> => {
  const [, from, to, step] = /^\s*(\d+)\s*(?:\.\.\s*(\d+)\s*(?:\/\s*(\d+)\s*)?)?$/.exec(text) ?? []
  if (from === undefined || Number(from) < 1 || step === "0") {
    return Either.left(`${shown(text)} is no whole number of at least 1, and no range such as 2..10 or 2..20/4`)
  }
  const [low, high, by] = [Number(from), Number(to ?? from), Number(step ?? 1)]
  if (Math.max(low, high) > highestCount) {
    return Either.left(`${brief(text.trim())} is too many: at most ${highestCount}`)
  }
  if (high < low) return Either.left(`the range ${text} runs backwards: write ${high}..${low}`)
  const length = Math.floor((high - low) / by) + 1
  return length > longestList
    ? Either.left(
      `the range ${text} has ${length} numbers: take steps, such as ${low}..${high}/${Math.ceil(length / 10)}`
    )
    : Either.right(Array.from({ length }, (_, i) => low + i * by))
}

/** `auto,0ms,200ms`: times, or as the pool forecasts. */
export const waits = (text: string): Read<ReadonlyArray<number | "auto">> =>
  Either.map(
    Either.all(
      text.split(",").map((one) =>
        one.trim() === "auto"
          ? Either.right("auto" as const)
          : Either.mapLeft(limit(one), (why) => `${why}, or auto`)
      )
    ),
    (waits) => [...new Set(waits)]
  )

export const inOrder = (numbers: Iterable<number>): ReadonlyArray<number> => [...new Set(numbers)].sort((a, b) => a - b)
