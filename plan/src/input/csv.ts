/** Arrivals from a CSV file: `time`, and `hold` if it is known. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import type { Parser } from "csv-parse"
import { CsvError, parse } from "csv-parse"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import { pipeline } from "node:stream"
import type { Hold } from "../load.js"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import type { Fields } from "./fields.js"
import { addRequest, fieldsOf } from "./fields.js"
import type { Input } from "./input.js"
import { inLine, isEmpty, unreadable } from "./input.js"
import { Requests } from "./requests.js"

interface Row {
  readonly record: ReadonlyArray<string>
  readonly info: { readonly lines: number }
}

/** What the first row says about the others. */
interface Head {
  readonly names: ReadonlyArray<string>
  readonly fields: Fields
}

export const readCsv = (file: string, hold: Hold | undefined): Effect.Effect<Input, Mistake> =>
  Effect.gen(function*() {
    const requests = new Requests()
    let head: Head | undefined
    const take = (row: Row): Mistake | undefined => {
      if (head === undefined) {
        const read = headOf(file, row)
        if (Either.isLeft(read)) return read.left
        head = read.right
        if (hasNames(row)) return
      }
      return add(file, requests, head, row)
    }
    yield* Stream.runForEachChunk(rows(file), (chunk) => takeAll(chunk, take))
    if (head === undefined || requests.length === 0) return yield* isEmpty(file)
    if (head.fields.hold === undefined && hold === undefined) {
      return yield* mistake(`${file} does not say how long requests hold a connection: say it with --hold`)
    }
    const spread = requests.spread(1)
    if (head.fields.when.kind === "end") requests.moveToBeginnings()
    return { ...requests.finish(file, hold), notes: spread ? [wholeSeconds] : [] }
  })

export const wholeSeconds = "The times are whole seconds: the requests of a second are spread over it by chance."

/** Stops at the first mistake. */
export const takeAll = <A>(items: Chunk.Chunk<A>, take: (item: A) => Mistake | undefined) =>
  Effect.suspend(() => {
    for (const item of items) {
      const wrong = take(item)
      if (wrong !== undefined) return Effect.fail(wrong)
    }
    return Effect.void
  })

const rows = (file: string): Stream.Stream<Row, Mistake> =>
  NodeStream.fromReadable(() => parserOf(file), (error) => unparsable(file, error))

/** What goes wrong with the file is told by the parser too. */
const parserOf = (file: string): Parser => {
  const parser = parse({
    bom: true,
    delimiter: [",", ";", "\t"],
    info: true,
    // The lines say themselves what they lack.
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true
  })
  pipeline(createReadStream(file), parser, () => {})
  return parser
}

const unparsable = (file: string, error: unknown): Mistake => {
  if (error instanceof CsvError && error.code === "CSV_QUOTE_NOT_CLOSED") {
    return inLine(file, Number(error["lines"]), "a quote has no end; is the file cut off?")
  }
  return error instanceof CsvError ? mistake(`${file} is no CSV file: ${error.message}`) : unreadable(file, error)
}

/** Without names the first column is when, and the second how long. */
const headOf = (file: string, row: Row): Either.Either<Head, Mistake> => {
  const names = hasNames(row)
    ? row.record.map((name) => name.toLowerCase())
    : ["time", "hold"].slice(0, row.record.length)
  return Either.mapBoth(fieldsOf(names), {
    onLeft: (why) => inLine(file, row.info.lines, `of the columns ${row.record.join(", ")} ${why}`),
    onRight: (fields) => ({ names, fields })
  })
}

const hasNames = ({ record }: Row): boolean => /^[a-z]/i.test(record[0])

const add = (file: string, requests: Requests, { fields, names }: Head, { info, record }: Row): Mistake | undefined => {
  const before = requests.last
  const wrong = addRequest(requests, fields, (name) => record[names.indexOf(name)])
  if (wrong !== undefined) return inLine(file, info.lines, wrong)
  return requests.last < before
    ? inLine(file, info.lines, "its time is before that of the line above; sort the file by time")
    : undefined
}
