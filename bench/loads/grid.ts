/** The loads under which waiting by a forecast is compared with waiting for a fixed time, and with not waiting. */
import type { ElasticPool } from "effect-pgpool"
import type { Load } from "../simulate/load.js"
import { exponential } from "../simulate/load.js"

export const shapes = ["steady", "swing", "burst", "night"] as const
export type Shape = typeof shapes[number]

/** How many statements run at the same time, on average, where the rate is at its highest. */
export const levels = ["0.5 maxsize", "0.9 maxsize", "0.9 maxoverflow"] as const
export type Level = typeof levels[number]

export interface Cell {
  readonly shape: Shape
  readonly level: Level
  /** Milliseconds, as are statements. */
  readonly connect: number
  readonly statement: number
  readonly maxsize: number
  readonly load: Load
  /** Of the pool, besides. */
  readonly options?: ElasticPool.PoolOptions
}

export const maxoverflow = 20

const callersAtOnce = (level: Level, maxsize: number): number =>
  level === "0.5 maxsize" ? maxsize / 2 : 0.9 * (level === "0.9 maxsize" ? maxsize : maxoverflow)

/** So long that what lingers after a peak is gone before the next one, and so short that it counts. Milliseconds. */
const unitOf = (connect: number, statement: number): number => Math.max(8 * connect, 150, 4 * statement)

const times = <T>(n: number, items: ReadonlyArray<T>): ReadonlyArray<T> => Array.from({ length: n }, () => items).flat()

const mornings = 25

/** A quiet pool has only `minsize` left after it: longer than connections live. Seconds. */
const night = 1200

const phasesOf = (shape: Shape, rate: number, unit: number, requests: number): Load["phases"] => {
  const seconds = unit / 1000
  switch (shape) {
    case "steady":
      return [[requests / rate, rate]]
    case "swing": {
      const steps = Array.from(
        { length: 20 },
        (_, i) => [seconds, rate * (1 - Math.cos(Math.PI * (i + 0.5) / 10)) / 2] as const
      )
      return times(Math.ceil(requests / (10 * seconds * rate)), steps)
    }
    case "burst":
      return times(Math.ceil(requests / (1.4 * seconds * rate)), [[seconds, rate], [4 * seconds, rate / 10]])
    case "night":
      return times(mornings, [[night, 0], [requests / mornings / rate, rate]])
  }
}

export const cell = (
  { connect, level, maxsize, shape, statement }: Omit<Cell, "load">,
  requests: number
): Cell => {
  const rate = callersAtOnce(level, maxsize) / statement * 1000
  const phases = phasesOf(shape, rate, unitOf(connect, statement), requests)
  const name = `${shape}, ${level} of ${maxsize}/${maxoverflow}, connect ${connect} ms, statement ${statement} ms`
  return { shape, level, maxsize, connect, statement, load: { name, phases, connect, service: exponential(statement) } }
}

export const sizes = [2, 10] as const
export const connects = [2, 20, 100, 300] as const
export const statements = [1, 5, 20, 100, 1000, 5000] as const

export const grid = (requests: number): ReadonlyArray<Cell> =>
  sizes.flatMap((maxsize) =>
    shapes.flatMap((shape) =>
      levels.flatMap((level) =>
        connects.flatMap((connect) =>
          statements.map((statement) => cell({ shape, level, maxsize, connect, statement }, requests))
        )
      )
    )
  )
