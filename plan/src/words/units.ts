/** Times, rates and shares in words, as the command line and files have them. A number without its unit is refused. */
import * as Either from "effect/Either"

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
    return Either.left(`"${text}" is no time: write one such as 5ms or 2s`)
  }
  if (unit === "") {
    return Number(number) === 0
      ? Either.right(0)
      : Either.left(`${number} has no unit: write ${number}ms or ${number}s`)
  }
  const factor = units.get(unit)
  return factor === undefined
    ? Either.left(`"${unit}" is no unit of time: there are ms, s, min, h and d`)
    : Either.right(Number(number) * factor)
}

/** A duration that the pool takes as the life of a connection. */
export const life = (text: string): Read<number> =>
  Either.flatMap(duration(text), (millis) =>
    millis >= 1
      ? Either.right(millis)
      : Either.left(`a connection lives for at least a millisecond: write one such as 10min`))

/** `400/s`, `20/min`: how many in a second. */
export const rate = (text: string): Read<number> => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(?:\s*\/\s*(\w+))?$/.exec(text.trim()) ?? []
  if (number === undefined) return Either.left(`"${text}" is no rate: write one such as 400/s`)
  if (unit === undefined) return Either.left(`${number} has no unit: write ${number}/s or ${number}/min`)
  const length = units.get(unit)
  if (length === undefined) return Either.left(`"${unit}" is no unit of time: write ${number}/s, /min or /h`)
  return Number(number) > 0
    ? Either.right(Number(number) * 1000 / length)
    : Either.left("a rate of 0 is no load: write one such as 400/s")
}

/** `0.1%`: a part of 1. */
export const share = (text: string): Read<number> => {
  const [, number, sign] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim()) ?? []
  if (number === undefined) return Either.left(`"${text}" is no share: write one such as 0.1%`)
  if (sign === "" && Number(number) !== 0) return Either.left(`${number} has no unit: write ${number}%`)
  return Number(number) <= 100
    ? Either.right(Number(number) / 100)
    : Either.left(`a share is at most 100%, not ${number}%`)
}

/** `8`: a whole number of at least 1. */
export const count = (text: string): Read<number> =>
  /^\d+$/.test(text.trim()) && Number(text) >= 1
    ? Either.right(Number(text))
    : Either.left(`"${text}" is no whole number of at least 1`)

/** The most that one list is taken for: more would be a mistake, and take hours. */
const longestList = 100

/** `2,4,8`, `2..10` or `2..20/4` (by fours): whole numbers in order. */
export const counts = (text: string): Read<ReadonlyArray<number>> =>
  Either.map(Either.all(text.split(",").map(range)), (lists) => inOrder(lists.flat()))

const range = (text: string): Read<ReadonlyArray<number>> => {
  const [, from, to, step] = /^\s*(\d+)\s*(?:\.\.\s*(\d+)\s*(?:\/\s*(\d+)\s*)?)?$/.exec(text) ?? []
  if (from === undefined || Number(from) < 1 || step === "0") {
    return Either.left(`"${text}" is no whole number of at least 1, and no range such as 2..10 or 2..20/4`)
  }
  const [low, high, by] = [Number(from), Number(to ?? from), Number(step ?? 1)]
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
          : Either.mapLeft(duration(one), (why) => `${why}, or auto`)
      )
    ),
    (waits) => [...new Set(waits)]
  )

export const inOrder = (numbers: Iterable<number>): ReadonlyArray<number> => [...new Set(numbers)].sort((a, b) => a - b)
