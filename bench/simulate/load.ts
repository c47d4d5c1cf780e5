/** Loads as the benchmarks write them. The planner plays them. */
import type { ElasticPool } from "effect-pgpool"
import { poisson } from "../../plan/src/load.js"
import type { Arrival } from "../../plan/src/model.js"
import type { Figures, Scene } from "../../plan/src/play.js"
import { play } from "../../plan/src/play.js"
import { Random } from "../../plan/src/random.js"

/** How long a request has its connection, in milliseconds. */
export type Service = (random: Random) => number

export const constant = (millis: number): Service => () => millis
export const exponential = (mean: number): Service => (random) => mean * random.exponential()
/** Heavy-tailed: half of the mean lies in few long ones. */
export const lognormal = (mean: number, sigma: number): Service => (random) =>
  mean * Math.exp(sigma * random.normal() - sigma ** 2 / 2)

export interface Load {
  readonly name: string
  /** How long, and how many requests come in a second. */
  readonly phases: ReadonlyArray<readonly [seconds: number, perSecond: number]>
  readonly service: Service
  /** What a connect takes, in milliseconds; another time from so many seconds on. */
  readonly connect: number | ReadonlyArray<readonly [from: number, millis: number]>
  /** Requests that come besides: when, and how long they hold their connection, in seconds. */
  readonly stuck?: ReadonlyArray<readonly [at: number, seconds: number]>
  /** From when to when every connection breaks and no connect succeeds, in seconds. */
  readonly outage?: readonly [from: number, to: number]
}

export const secondsOf = ({ phases }: Pick<Load, "phases">): number =>
  phases.reduce((sum, [seconds]) => sum + seconds, 0)

/** The same phases again and again, for so many seconds: in cycles of about `every` seconds, or in one that is shorter. */
export const inCycles = (seconds: number, every: number, phases: Load["phases"]): Load["phases"] => {
  const count = Math.max(1, Math.round(seconds / every))
  const scale = seconds / (count * every)
  const cycle = phases.map(([length, perSecond]) => [length * scale, perSecond] as const)
  return Array.from({ length: count }, () => cycle).flat()
}

/** The same for every pool. */
export const arrivals = ({ phases, service }: Pick<Load, "phases" | "service">, seed: number): Iterable<Arrival> => {
  const random = new Random(seed)
  return poisson(
    phases.map(([seconds, perSecond]) => ({ length: seconds * 1000, perSecond })),
    random,
    () => service(random)
  )
}

function* arrivalsOf({ stuck = [], ...load }: Load, seed: number): Iterable<Arrival> {
  const besides = stuck.map(([at, seconds]) => ({ at: at * 1000, hold: seconds * 1000 })).sort((a, b) => a.at - b.at)
  for (const arrival of arrivals(load, seed)) {
    while (besides.length > 0 && besides[0].at <= arrival.at) yield besides.shift()!
    yield arrival
  }
  yield* besides
}

const connectTime = ({ connect }: Load) => (now: number): number =>
  typeof connect === "number"
    ? connect
    : connect.reduce((time, [from, millis]) => now >= from * 1000 ? millis : time, connect[0][1])

/** A pool of ours. */
export const ours = (options: ElasticPool.PoolOptions): Scene["pool"] => (time, connects) =>
  time.pool({ ...options, ...connects })

export const run = (load: Load, pool: Scene["pool"]): Figures =>
  play({
    load: { name: load.name, duration: secondsOf(load) * 1000, arrivals: (seed) => arrivalsOf(load, seed) },
    seed: 1,
    pool,
    connect: connectTime(load),
    outages: load.outage === undefined ? [] : [outageOf(load.outage)]
  })

const outageOf = ([from, to]: readonly [number, number]) => ({ at: from * 1000, length: (to - from) * 1000 })
