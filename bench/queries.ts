/** Queries over real connections, by clients that have the same number of them. */
import { Effect } from "effect"
import type { Name, Shape } from "./clients.js"
import * as Clients from "./clients.js"
import { delayed, roundTrip } from "./delay.js"
import type { Figure, Ratio, Rounds } from "./measure.js"
import { compare, joined, named, times } from "./measure.js"
import { start } from "./queries/asked.js"
import type { Goal, Section } from "./report.js"
import { atLeast, figure, ratio, table } from "./report.js"

/** What is measured: all of its connections with all of its fibers. */
export interface Grid {
  readonly shape: Shape
  readonly connections: ReadonlyArray<number>
  readonly fibers: ReadonlyArray<number>
  /** Milliseconds, each way. */
  readonly delay: number
}

export interface Options extends Rounds {
  readonly url: string
  readonly grids: ReadonlyArray<Grid>
  /** In how many processes, one after the other, those are asked that goals are about. */
  readonly processes: number
}

interface Cell {
  readonly shape: Shape
  readonly connections: number
  readonly fibers: number
  readonly delay: number
}

interface Measured extends Cell {
  readonly figures: ReadonlyArray<Figure>
}

const { names } = Clients

/** What the goals are about. */
export const usual: ReadonlyArray<Grid> = [
  { shape: "short", connections: [1, 2, 5, 10], fibers: [64], delay: 0 },
  { shape: "short", connections: [2], fibers: [1, 512], delay: 0 },
  { shape: "rows", connections: [2, 10], fibers: [64], delay: 0 },
  { shape: "insert", connections: [2, 10], fibers: [64], delay: 0 },
  { shape: "transaction", connections: [2, 10], fibers: [64], delay: 0 },
  { shape: "short", connections: [1, 2], fibers: [64], delay: 1 }
]

export const all: ReadonlyArray<Grid> = [0, 1].flatMap((delay) =>
  Clients.shapes.map((shape) => ({ shape, connections: [1, 2, 5, 10], fibers: [1, 8, 64, 512], delay }))
)

export const quick: ReadonlyArray<Grid> = [
  ...Clients.shapes.map((shape) => ({ shape, connections: [2], fibers: [4], delay: 0 })),
  { shape: "short", connections: [1, 2], fibers: [4], delay: 1 }
]

/** What most goals are about. */
const isCentral = ({ fibers, shape }: Cell) => shape === "short" && fibers === 64

/** With statements prepared just once: it is not what this compares. */
const isWithPrepared = (cell: Cell) => isCentral(cell) && cell.connections === 2

const clientsFor = (cell: Cell): ReadonlyArray<Name> => [
  names.ours,
  names.stock,
  names.multiplex,
  ...isWithPrepared(cell) ? [names.prepare, names.both] : [],
  names.pg,
  names.postgres
]

/**
 * Each client has one pool in a process of its own, as in most programs. What a process did before, with another pool or
 * other queries, shows in what it does then.
 */
const ask = (clients: ReadonlyArray<Name>, cell: Cell, { rounds, seconds, url }: Options) =>
  Effect.gen(function*() {
    const contenders = yield* Effect.forEach(
      clients,
      (name) => Effect.flatMap(start(name), ({ begin }) => begin({ ...cell, url })),
      { concurrency: "unbounded" }
    )
    return yield* compare(
      `Queries: ${cell.shape}, ${cell.connections} connections, ${cell.fibers} fibers, delay ${cell.delay} ms`,
      contenders,
      // V8 compiles what has run often. Until then a client of many layers looks worse than it is beside one of few.
      { rounds, seconds, warmUp: { operations: 20_000, seconds: 8 * seconds } }
    )
  }).pipe(Effect.scoped)

/** Those that a goal for the cell is about. */
const contestants = (cell: Cell): ReadonlyArray<Name> =>
  isCentral(cell) && cell.connections <= 2 ? [names.ours, names.stock, names.multiplex] : [names.ours, names.stock]

/**
 * Those that the goals are about are asked in more than one process each: one that runs the same program as another may be
 * half as fast for all of its life, by what V8 made of its first seconds.
 */
const measureCell = (cell: Cell, options: Options): Effect.Effect<Measured, unknown> =>
  Effect.gen(function*() {
    const figures = yield* ask(clientsFor(cell), cell, options)
    const again = yield* Effect.replicateEffect(ask(contestants(cell), cell, options), options.processes - 1)
    const all = [...figures, ...again.flat()]
    return { ...cell, figures: figures.map(({ name }) => joined(all.filter((figure) => figure.name === name))) }
  })

const rowsOf = (measured: Measured): ReadonlyArray<ReadonlyArray<string>> =>
  measured.figures.map(({ cpu, name, rounds, wall }) => [
    name,
    String(measured.connections),
    String(measured.fibers),
    ...[1e6 / wall, 1e6 / Math.max(...rounds), 1e6 / Math.min(...rounds), cpu].map(figure),
    ratio(byStock(name, measured))
  ])

const columns = ["", "connections", "fibers", "queries/s", "least", "most", "µs of CPU each", "times @effect/sql-pg"]

const commandOf = ({ connections, delay, fibers, shape }: Grid): string =>
  `npm run bench -- queries --shape ${shape} --connections ${connections} --fibers ${fibers} --delay ${delay}`

const cellsOf = ({ connections, fibers, ...rest }: Grid): ReadonlyArray<Cell> =>
  connections.flatMap((connections) => fibers.map((fibers) => ({ ...rest, connections, fibers })))

const measureGrid = (grid: Grid, options: Options) =>
  Effect.gen(function*() {
    const address = grid.delay === 0 ? options.url : yield* delayed(options.url, grid.delay)
    const cells = yield* Effect.forEach(cellsOf(grid), (cell) => measureCell(cell, { ...options, url: address }))
    const markdown = [table(columns, cells.flatMap(rowsOf))]
    if (grid.delay > 0) {
      markdown.push(`A query alone takes ${figure(yield* roundTrip(address))} ms: timers are no more exact than that.`)
    }
    const title = `Queries: ${Clients.titles[grid.shape]}` + (grid.delay > 0 ? `, ${grid.delay} ms away` : "")
    return { cells, section: { title, command: commandOf(grid), markdown: markdown.join("\n\n") } }
  }).pipe(Effect.scoped)

/** How many times as many queries as @effect/sql-pg one gets through. */
const byStock = (name: string, { figures }: Measured): Ratio => times(named(figures, names.stock), named(figures, name))

const goalsOf = (cells: ReadonlyArray<Measured>): ReadonlyArray<Goal> => {
  const main = cells.filter((cell) => isCentral(cell) && cell.delay === 0)
  const far = cells.filter((cell) => isCentral(cell) && cell.delay === 1)
  const [worst] = cells.map((cell) => byStock(names.ours, cell)).sort((a, b) => a.median - b.median)
  const best = Math.min(...main.map(({ figures }) => named(figures, names.stock).wall))
  const many = (count: number) => (count === 1 ? "1 connection" : `${count} connections`)
  return [
    ...main.filter(({ connections }) => connections >= 2).map((cell) =>
      atLeast(`queries, no options, ${many(cell.connections)}, by @effect/sql-pg`, byStock(names.ours, cell), 1.15)
    ),
    atLeast("queries, no options, the worst of all cells, by @effect/sql-pg", worst, 1),
    ...main.filter(({ connections }) => connections === 2).map(({ figures }) =>
      atLeast(
        "queries, `multiplex`, 2 connections, by @effect/sql-pg's best at any number",
        best / named(figures, names.multiplex).wall,
        1.5
      )
    ),
    ...main.filter(({ connections }) => connections === 1).map((cell) =>
      atLeast("queries, `multiplex`, 1 connection, by @effect/sql-pg", byStock(names.multiplex, cell), 2)
    ),
    ...far.map((cell) =>
      atLeast(
        `queries, \`multiplex\`, 1 ms away, ${many(cell.connections)}, by @effect/sql-pg`,
        byStock(names.multiplex, cell),
        8
      )
    )
  ]
}

export const queries = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown> =>
  Effect.gen(function*() {
    yield* Clients.tables(options.url)
    const measured = yield* Effect.forEach(options.grids, (grid) => measureGrid(grid, options))
    const goals = goalsOf(measured.flatMap(({ cells }) => cells))
    return measured.map(({ section }, i) => (i === 0 ? { ...section, goals } : section))
  }).pipe(Effect.scoped)
