/** How much memory a client takes while it reads a stream, measured in a process of its own. */
import { Effect, Schema } from "effect"
import * as Child from "../child.js"
import type { Name } from "../clients.js"
import { names } from "../clients.js"

const Question = Schema.Struct({
  name: Schema.Literal(...Object.values(names)),
  url: Schema.String
})

/** Bytes. */
const Use = Schema.Struct({
  heap: Schema.Number,
  /** All memory of the process. */
  rss: Schema.Number
})

const Peak = Schema.Struct({
  before: Use,
  /** The most in the first quarter of the time. */
  early: Use,
  /** The most of all. */
  most: Use
})

export type Use = typeof Use.Type
export type Peak = typeof Peak.Type

export const questionOf = Schema.decode(Schema.parseJson(Question))

const peakOf = Schema.decode(Schema.parseJson(Peak))

/** Of one stream. */
export const measure = (name: Name, url: string): Effect.Effect<Peak, unknown> =>
  Effect.flatMap(Child.run("./queries/peakMain.ts", JSON.stringify({ name, url })), peakOf)
