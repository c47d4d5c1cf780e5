/** Loads that are made to lead a forecast astray. */
import type { ElasticPool } from "effect-pgpool"
import type { Load, Service } from "../simulate/load.js"
import { constant, exponential } from "../simulate/load.js"
import type { Cell } from "./grid.js"
import { connects, sizes } from "./grid.js"

/** Most hold their connection for a short time, and that part of them for a long one. */
const mixed = (short: number, part: number, long: number): Service => (random) => random.uniform() < part ? long : short

interface Odd extends Omit<Load, "connect"> {
  readonly options?: ElasticPool.PoolOptions
}

const bursts = (seconds: number, perSecond: number, pause: number, count: number): Load["phases"] =>
  Array.from({ length: count }, () => [[seconds, perSecond], [pause, 10]] as const).flat()

const odd: ReadonlyArray<Odd> = [
  { name: "1 ms, and 1 % of 5 s", phases: [[100, 100]], service: mixed(1, 0.01, 5000) },
  { name: "1 ms, and 0.1 % of 5 s", phases: [[20, 500]], service: mixed(1, 0.001, 5000) },
  { name: "5 ms, and 5 % of 100 ms", phases: [[60, 100]], service: mixed(5, 0.05, 100) },
  { name: "5 ms, and 1 % of 1 s", phases: [[60, 100]], service: mixed(5, 0.01, 1000) },
  { name: "exactly 5 ms, 360 a second", phases: [[20, 360]], service: constant(5) },
  { name: "exactly 20 ms, 90 a second", phases: [[60, 90]], service: constant(20) },
  { name: "a step from 100 a second to 2,000", phases: [[5, 100], [2, 2000], [5, 100]], service: exponential(5) },
  {
    name: "two holders stuck for a second, every other second",
    phases: [[30, 200]],
    service: exponential(5),
    stuck: Array.from({ length: 14 }, (_, i) => [[2 * i + 1, 1], [2 * i + 1, 1]] as const).flat()
  },
  { name: "an outage of 5 s", phases: [[30, 200]], service: exponential(5), outage: [10, 15] },
  { name: "minsize 0, bursts", phases: bursts(0.2, 800, 1, 20), service: exponential(5), options: { minsize: 0 } },
  {
    name: "idleTimeout 50 ms, bursts",
    phases: bursts(0.2, 800, 1, 20),
    service: exponential(5),
    options: { idleTimeout: 50 }
  },
  { name: "expires 1 s", phases: [[30, 200]], service: exponential(5), options: { expires: "1 second" } }
]

const changing = (from: number, to: number): Load => ({
  name: `connects of ${from} ms, after 10 s of ${to} ms, bursts`,
  phases: bursts(0.5, 1000, 1, 20),
  service: exponential(5),
  connect: [[0, from], [10, to]]
})

const named = (load: Load, maxsize: number): Load => ({ ...load, name: `${load.name} (${maxsize}/20)` })

export const oddCells: ReadonlyArray<Pick<Cell, "maxsize" | "load" | "options">> = sizes.flatMap((maxsize) => [
  ...odd.flatMap(({ options = {}, ...load }) =>
    connects.map((connect) => ({
      maxsize,
      load: named({ ...load, connect, name: `${load.name}, connect ${connect} ms` }, maxsize),
      options
    }))
  ),
  ...[changing(20, 300), changing(300, 20)].map((load) => ({ maxsize, load: named(load, maxsize), options: {} }))
])
