/** Arrivals from a CSV file: `time`, and `hold` if it is known. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import type { Options, Parser } from "csv-parse"
import { CsvError, parse } from "csv-parse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { TransformOptions } from "node:stream"
import { pipeline, Readable } from "node:stream"
import type { Hold } from "../load.js"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import { shown } from "../words/shown.js"
import { openFile } from "./bytes.js"
import type { Fields } from "./fields.js"
import { addRequest, fieldsOf } from "./fields.js"
import type { Input } from "./input.js"
import { inLine, isEmpty, unreadable } from "./input.js"
import { Requests } from "./requests.js"
import { spreadTimes, takeAll } from "./take.js"

type Row = ReadonlyArray<string>

/** What the first row says about the others. */
interface Head {
  readonly names: ReadonlyArray<string>
  readonly fields: Fields
}

export const readCsv = (file: string, hold: Hold | undefined): Effect.Effect<Input, Mistake> =>
  Effect.gen(function*() {
    const requests = new Requests()
    let head: Head | undefined
    let line = 0
    const take = (row: Row): Mistake | undefined => {
      line++
      if (row.length === 1 && row[0] === "") return
      if (head === undefined) {
        const read = headOf(file, line, row)
        if (Either.isLeft(read)) return read.left
        head = read.right
        if (hasNames(row)) return
      }
      return add(file, line, requests, head, row)
    }
    yield* Stream.runForEachChunk(rows(file), (chunk) => takeAll(chunk, take))
    if (head === undefined || requests.length === 0) return yield* isEmpty(file)
    if (head.fields.hold === undefined && hold === undefined) {
      return yield* mistake(`${file} does not say how long requests hold a connection: say it with --hold`)
    }
    const notes = yield* spreadTimes(file, requests)
    if (head.fields.when.kind === "end") requests.moveToBeginnings()
    return { ...requests.finish(file, hold), notes }
  })

const rows = (file: string): Stream.Stream<Row, Mistake> =>
  Stream.unwrap(Effect.map(open(file), ({ begin, source }) =>
    NodeStream.fromReadable(
      () => parserOf(source, delimiterOf(begin)),
      (error) => unparsable(file, error)
    )))

/** The first line is not looked for in more bytes. */
const longestLine = 65_536

/** The file, and what it begins with: its first line, at least. */
const open = (file: string): Effect.Effect<{ readonly source: Readable; readonly begin: string }, Mistake> =>
  Effect.tryPromise({
    try: async (signal) => {
      const stream = openFile(file)
      signal.addEventListener("abort", () => stream.destroy())
      const chunks = stream.iterator() as AsyncGenerator<Buffer>
      const read: Array<Buffer> = []
      let begin = ""
      while (firstLine.exec(withoutQuoted(begin)) === null && begin.length < longestLine) {
        const { done, value } = await chunks.next()
        if (done === true) break
        read.push(value)
        begin += value.toString()
      }
      return { begin, source: Readable.from(concat(read, chunks)) }
    },
    catch: (error) => unreadable(file, error)
  })

async function* concat<A>(...parts: ReadonlyArray<Iterable<A> | AsyncIterable<A>>): AsyncGenerator<A> {
  for (const part of parts) yield* part
}

const firstLine = /^.*[\r\n]/

const withoutQuoted = (text: string): string => text.replaceAll(/"[^"]*"/g, "").trimStart()

/** One for the whole file: a decimal comma, or that of a time, is none where the first line has another. */
const delimiterOf = (begin: string): string => {
  const [line] = withoutQuoted(begin).split(/[\r\n]/, 1)
  return ["\t", ";"].find((delimiter) => line.includes(delimiter)) ?? ","
}

const settings: Options & TransformOptions = {
  bom: true,
  // The rows say themselves what they lack.
  relax_column_count: true,
  trim: true,
  // Millions of rows come in fewer steps.
  readableHighWaterMark: 1024
}

/** What goes wrong with the file is told by the parser too. */
const parserOf = (source: Readable, delimiter: string): Parser => {
  const parser = parse({ ...settings, delimiter })
  pipeline(source, parser, () => {})
  return parser
}

const unparsable = (file: string, error: unknown): Mistake => {
  if (error instanceof CsvError && error.code === "CSV_QUOTE_NOT_CLOSED") {
    // The parser counts the rows that are whole. The quote has taken all lines after them.
    return inLine(file, Number(error["records"]) + 1, "a quote has no end; is the file cut off?")
  }
  return error instanceof CsvError
    ? mistake(`${file} is no CSV file: ${shown(error.message)}`)
    : unreadable(file, error)
}

/** Without names the first column is when, and the second how long. */
const headOf = (file: string, line: number, row: Row): Either.Either<Head, Mistake> => {
  const names = hasNames(row) ? row.map((name) => name.toLowerCase()) : ["time", "hold"].slice(0, row.length)
  return Either.mapBoth(fieldsOf(names), {
    onLeft: (why) => inLine(file, line, `of the columns ${row.map((name) => shown(name)).join(", ")} ${why}`),
    onRight: (fields) => ({ names, fields })
  })
}

const hasNames = (row: Row): boolean => /^[a-z]/i.test(row[0])

const add = (
  file: string,
  line: number,
  requests: Requests,
  { fields, names }: Head,
  row: Row
): Mistake | undefined => {
  if (row.slice(names.length).some((cell) => cell !== "")) return inLine(file, line, tooManyCells(row, names))
  const before = requests.last
  const wrong = addRequest(requests, fields, (name) => row[names.indexOf(name)])
  if (wrong !== undefined) return inLine(file, line, wrong)
  return requests.last < before
    ? inLine(file, line, "its time is before that of the line above; sort the file by time")
    : undefined
}

const tooManyCells = (row: Row, names: Row): string =>
  `it has ${row.length} cells, and there are ${names.length} columns (${
    shown(names.join(", ")).slice(1, -1)
  }): name all ` +
  "columns in the first line, and put cells that have a comma in quotes"
