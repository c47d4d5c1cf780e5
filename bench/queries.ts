/** Queries over real connections, by clients that have the same number of them. */
import { Effect, Pool } from "effect"
import type { Scope } from "effect"
import type { Name, Shape } from "./clients.js"
import * as Clients from "./clients.js"
import { delayed, roundTrip } from "./delay.js"
import type { Rounds } from "./measure.js"
import { compare, joined } from "./measure.js"
import { start } from "./queries/asked.js"
import type { Measured } from "./queries/goals.js"
import { byStock, goalsOf } from "./queries/goals.js"
import type { Cell, Grid } from "./queries/grids.js"
import { cellsOf, clientsFor, contestants } from "./queries/grids.js"
import { streamed } from "./queries/streamed.js"
import { waiting } from "./queries/waiting.js"
import type { Section } from "./report.js"
import { figure, ratio, table } from "./report.js"

export interface Options extends Rounds {
  readonly url: string
  readonly grids: ReadonlyArray<Grid>
  /** What stays in memory while a stream is read, and while statements wait. */
  readonly memory: boolean
  /** In how many processes, one after the other, those are asked that goals are about. */
  readonly processes: number
  readonly quick: boolean
}

interface Asking extends Options {
  readonly start: typeof start
}

/** How many rows the table has. */
const rowsIn = ({ quick }: Options): number => (quick ? 20_000 : 1_000_000)

interface Asked {
  readonly cell: Cell
  readonly name: Name
}

const order: ReadonlyArray<Name> = Object.values(Clients.names)

/** A client follows itself with other numbers of fibers, since those are compared as well. */
const askedIn = (cells: ReadonlyArray<Cell>, clients: (cell: Cell) => ReadonlyArray<Name>): ReadonlyArray<Asked> =>
  order.flatMap((name) => cells.filter((cell) => clients(cell).includes(name)).map((cell) => ({ cell, name })))

/**
 * Each client has one pool in a process of its own, as in most programs. What a process did before, with another pool or
 * other queries, shows in what it does then. Where figures mean nothing, a process that has answered is asked again.
 */
const startFor = ({ quick }: Options): Effect.Effect<typeof start, never, Scope.Scope> => {
  if (!quick) return Effect.succeed(start)
  const reused = (name: Name) =>
    Effect.map(
      Pool.makeWithTTL({ acquire: start(name), min: 0, max: 2, timeToLive: "1 minute" }),
      (started) => [name, Pool.get(started)] as const
    )
  return Effect.map(Effect.forEach(order, reused), (all) => {
    const byName = new Map(all)
    return (name) => byName.get(name)!
  })
}

const ask = (asked: ReadonlyArray<Asked>, { rounds, seconds, start, url }: Asking) =>
  Effect.gen(function*() {
    const contenders = yield* Effect.forEach(
      asked,
      ({ cell, name }) => Effect.flatMap(start(name), ({ begin }) => begin({ ...cell, url })),
      { concurrency: "unbounded" }
    )
    const [{ cell }] = asked
    const fibers = [...new Set(asked.map(({ cell }) => cell.fibers))].join(", ")
    const figures = yield* compare(
      `Queries: ${cell.shape}, ${cell.connections} connections, ${fibers} fibers, delay ${cell.delay} ms`,
      contenders,
      // V8 compiles what has run often. Until then a client of many layers looks worse than it is beside one of few.
      { rounds, seconds, warmUp: { operations: 20_000, seconds: 20 * seconds } }
    )
    return figures.map((figure, i) => ({ ...asked[i], figure }))
  }).pipe(Effect.scoped)

/**
 * Those that the goals are about are asked in more than one process each: one that runs the same program as another may be
 * half as fast for all of its life, by what V8 made of its first seconds.
 */
const measureCells = (cells: ReadonlyArray<Cell>, options: Asking): Effect.Effect<ReadonlyArray<Measured>, unknown> =>
  Effect.gen(function*() {
    const first = yield* ask(askedIn(cells, clientsFor), options)
    const again = yield* Effect.replicateEffect(ask(askedIn(cells, contestants), options), options.processes - 1)
    const all = [...first, ...again.flat()]
    return cells.map((cell) => {
      const figures = all.filter((one) => one.cell === cell)
      return {
        ...cell,
        figures: order.filter((name) => clientsFor(cell).includes(name)).map((name) =>
          joined(figures.filter((one) => one.name === name).map(({ figure }) => figure))
        )
      }
    })
  })

const rowsOf = (measured: Measured, each: number): ReadonlyArray<ReadonlyArray<string>> =>
  measured.figures.map(({ cpu, name, rounds, wall }) => [
    name,
    String(measured.connections),
    String(measured.fibers),
    ...[wall, Math.max(...rounds), Math.min(...rounds)].map((wall) => figure(each * 1e6 / wall)),
    figure(cpu / each),
    ratio(byStock(name, measured))
  ])

const columns = (what: string) => [
  "",
  "connections",
  "fibers",
  `${what}/s`,
  "least",
  "most",
  "µs of CPU each",
  "times @effect/sql-pg"
]

const unitOf = (
  shape: Shape
): string => (shape === "stream" ? "rows" : shape === "transaction" ? "transactions" : "queries")

const commandOf = ({ connections, delay, fibers, shape }: Grid): string =>
  `npm run bench -- queries --shape ${shape} --connections ${connections} --fibers ${fibers} --delay ${delay}`

const measureGrid = (grid: Grid, options: Asking) =>
  Effect.gen(function*() {
    const { delay, shape } = grid
    const address = delay === 0 ? options.url : yield* delayed(options.url, delay)
    const measured = yield* Effect.forEach(
      grid.connections,
      (count) => measureCells(cellsOf({ ...grid, connections: [count] }), { ...options, url: address })
    )
    const cells = measured.flat()
    const each = shape === "stream" ? rowsIn(options) : 1
    const markdown = [table(columns(unitOf(shape)), cells.flatMap((cell) => rowsOf(cell, each)))]
    if (delay > 0) {
      markdown.push(`A query alone takes ${figure(yield* roundTrip(address))} ms: timers are no more exact than that.`)
    }
    const title = `Queries: ${Clients.titles(rowsIn(options))[shape]}` + (delay > 0 ? `, ${delay} ms away` : "")
    return { cells, section: { title, command: commandOf(grid), markdown: markdown.join("\n\n") } }
  }).pipe(Effect.scoped)

const memory = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown> =>
  Effect.all([streamed({ ...options, rows: rowsIn(options) }), waiting(options)])

export const queries = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown> =>
  Effect.gen(function*() {
    yield* Clients.tables(options.url, rowsIn(options))
    const asking = { ...options, start: yield* startFor(options) }
    const measured = yield* Effect.forEach(options.grids, (grid) => measureGrid(grid, asking))
    const goals = goalsOf(measured.flatMap(({ cells }) => cells))
    return [
      ...measured.map(({ section }, i) => (i === 0 ? { ...section, goals } : section)),
      ...options.memory ? yield* memory(options) : []
    ]
  }).pipe(Effect.scoped)
