/** What queries are hoped to cost beside those of other clients, and beside those of fewer fibers. */
import type { Name, Shape } from "../clients.js"
import { names } from "../clients.js"
import type { Figure, Ratio } from "../measure.js"
import { cpuTimes, named, times } from "../measure.js"
import type { Goal } from "../report.js"
import { atLeast, atMost } from "../report.js"
import type { Cell } from "./grids.js"
import { isCentral } from "./grids.js"

export interface Measured extends Cell {
  readonly figures: ReadonlyArray<Figure>
}

type Cells = ReadonlyArray<Measured>

/** How many times as many queries as @effect/sql-pg one gets through. */
export const byStock = (name: string, { figures }: Measured): Ratio =>
  times(named(figures, names.stock), named(figures, name))

/** How many times as much CPU time as another client's one takes. */
const cpuBy = (name: Name, other: Name, { figures }: Measured): Ratio =>
  cpuTimes(named(figures, name), named(figures, other))

const many = (count: number) => (count === 1 ? "1 connection" : `${count} connections`)

const near = (cells: Cells, shape: Shape): Cells => cells.filter((cell) => cell.shape === shape && cell.delay === 0)

const among = (cells: Cells, connections: number, fibers = 64): Cells =>
  cells.filter((cell) => cell.connections === connections && cell.fibers === fibers)

const inCrowds = (cells: Cells): ReadonlyArray<Goal> =>
  among(near(cells, "short"), 2).flatMap((few) =>
    [names.ours, names.multiplex].flatMap((name) =>
      [512, 4096].flatMap((fibers) =>
        among(near(cells, "short"), 2, fibers).map((crowd) =>
          atMost(
            `CPU of a query of ${name}, ${fibers.toLocaleString("en")} fibers, by that with 64`,
            cpuTimes(named(crowd.figures, name), named(few.figures, name)),
            1.25
          )
        )
      )
    )
  )

const besideDrivers = (cells: Cells): ReadonlyArray<Goal> => [
  ...among(near(cells, "short"), 2).map((cell) =>
    atMost(
      "CPU of a query, `multiplex` and `prepare`, 2 connections, by postgres.js",
      cpuBy(names.both, names.postgres, cell),
      1.2
    )
  ),
  ...among(near(cells, "short"), 10).map((cell) =>
    atMost("CPU of a query, no options, 10 connections, by `pg.Pool`", cpuBy(names.ours, names.pg, cell), 1.5)
  ),
  ...near(cells, "rows").map((cell) =>
    atMost(`CPU of 100 rows, ${many(cell.connections)}, by \`pg.Pool\``, cpuBy(names.ours, names.pg, cell), 1.1)
  ),
  ...near(cells, "many").map((cell) =>
    atMost(`CPU of 10,000 rows, ${many(cell.connections)}, by \`pg.Pool\``, cpuBy(names.ours, names.pg, cell), 1.1)
  )
]

const besideStock = (cells: Cells): ReadonlyArray<Goal> => [
  ...near(cells, "short").filter((cell) => isCentral(cell) && cell.connections >= 2).map((cell) =>
    atLeast(
      `queries, no options, ${many(cell.connections)}, by @effect/sql-pg`,
      byStock(names.ours, cell),
      cell.connections === 10 ? 1.25 : 1.15
    )
  ),
  ...near(cells, "transaction").map((cell) =>
    atLeast(`transactions, ${many(cell.connections)}, by @effect/sql-pg`, byStock(names.ours, cell), 1.2)
  ),
  ...near(cells, "stream").map((cell) =>
    atLeast(`rows of a stream, by @effect/sql-pg`, byStock(names.ours, cell), 1.2)
  ),
  ...worst(cells)
]

const worst = (cells: Cells): ReadonlyArray<Goal> =>
  cells.map((cell) => ({ ...cell, times: byStock(names.ours, cell) }))
    .sort((a, b) => a.times.median - b.times.median)
    .slice(0, 1)
    .map(({ connections, delay, fibers, shape, times }) =>
      atLeast(
        `no options, the worst of all cells (${shape}, ${connections} x ${fibers}, ${delay} ms away), by @effect/sql-pg`,
        times,
        1
      )
    )

const shared = (cells: Cells): ReadonlyArray<Goal> => {
  const main = near(cells, "short").filter(isCentral)
  const best = Math.min(...main.map(({ figures }) => named(figures, names.stock).wall))
  return [
    ...among(main, 2).map(({ figures }) =>
      atLeast(
        "queries, `multiplex`, 2 connections, by @effect/sql-pg's best at any number",
        best / named(figures, names.multiplex).wall,
        1.5
      )
    ),
    ...among(main, 1).map((cell) =>
      atLeast("queries, `multiplex`, 1 connection, by @effect/sql-pg", byStock(names.multiplex, cell), 2)
    ),
    ...cells.filter((cell) => isCentral(cell) && cell.delay === 1).map((cell) =>
      atLeast(
        `queries, \`multiplex\`, 1 ms away, ${many(cell.connections)}, by @effect/sql-pg`,
        byStock(names.multiplex, cell),
        8
      )
    )
  ]
}

/** Of the cells that were measured. */
export const goalsOf = (cells: Cells): ReadonlyArray<Goal> => [
  ...inCrowds(cells),
  ...besideDrivers(cells),
  ...besideStock(cells),
  ...shared(cells)
]
