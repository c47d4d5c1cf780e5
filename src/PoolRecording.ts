/**
 * Recordings of what becomes of a pool's callers, as lines of JSON: for later, and for another program.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readable } from "./internal/readable.js"
import type * as PoolEvent from "./PoolEvent.js"
import type { PoolStats } from "./PoolStats.js"

/**
 * The version of the format that this module writes, and the only one that it reads.
 *
 * @since 0.1.0
 * @category schemas
 */
export const version = 1

const millis = Schema.Finite.pipe(Schema.nonNegative())

/**
 * The first line of a recording: the pool, its limits at that time, and when the recording began, in milliseconds since
 * 1970.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Header = Schema.TaggedStruct("Header", {
  version: Schema.Literal(version),
  name: Schema.String,
  began: Schema.Finite,
  maxsize: Schema.Int,
  maxoverflow: Schema.Int
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Header = typeof Header.Type

/**
 * One caller: when it asked, in milliseconds since 1970, how long it waited and then held a connection, in milliseconds,
 * what became of it, and the name of the span in which it asked. The fields are those of `PoolEvent.Loan`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Loan = Schema.TaggedStruct("Loan", {
  asked: Schema.Finite,
  waited: millis,
  held: millis,
  outcome: Schema.Literal(
    "returned",
    "cutOff",
    "interrupted",
    "failed",
    "acquireTimeout",
    "outageTimeout",
    "maxwait",
    "connectTimeout",
    "connectRetry",
    "handOver",
    "queueFull",
    "closed"
  ),
  span: Schema.optional(Schema.String)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Loan = typeof Loan.Type

/**
 * The limits have changed at `at`, in milliseconds since 1970. Loans are in the order in which they ended, and a change
 * stands among those that ended at about that time.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Resized = Schema.TaggedStruct("Resized", {
  at: Schema.Finite,
  maxsize: Schema.Int,
  maxoverflow: Schema.Int
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Resized = typeof Resized.Type

/**
 * So many loans are missing here: they ended faster than they were written. It was noticed at `at`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Dropped = Schema.TaggedStruct("Dropped", {
  at: Schema.Finite,
  count: Schema.Int.pipe(Schema.positive())
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Dropped = typeof Dropped.Type

/**
 * A line of a recording.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Line = Schema.Union(Header, Loan, Resized, Dropped)

/**
 * @since 0.1.0
 * @category schemas
 */
export type Line = typeof Line.Type

/**
 * The last line of a recording has no end: its process ended while it wrote, or is about to write the rest. All lines
 * before it are whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface CutShort {
  readonly _tag: "CutShort"
  /** Its number, counted from 1. */
  readonly line: number
}

/**
 * A file is no recording that this version can read. The message says which line is wrong, and why.
 *
 * @since 0.1.0
 * @category errors
 */
export class BadRecording extends readable(Data.TaggedError("BadRecording"))<{
  /** The number of the line, counted from 1. */
  readonly line: number
  readonly reason: string
}> {
  override get message(): string {
    return `Line ${this.line} of the recording: ${this.reason}`
  }
}

/**
 * What is recorded: an `ElasticPool` and a `PgPool` have it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Recordable {
  readonly stats: Effect.Effect<PoolStats>
  readonly loans: Stream.Stream<PoolEvent.Loan | PoolEvent.Dropped>
  readonly events: Stream.Stream<PoolEvent.PoolEvent>
}

// --- writing ---

const encode = Schema.encodeSync(Schema.parseJson(Line))

/**
 * The lines of a recording, each with its end, for any `Sink`. It begins when the stream does, and ends when the pool is
 * closed. A reader that is slow does not slow the pool: then `Dropped` lines say how much is missing.
 *
 * @example
 * ```ts
 * import { Effect, Sink, Stream } from "effect"
 * import { PgPool, PoolRecording } from "effect-pgpool"
 *
 * // Counts the bytes of a recording.
 * const program = Effect.flatMap(PgPool.PgPool, (pool) =>
 *   Stream.run(PoolRecording.lines(pool), Sink.foldLeft(0, (size, line) => size + line.length)))
 * ```
 *
 * @since 0.1.0
 * @category writing
 */
export const lines = (pool: Recordable): Stream.Stream<string> =>
  Stream.unwrap(Effect.gen(function*() {
    const headerIsOut = yield* Effect.makeLatch()
    const header = Effect.zipWith(pool.stats, Clock.currentTimeMillis, headerOf)
    const begin = Stream.concat(Stream.fromEffect(header), Stream.execute(headerIsOut.open))
    const afterIt = <Line>(lines: Stream.Stream<Line>) =>
      Stream.mapChunksEffect(lines, (chunk) => headerIsOut.whenOpen(Effect.succeed(chunk)))
    // The first of two begins first: so no change of the limits is missed after those of the header have been read.
    const all = Stream.merge(afterIt(resizes(pool)), Stream.merge(afterIt(pool.loans), begin))
    return Stream.map(all, (line) => `${encode(line)}\n`)
  }))

/** What a listener was too slow for may have changed the limits too. */
const resizes = ({ events, stats }: Recordable): Stream.Stream<Resized> =>
  Stream.filterMapEffect(events, (event) => {
    if (event._tag === "Resized") return Option.some(Effect.succeed(event))
    return event._tag === "Dropped"
      ? Option.some(
        Effect.map(stats, ({ maxoverflow, maxsize }) => Resized.make({ at: event.at, maxsize, maxoverflow }))
      )
      : Option.none()
  })

const headerOf = ({ maxoverflow, maxsize, name }: PoolStats, began: number): Header => ({
  _tag: "Header",
  version,
  name,
  began,
  maxsize,
  maxoverflow
})

/**
 * Writes a recording into a new file, until the pool is closed or the effect is interrupted. Each line is written as soon
 * as its loan has ended. A file that is there already is not touched: the effect fails with `AlreadyExists`.
 *
 * Fork it where the pool still is in use, so that it ends before the pool.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { PgPool, PoolRecording } from "effect-pgpool"
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* PgPool.PgPool
 *   yield* Effect.forkScoped(PoolRecording.record(pool, `shop-${process.pid}.ndjson`))
 * })
 * ```
 *
 * @since 0.1.0
 * @category writing
 */
export const record = (
  pool: Recordable,
  path: string
): Effect.Effect<void, PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    lines(pool).pipe(
      Stream.mapChunks((lines) => Chunk.of(Chunk.join(lines, ""))),
      Stream.encodeText,
      Stream.run(fs.sink(path, { flag: "wx" }))
    ))

// --- reading ---

const bad = (line: number, reason: string): BadRecording => new BadRecording({ line, reason })

const parse = (text: string, line: number): Effect.Effect<unknown, BadRecording> =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => bad(line, `it is no JSON: ${JSON.stringify(text.slice(0, mostShown))}`)
  })

const mostShown = 60

const decodeLine = Schema.decodeUnknownEither(Line)

/** What every version of the format has. */
const hasVersion = Schema.is(Schema.Struct({ _tag: Schema.Literal("Header"), version: Schema.Number }))

const check = (value: unknown, line: number): Effect.Effect<Line, BadRecording> => {
  const isFirst = line === 1
  if (isFirst && !hasVersion(value)) {
    return Effect.fail(bad(line, "it is no header, so the file is no recording of a pool"))
  }
  if (isFirst && hasVersion(value) && value.version !== version) {
    const reason = `the recording has version ${value.version} of the format, and this effect-pgpool reads version ` +
      `${version}; read it with the effect-pgpool that has written it`
    return Effect.fail(bad(line, reason))
  }
  if (!isFirst && hasVersion(value)) return Effect.fail(bad(line, "another recording begins here; read each by itself"))
  return Either.mapLeft(decodeLine(value), ({ issue }) => bad(line, issuesOf(issue)))
}

const issuesOf = (issue: ParseResult.ParseIssue): string =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)
    .map(({ message, path }) => path.length === 0 ? message : `${path.join(".")}: ${message}`)
    .join("; ")

/** Is put behind the last line. JSON has no such character. */
const end = "\u0004"

/**
 * Reads a recording from its bytes, line by line: it may be longer than the memory. The first line is the `Header`. A last
 * line that is not whole is told as `CutShort`, and anything else that is wrong is a `BadRecording`.
 *
 * @since 0.1.0
 * @category reading
 */
export const decode = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Line | CutShort, BadRecording | E, R> =>
  Stream.decodeText(bytes).pipe(
    Stream.concat(Stream.make(end)),
    Stream.splitLines,
    Stream.zipWithNext,
    Stream.zipWithIndex,
    Stream.mapEffect(([[text, next], index]) =>
      Option.isSome(next)
        ? Effect.asSome(decodeWhole(text, index + 1))
        : decodeLast(text.slice(0, -end.length), index + 1)
    ),
    Stream.filterMap(identity)
  )

const decodeWhole = (text: string, line: number): Effect.Effect<Line, BadRecording> =>
  Effect.flatMap(parse(text, line), (value) => check(value, line))

/** What stands behind the last end of a line: nothing, if the recording is whole. */
const decodeLast = (text: string, line: number): Effect.Effect<Option.Option<Line | CutShort>, BadRecording> => {
  if (text !== "") {
    return Effect.matchEffect(parse(text, line), {
      onFailure: () => Effect.succeedSome<CutShort>({ _tag: "CutShort", line }),
      onSuccess: (value) => Effect.asSome(check(value, line))
    })
  }
  return line === 1
    ? Effect.fail(bad(line, "the file is empty, and a recording begins with a header"))
    : Effect.succeedNone
}

/**
 * Reads the recording in a file; see `decode`.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { PoolRecording } from "effect-pgpool"
 *
 * // The longest that a caller has waited, in milliseconds.
 * const longestWait = PoolRecording.read("shop-1.ndjson").pipe(
 *   Stream.runFold(0, (longest, line) => line._tag === "Loan" ? Math.max(longest, line.waited) : longest)
 * )
 * ```
 *
 * @since 0.1.0
 * @category reading
 */
export const read = (
  path: string
): Stream.Stream<Line | CutShort, BadRecording | PlatformError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.map(FileSystem.FileSystem, (fs) => decode(fs.stream(path))))
