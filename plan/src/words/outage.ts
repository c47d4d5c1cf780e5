/** When the database is away, in words: `5s@12:00`, or `5s@90s` after the beginning. */
import * as Either from "effect/Either"
import type { Outage } from "../model.js"
import { shown } from "./shown.js"
import type { Read } from "./units.js"
import { duration } from "./units.js"

/** At a time of day, or so many milliseconds after the load began. */
export interface PlannedOutage {
  readonly length: number
  readonly text: string
  readonly from: { readonly _tag: "TimeOfDay" | "After"; readonly millis: number }
}

const day = 86_400_000

export const outages = (text: string): Read<ReadonlyArray<PlannedOutage>> => Either.all(text.split(",").map(outage))

const outage = (text: string): Read<PlannedOutage> => {
  const [length, from, ...rest] = text.trim().split("@")
  if (from === undefined || rest.length > 0) {
    return Either.left(`${shown(text)} is no outage: write how long and when, such as 5s@12:00 or 5s@90s`)
  }
  return Either.gen(function*() {
    return { length: yield* duration(length), from: yield* begin(from), text: text.trim() }
  })
}

const begin = (text: string): Read<PlannedOutage["from"]> => {
  if (!text.includes(":")) return Either.map(duration(text), (millis) => ({ _tag: "After", millis }))
  const [, hours, minutes, seconds = "0"] = /^(\d\d?):(\d\d)(?::(\d\d))?$/.exec(text) ?? []
  return hours === undefined || Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 59
    ? Either.left(`${shown(text)} is no time of day: write one such as 12:00`)
    : Either.right({
      _tag: "TimeOfDay",
      millis: ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
    })
}

/** When it is in a load. A load that does not say when it began begins at midnight. */
export const placeOutage = (
  { from, length, text }: PlannedOutage,
  began: number | undefined,
  duration: number
): Read<Outage> => {
  const midnight = (began ?? 0) % day
  const at = from._tag === "After" ? from.millis : (from.millis - midnight + day) % day
  return at < duration
    ? Either.right({ at, length })
    : Either.left(
      `${text} is not in the load, which ${
        began === undefined ? "begins at 0:00" : `begins at ${clock(began)} UTC`
      } and ` +
        `lasts ${Math.round(duration / 1000)} s`
    )
}

const clock = (millis: number): string => new Date(millis).toISOString().slice(11, 19)
