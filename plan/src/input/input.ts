/** What was read: a load, and what the report has to say about how it was understood. */
import type { Source } from "../load.js"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import type { Candidate, Limits } from "../model.js"

export interface Input {
  readonly source: Source
  /** When it began, in milliseconds since 1970, if it says so. */
  readonly began: number | undefined
  readonly notes: ReadonlyArray<string>
  /** Of a recording: when the limits of its pool were changed. */
  readonly resizes?: ReadonlyArray<Limits> | undefined
  /** Of a recording: the last limits of its pool. */
  readonly present?: Pick<Candidate, "maxsize" | "maxoverflow">
}

/** The place in a file where something is wrong. */
export const inLine = (file: string, line: number, why: string): Mistake => mistake(`Line ${line} of ${file}: ${why}`)

export const isEmpty = (file: string): Mistake => mistake(`${file} is empty: there is no request in it`)

export const unreadable = (file: string, error: unknown): Mistake =>
  mistake(
    isObject(error) && error.code === "ENOENT"
      ? `There is no file ${file}`
      : `${file} can't be read: ${reasonOf(error)}`
  )

const reasonOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const isObject = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null
