/** Shows a play in the terminal: what was found, and below it the connections as they are now. */
import { Data, Deferred, Effect, Option } from "effect"
import type { Scope } from "effect"
import type { PoolStats } from "effect-pgpool"
import { PgPool } from "effect-pgpool"
import { stripVTControlCharacters } from "node:util"
import { plural } from "./checks.js"
import { Observer } from "./observer.js"
import type { Check } from "./report.js"

/** Nobody reads any more, as after `npm run demo | head`. */
export class OutputClosed extends Data.TaggedError("OutputClosed")<{ readonly cause: unknown }> {}

export interface View {
  readonly say: (line: string) => Effect.Effect<void>
  readonly step: (title: string) => Effect.Effect<void>
  readonly check: (check: Check) => Effect.Effect<void>
  /** Shows the connections for the life of the scope: redrawn in a terminal, elsewhere a line for each change. */
  readonly watch: Effect.Effect<void, never, PgPool.PgPool | Observer | Scope.Scope>
  readonly closed: Effect.Effect<never, OutputClosed>
}

export const make = (output: NodeJS.WriteStream): Effect.Effect<View> =>
  Effect.gen(function*() {
    const closed = yield* Deferred.make<never, OutputClosed>()
    output.on("error", (cause) => Deferred.unsafeDone(closed, new OutputClosed({ cause })))

    const isLive = isTerminal(output)
    const screen = new Screen(output)
    const say = (line: string) => Effect.sync(() => screen.print(isLive ? line : stripVTControlCharacters(line)))
    let steps = 0

    const draw = isLive ? drawLive : drawPlain()
    const watch = Effect.gen(function*() {
      const pool = yield* PgPool.PgPool
      const observer = yield* Observer
      yield* Effect.addFinalizer(() => Effect.sync(() => screen.show([])))
      yield* Effect.gen(function*() {
        const sessions = yield* Effect.option(observer.sessions)
        draw(screen, { stats: yield* pool.stats, sessions: Option.getOrUndefined(sessions)?.length })
      }).pipe(Effect.zipRight(Effect.sleep("80 millis")), Effect.forever, Effect.forkScoped)
    })

    return {
      say,
      step: (title) => Effect.suspend(() => say(`\n${style("bold", `${++steps}. ${title}`)}`)),
      check: (check) => Effect.suspend(() => say(tell(check, isLive ? output.columns : Infinity))),
      watch,
      closed: Deferred.await(closed)
    }
  })

/** Where lines can be redrawn, and somebody sees it. */
const isTerminal = (output: NodeJS.WriteStream): boolean =>
  output.isTTY && ["CI", "NO_COLOR"].every((name) => !process.env[name]) && process.env["TERM"] !== "dumb"

/** The lines printed so far, and below them a few that are drawn anew each time. */
class Screen {
  private live: ReadonlyArray<string> = []

  constructor(private readonly output: NodeJS.WriteStream) {}

  print(line: string): void {
    this.output.write(`${this.erase()}${line}\n${this.draw()}`)
  }

  show(lines: ReadonlyArray<string>): void {
    if (lines.join("\n") === this.live.join("\n")) return
    const erase = this.erase()
    this.live = lines
    this.output.write(erase + this.draw())
  }

  private draw(): string {
    return this.live.map((line) => `${line}\n`).join("")
  }

  /** A terminal that has become narrower has wrapped the lines. */
  private erase(): string {
    if (this.live.length === 0) return ""
    const rows = this.live.map((line) => Math.ceil(stripVTControlCharacters(line).length / this.output.columns) || 1)
    return `\x1b[${rows.reduce((sum, n) => sum + n)}A\r\x1b[J`
  }

  /** What may be drawn: a line that wraps or scrolls away could not be erased. */
  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: this.output.columns - 1, rows: this.output.rows - 1 }
  }
}

/** The pool at one instant, and the sessions of the server, unless it does not answer. */
interface Now {
  readonly stats: PoolStats.PoolStats
  readonly sessions: number | undefined
}

const states = [
  { state: "busy", glyph: "■", letter: "#", colour: "yellow" },
  { state: "idle", glyph: "□", letter: "=", colour: "green" },
  { state: "checking", glyph: "?", letter: "?", colour: "cyan" },
  { state: "opening", glyph: "+", letter: "+", colour: "blue" },
  { state: "closing", glyph: "×", letter: "x", colour: "magenta" }
] as const

const codes = { bold: 1, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 }

const style = (code: keyof typeof codes, text: string): string => `\x1b[${codes[code]}m${text}\x1b[0m`

/** A cell for each connection that may be open, and a mark at the soft limit. */
const cells = (stats: PoolStats.PoolStats, cell: (kind: (typeof states)[number]) => string): string => {
  const open = states.flatMap((kind) => Array.from({ length: stats[kind.state] }, () => cell(kind)))
  const all = [...open, ...Array.from({ length: stats.maxoverflow - stats.size }, () => "·")]
  return `${all.slice(0, stats.maxsize).join("")}│${all.slice(stats.maxsize).join("")}`
}

const drawLive = (screen: Screen, { sessions, stats }: Now): void => {
  const { columns, rows } = screen.size
  const short = `${stats.size} of ${stats.maxoverflow}`
  const lines = [
    "",
    ...(columns < stats.maxoverflow + 14
      ? [short]
      : [`  ${cells(stats, ({ colour, glyph }) => style(colour, glyph))}  ${short}`]),
    ...fold(states.map(({ colour, glyph, state }) => style(colour, `${glyph} ${stats[state]} ${state}`)), columns),
    ...fold([`${stats.waiting} waiting`, tellSessions(sessions)], columns)
  ]
  const fits = lines.length <= rows && lines.every((line) => stripVTControlCharacters(line).length <= columns)
  screen.show(fits ? lines : [])
}

const tellSessions = (sessions: number | undefined): string =>
  sessions === undefined ? "the server does not answer" : `${plural(sessions, "session")} at the server`

/** Puts the words on as few lines as they need. */
const fold = (words: ReadonlyArray<string>, columns: number, indent = "  "): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of words) {
    const line = `${lines.at(-1) ?? ""}   ${word}`
    if (lines.length > 0 && stripVTControlCharacters(line).length <= columns) lines[lines.length - 1] = line
    else lines.push(indent + word)
  }
  return lines
}

/** Prints what has changed, but not each of the many requests. */
const drawPlain = () => {
  let last = ""
  return (screen: Screen, { sessions, stats }: Now): void => {
    const change = `${stats.size} ${stats.waiting} ${sessions}`
    if (change === last) return
    last = change
    const bar = cells(stats, ({ letter }) => letter).replaceAll("·", ".").replace("│", "|")
    const counts = states.filter(({ state }) => stats[state] > 0).map(({ state }) => `${stats[state]} ${state}`)
    const known = [...counts, `${stats.waiting} waiting`, tellSessions(sessions)]
    screen.print(`     [${bar}] ${known.join(", ")}`)
  }
}

const widths = { subject: 32, promised: 30, pool: 22 }
const tableWidth = 132

/** A row of a table where there is room for it. */
const tell = ({ holds, pool, promised, server, subject }: Check, columns: number): string => {
  const mark = holds ? style("green", "ok     ") : style("red", "DIFFERS")
  if (columns < tableWidth) {
    const parts = fold([`promised ${promised}`, `pool ${pool}`, `server ${server}`], columns, "           ")
    return [`   ${mark} ${subject}`, ...parts].join("\n")
  }
  return `   ${mark} ${subject.padEnd(widths.subject)} promised ${promised.padEnd(widths.promised)} pool ${
    pool.padEnd(widths.pool)
  } server ${server}`
}
