/** What stands in a line of a file: when a request came, or when it ended, and how long it held a connection. */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { shown } from "../words/shown.js"
import type { Read } from "../words/units.js"
import { duration } from "../words/units.js"
import type { Requests } from "./requests.js"

/** The name says what a number without a unit is: `time` and `time_ms` are milliseconds, `time_s` seconds. */
interface Field {
  readonly name: string
  readonly kind: "time" | "end" | "hold"
  readonly millis: number
}

export interface Fields {
  readonly when: Field
  readonly hold: Field | undefined
}

const factors: Readonly<Record<string, number>> = { ns: 1e-6, us: 0.001, ms: 1, s: 1000 }

const fieldOf = (name: string): Field | undefined => {
  const [, kind, unit = "ms"] = /^(time|end|hold)(?:_(ns|us|ms|s))?$/.exec(name) ?? []
  return kind === undefined ? undefined : { name, kind: kind as Field["kind"], millis: factors[unit] }
}

/** The fields among these names. */
export const fieldsOf = (names: ReadonlyArray<string>): Read<Fields> => {
  const fields = names.map(fieldOf).filter((field) => field !== undefined)
  const [when, ...more] = fields.filter(({ kind }) => kind !== "hold")
  const [hold, ...holds] = fields.filter(({ kind }) => kind === "hold")
  if (when === undefined) {
    return Either.left("none is named time, time_s, time_us, time_ns, or end, for when a request ended")
  }
  if (more.length + holds.length > 0) return Either.left("only one of them says when, and one how long")
  if (when.kind === "end" && hold === undefined) {
    return Either.left(`where ${when.name} says when a request ended, hold has to say how long it took`)
  }
  return Either.right({ when, hold })
}

/** Adds the request of a line, or says what is wrong with it. */
export const addRequest = (
  requests: Requests,
  { hold, when }: Fields,
  textOf: (name: string) => string | undefined
): string | undefined => {
  const time = readTime(when, textOf(when.name))
  if (Either.isLeft(time)) return time.left
  const held = hold === undefined ? Either.right(NaN) : readHold(hold, textOf(hold.name))
  if (Either.isLeft(held)) return held.left
  requests.add(time.right, held.right)
}

const missing = (name: string) => Either.left(`it has no ${name}; is it cut off?`)

const bareNumber = /^\d+(\.\d+)?$/

const readTime = ({ kind, millis, name }: Field, text: string | undefined): Read<number> => {
  if (text === undefined || text === "") return missing(name)
  if (!bareNumber.test(text)) {
    return Either.fromOption(dateOf(text), () => noTime(text))
  }
  const time = Number(text) * millis
  // Dates that are read in the wrong unit would make a load a thousand times as dense, or as thin.
  const areSeconds = millis === 1 && time > 1e9 && time < 1e10
  const unit = areSeconds || time >= noDate ? unitOf(Number(text)) : undefined
  return unit === undefined
    ? Either.right(time)
    : Either.left(
      `${
        shown(text).slice(1, -1)
      } looks like ${unit.words} since 1970, which ${name} is not: name it ${kind}_${unit.name}`
    )
}

/** The beginning of a date is what is left of one that is cut off. */
const noTime = (text: string): string =>
  `${shown(text)} is no time that can be read${
    /^\d{4}-[\d-]*(?:[T ][\d:.]*)?$/.test(text)
      ? "; is it cut off?"
      : ": write one such as 1700.5 or 2026-05-01T12:00:00Z"
  }`

/** As milliseconds since 1970 that is in the year 5138. */
const noDate = 1e14

/** In which unit a number is a date of our time. */
const unitOf = (date: number) => units.find(({ least }) => date >= least)

const units = [
  { least: 1e17, name: "ns", words: "nanoseconds" },
  { least: 1e14, name: "us", words: "microseconds" },
  { least: 1e11, name: "ms", words: "milliseconds" },
  { least: 0, name: "s", words: "seconds" }
]

const readHold = ({ millis, name }: Field, text: string | undefined): Read<number> => {
  if (text === undefined || text === "") return missing(name)
  return bareNumber.test(text) ? Either.right(Number(text) * millis) : duration(text)
}

const iso = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?) ?(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/
const clf = /^(\d\d)\/(\w{3})\/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)$/

/** `2026-05-01T12:00:00.5Z`, `2026-05-01 12:00:00`, which is UTC, and that of access logs: `01/May/2026:12:00:00 +0200`. */
const dateOf = (text: string): Option.Option<number> => {
  const inLog = clf.exec(text)
  if (inLog !== null) return parsed(`${inLog[1]} ${inLog[2]} ${inLog[3]} ${inLog[4]} ${inLog[5]}${inLog[6]}`)
  const inIso = iso.exec(text)
  return inIso === null ? Option.none() : parsed(`${inIso[1]}T${inIso[2].replace(",", ".")}${zone(inIso[3])}`)
}

const zone = (text: string | undefined): string =>
  text === undefined || text === "UTC" || text === "Z"
    ? "Z"
    : `${text.slice(0, 3)}:${text.slice(3).replace(":", "") || "00"}`

const parsed = (text: string): Option.Option<number> => {
  const millis = Date.parse(text)
  return Number.isNaN(millis) ? Option.none() : Option.some(millis)
}
