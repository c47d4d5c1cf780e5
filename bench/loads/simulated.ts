/** The three ways to wait under each load of the grid, in simulated time: exact, and the same each time. */
import type { Figures } from "../../plan/src/play.js"
import { table } from "../report.js"
import { ours, run, secondsOf } from "../simulate/load.js"
import type { Cell } from "./grid.js"
import { connects, maxoverflow, shapes, sizes } from "./grid.js"
import { excess, waits } from "./rule.js"

type Wait = keyof typeof waits

type Played = Pick<Cell, "load" | "maxsize" | "options">

interface Row<C extends Played = Played> {
  readonly cell: C
  readonly seconds: number
  readonly figures: { readonly [W in Wait]: Figures }
  /** By how many times auto's waits are as long as they may be. */
  readonly excess: number
}

/** Longer than any queue of these loads: nobody is refused. */
const acquireTimeout = "10 minutes"

const play = ({ load, maxsize, options }: Played, wait: Wait): Figures =>
  run(load, ours({ maxsize, maxoverflow, maxwait: waits[wait], acquireTimeout, ...options }))

const compare = <C extends Played>(cell: C): Row<C> => {
  const figures = { auto: play(cell, "auto"), fixed: play(cell, "fixed"), none: play(cell, "none") }
  const seconds = secondsOf(cell.load)
  return { cell, seconds, figures, excess: excess(figures.auto.wait, figures.fixed.wait, figures.none.wait) }
}

/** In an outage statements fail that have their connection. */
const isBroken = ({ cell: { load }, excess, figures: { auto } }: Row): boolean =>
  excess > 1 || (load.outage === undefined && auto.failed + auto.refused > 0)

const columns = [
  "mean wait ms",
  "p99 wait ms",
  "connections",
  "peak",
  "connects a second",
  "of what it may wait"
]

const rate = (perSecond: number) => perSecond < 10 ? perSecond.toPrecision(2) : perSecond.toFixed(0)
const millis = (time: number) => time < 10 ? time.toFixed(1) : time.toFixed(0)

/** Of each what it is with auto / 200 ms / none. */
const cells = ({ excess, figures: { auto, fixed, none }, seconds }: Row): ReadonlyArray<string> => {
  const each = (read: (figures: Figures) => string) => [auto, fixed, none].map(read).join(" / ")
  return [
    each(({ wait }) => millis(wait.mean)),
    each(({ wait }) => millis(wait.p99)),
    each(({ meanConnections }) => meanConnections.toFixed(1)),
    each(({ peakConnections }) => String(peakConnections)),
    each(({ connects }) => rate(connects / seconds)),
    `${(100 * excess).toFixed(0)} %`
  ]
}

const rowsTable = (rows: ReadonlyArray<Row>): ReadonlyArray<ReadonlyArray<string>> => [
  ["load", ...columns],
  ...rows.map((row) => [`${isBroken(row) ? "**worse** " : ""}${row.cell.load.name}`, ...cells(row)])
]

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** One row for all statements and levels of a shape and a connect time: the means, and the worst of them. */
const summary = (rows: ReadonlyArray<Row<Cell>>): ReadonlyArray<ReadonlyArray<string>> => [
  [
    "load",
    "of them worse",
    "mean wait ms",
    "p99 wait ms",
    "connections",
    "most connects a second",
    "the worst of what it may wait"
  ],
  ...sizes.flatMap((size) =>
    shapes.flatMap((shape) =>
      connects.flatMap((connect) => {
        const own = rows.filter(({ cell }) => cell.maxsize === size && cell.shape === shape && cell.connect === connect)
        if (own.length === 0) return []
        const each = (
          combine: (values: ReadonlyArray<number>) => string,
          read: (row: Row<Cell>, wait: Wait) => number
        ) => (Object.keys(waits) as Array<Wait>).map((wait) => combine(own.map((row) => read(row, wait)))).join(" / ")
        return [[
          `${size}/${maxoverflow}, ${shape}, connects of ${connect} ms`,
          `${own.filter(isBroken).length} of ${own.length}`,
          each((values) => millis(mean(values)), (row, wait) => row.figures[wait].wait.mean),
          each((values) => millis(mean(values)), (row, wait) => row.figures[wait].wait.p99),
          each((values) => mean(values).toFixed(1), (row, wait) => row.figures[wait].meanConnections),
          each(
            (values) => rate(Math.max(...values)),
            (row, wait) => row.figures[wait].connects / row.seconds
          ),
          `${(100 * Math.max(...own.map(({ excess }) => excess))).toFixed(0)} %`
        ]]
      })
    )
  )
]

/** The report, and how many loads of the grid are worse. Those that are made to lead it astray may be, and are shown. */
export const markdown = (
  cells: ReadonlyArray<Cell>,
  others: ReadonlyArray<Played>
): { readonly text: string; readonly worse: number } => {
  const rows = cells.map(compare)
  const worse = rows.filter(isBroken).length
  const worst = [...rows].sort((a, b) => b.excess - a.excess).slice(0, 12)
  const parts = [summary(rows), rowsTable(worst), rowsTable(others.map(compare))].filter(([, ...body]) =>
    body.length > 0
  )
  const tables = parts.map(([head, ...body]) => table(head, body))
  return { text: [...tables, `Of ${rows.length} loads ${worse} are worse with auto.`].join("\n\n"), worse }
}
