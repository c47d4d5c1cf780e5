/** Which queries are asked, over how many connections, by how many fibers. */
import type { Name, Shape } from "../clients.js"
import { names, shapes } from "../clients.js"

/** What is measured: all of its connections with all of its fibers. */
export interface Grid {
  readonly shape: Shape
  readonly connections: ReadonlyArray<number>
  /** Those of one number of connections are measured in turn, round by round: so their CPU times can be compared. */
  readonly fibers: ReadonlyArray<number>
  /** Milliseconds, each way. */
  readonly delay: number
}

export interface Cell {
  readonly shape: Shape
  readonly connections: number
  readonly fibers: number
  readonly delay: number
}

/** What the goals are about. */
export const usual: ReadonlyArray<Grid> = [
  { shape: "short", connections: [2], fibers: [64, 512, 4096], delay: 0 },
  { shape: "short", connections: [1, 5, 10], fibers: [64], delay: 0 },
  { shape: "rows", connections: [2, 10], fibers: [64], delay: 0 },
  { shape: "many", connections: [2], fibers: [8], delay: 0 },
  { shape: "insert", connections: [2], fibers: [64], delay: 0 },
  { shape: "transaction", connections: [2, 10], fibers: [64], delay: 0 },
  { shape: "stream", connections: [1], fibers: [1], delay: 0 },
  { shape: "short", connections: [1, 2], fibers: [64], delay: 1 }
]

const connections = [1, 2, 5, 10]

/** Each number of fibers by itself: all together they would need too many connections. */
const crowds = (shape: Shape, fibers: ReadonlyArray<number>, delay: number): ReadonlyArray<Grid> =>
  fibers.map((count) => ({ shape, connections, fibers: [count], delay }))

/** Where a query takes as long as 10,000 rows, 512 fibers would work for minutes. */
export const all: ReadonlyArray<Grid> = [
  ...[0, 1].flatMap((delay) => [
    ...(["short", "rows", "insert", "transaction"] as const).flatMap((shape) => crowds(shape, [1, 8, 64, 512], delay)),
    ...crowds("many", [1, 8], delay)
  ]),
  { shape: "stream", connections: [1], fibers: [1], delay: 0 }
]

/** Most of what goals are about, with few fibers where they don't say how many. */
export const quick: ReadonlyArray<Grid> = [
  { shape: "short", connections: [2], fibers: [64, 512], delay: 0 },
  { shape: "short", connections: [10], fibers: [64], delay: 0 },
  ...shapes.filter((shape) => shape !== "short").map((shape) => ({ shape, connections: [2], fibers: [4], delay: 0 })),
  { shape: "short", connections: [1, 2], fibers: [64], delay: 1 }
]

export const cellsOf = ({ connections, fibers, ...rest }: Grid): ReadonlyArray<Cell> =>
  connections.flatMap((connections) => fibers.map((fibers) => ({ ...rest, connections, fibers })))

/** What most goals are about. */
export const isCentral = ({ fibers, shape }: Cell): boolean => shape === "short" && fibers === 64

/** With statements prepared just once: it is not what this compares. */
const isWithPrepared = (cell: Cell): boolean => isCentral(cell) && cell.connections === 2

export const clientsFor = (cell: Cell): ReadonlyArray<Name> => [
  names.ours,
  names.stock,
  // A stream has a connection to itself.
  ...cell.shape === "stream" ? [] : [names.multiplex],
  ...isWithPrepared(cell) ? [names.prepare, names.both] : [],
  names.pg,
  names.postgres
]

/** Where a goal is about the CPU time of `pg.Pool`. */
const isBesidePg = (cell: Cell): boolean =>
  cell.shape === "rows" || cell.shape === "many" || (isCentral(cell) && cell.connections === 10)

/** Those that a goal for the cell is about. */
export const contestants = (cell: Cell): ReadonlyArray<Name> => [
  names.ours,
  names.stock,
  ...cell.shape === "short" ? [names.multiplex] : [],
  ...isWithPrepared(cell) ? [names.both, names.postgres] : [],
  ...isBesidePg(cell) ? [names.pg] : []
]
