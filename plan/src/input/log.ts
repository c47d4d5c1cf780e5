/** Arrivals from a log, by a pattern with groups named as the columns of a CSV file are. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { Hold } from "../load.js"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import { shown } from "../words/shown.js"
import type { Fields } from "./fields.js"
import { addRequest, fieldsOf } from "./fields.js"
import type { Input } from "./input.js"
import { inLine, isEmpty } from "./input.js"
import type { Line } from "./lines.js"
import { linesOf } from "./lines.js"
import { Requests } from "./requests.js"
import { spreadTimes, takeAll } from "./take.js"

const common = String.raw`^\S+ \S+ \S+ \[(?<time>[^\]]+)\] "(?:[^"\\]|\\.)*" \d{3} \S+`
const combined = String.raw`${common} "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"`

/** The formats that servers are often set to. */
export const presets: Readonly<Record<string, string>> = {
  common,
  combined,
  /** `combined`, and `$request_time`. nginx writes when a request ended. */
  nginx: String.raw`${combined.replace("<time>", "<end>")} (?<hold_s>\d+\.\d+)`,
  /** `combined`, and `%D`. Apache writes when a request came. */
  apache: String.raw`${combined} (?<hold_us>\d+)`
}

export interface Pattern {
  readonly regex: RegExp
  readonly fields: Fields
}

export const patternOf = (text: string): Either.Either<Pattern, string> =>
  Either.flatMap(
    Either.try({
      try: () => new RegExp(presets[text] ?? text),
      catch: (error) =>
        `it is neither ${Object.keys(presets).join(", ")} nor a regular expression: ${shown(String(error))}`
    }),
    (regex) =>
      Either.mapBoth(fieldsOf([...regex.source.matchAll(/\(\?<(\w+)>/g)].map(([, name]) => name)), {
        onLeft: (why) => `of its named groups ${why}: write (?<time>...), and (?<hold_s>...) if the log has it`,
        onRight: (fields) => ({ regex, fields })
      })
  )

export const readLog = (
  file: string,
  { fields, regex }: Pattern,
  hold: Hold | undefined
): Effect.Effect<Input, Mistake> =>
  Effect.gen(function*() {
    const requests = new Requests()
    let first: Line | undefined
    let others = 0
    const take = (line: Line): Mistake | undefined => {
      first ??= line
      const found = regex.exec(line.text)
      if (found === null && line.isOpen && requests.length > 0) return inLine(file, line.number, cutOff)
      if (found === null) return void others++
      const wrong = addRequest(requests, fields, (name) => found.groups?.[name])
      return wrong === undefined ? undefined : inLine(file, line.number, wrong)
    }
    yield* Stream.runForEachChunk(linesOf(file), (chunk) => takeAll(chunk, take))
    if (first === undefined) return yield* isEmpty(file)
    if (requests.length === 0) return yield* noLineFits(file, first)
    if (fields.hold === undefined && hold === undefined) {
      return yield* mistake(`The pattern does not say how long requests hold a connection: say it with --hold`)
    }
    const notes = yield* spreadTimes(file, requests)
    if (fields.when.kind === "end") requests.moveToBeginnings()
    return {
      ...requests.finish(file, hold),
      notes: [
        ...others > 0 ? [`Lines that do not fit the pattern are left out: ${others}.`] : [],
        ...notes
      ]
    }
  })

const cutOff =
  "it does not fit the pattern and has no end: the file is cut off; remove this line to plan with the others"

const noLineFits = (file: string, { text }: Line): Mistake =>
  mistake(`No line of ${file} fits the pattern. The first one is: ${shown(text)}`)
