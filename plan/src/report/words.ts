/** Numbers, pools and loads in words. */
import type { Candidate, Outcome } from "../model.js"
import type { Plan } from "../plan.js"
import type { Target } from "../words/target.js"
import { meets } from "../words/target.js"

/** `0`, `0.42 ms`, `38 ms`, `2.5 s`. */
export const time = (millis: number): string => {
  if (millis === 0) return "0"
  if (millis < 0.01) return "<0.01 ms"
  if (millis < 1000) return `${digits(millis)} ms`
  return millis < 120_000 ? `${digits(millis / 1000)} s` : length(millis)
}

const digits = (number: number): string => number >= 100 ? number.toFixed(0) : String(Number(number.toPrecision(2)))

/** `10 min`, `24 h`. */
export const length = (millis: number): string => {
  if (millis < 120_000) return time(millis)
  const minutes = millis / 60_000
  return minutes < 120 ? `${digits(minutes)} min` : `${digits(minutes / 60)} h`
}

export const whole = (number: number): string => Math.round(number).toLocaleString("en")

/** `1 year`, `2 years`. */
export const counted = (number: number, noun: string): string =>
  `${whole(number)} ${noun}${Math.round(number) === 1 ? "" : "s"}`

export const oneDigit = (number: number): string => number.toFixed(1)

export const percent = (part: number): string =>
  part === 0 ? "0" : part < 0.0001 ? "<0.01 %" : `${Number((100 * part).toPrecision(2))} %`

export const wait = (maxwait: Candidate["maxwait"]): string => maxwait === "auto" ? "auto" : `${maxwait} ms`

export const pool = ({ maxoverflow, maxsize, maxwait }: Candidate): string =>
  `maxsize ${maxsize}, maxwait ${wait(maxwait)}, maxoverflow ${maxoverflow}`

export const refusedPart = ({ refused, requests }: Outcome): number => refused / Math.max(1, requests)

export const targetWords = ({ refused, waits }: Target): string =>
  [...waits.map(([name, most]) => `${name} at most ${time(most)}`), `refused at most ${percent(refused)}`].join(", ")

/** Why none of the candidates is the one to take. */
export const noneWords = ({ asked: { fleet, target }, outcomes }: Plan): string =>
  outcomes.some((outcome) => meets(target, outcome))
    ? `No candidate that meets the target (${targetWords(target)}) fits into --max-connections ${fleet.maxConnections}`
    : `No candidate meets the target (${targetWords(target)})`

export const loadWords = ({ asked: { fleet }, demand, input: { source } }: Plan): string => {
  const times = source._tag === "Rate" ? source.phases.reduce((sum, { length }) => sum + length, 0) : source.duration
  const each = fleet.instances > 1 ? `each of ${fleet.instances} instances: ` : ""
  return `${each}${source.name}, ${counted(demand.requests, "request")} in ${length(times)} (${
    digits(demand.perSecond)
  }/s), ` +
    `held for ${time(demand.hold)} on average; ${oneDigit(demand.mean)} connections in use on average, ` +
    `${oneDigit(demand.worst)} in the busiest second`
}

/** As `PgPoolLayer` reads them. A bare number is milliseconds. */
export const settings = ({ asked: { options } }: Plan, { maxoverflow, maxsize, maxwait }: Candidate) => {
  const { acquireTimeout, expires, whenFull } = options
  return {
    PGPOOL_MAXSIZE: `${maxsize}`,
    PGPOOL_MAXWAIT: `${maxwait}`,
    PGPOOL_MAXOVERFLOW: `${maxoverflow}`,
    ...acquireTimeout === undefined ? {} : { PGPOOL_ACQUIRE_TIMEOUT: `${acquireTimeout}` },
    ...whenFull === undefined ? {} : { PGPOOL_WHEN_FULL: whenFull },
    ...expires === undefined ? {} : { PGPOOL_EXPIRES: `${expires}` }
  }
}

export const settingLines = (plan: Plan, candidate: Candidate): ReadonlyArray<string> =>
  Object.entries(settings(plan, candidate)).map(([name, value]) => `${name}=${value}`)
