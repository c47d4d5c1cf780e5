import { Simulation } from "../../test/support/simulation.js"

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
export const chance = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), seed | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

/** What that part of them does not exceed. They are in order. */
export const quantile = (sorted: ArrayLike<number>, part: number): number =>
  sorted[Math.floor(sorted.length * part)] ?? NaN

/** How long a request has its connection, in milliseconds. */
export type Service = (random: () => number) => number

export const constant = (millis: number): Service => () => millis
export const exponential = (mean: number): Service => (random) => -mean * Math.log(1 - random())
/** Heavy-tailed: half of the mean lies in few long ones. */
export const lognormal = (mean: number, sigma: number): Service => (random) => {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return mean * Math.exp(sigma * normal - sigma ** 2 / 2)
}

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

export interface Connection {
  broken: boolean
}

/** A pool under the load. `done` is called once, when the request is over. */
export interface Contender {
  readonly request: (service: number, done: (failed: boolean) => void) => void
  readonly close: () => void
}

/** How long requests took, or waited for a connection, in milliseconds. */
export interface Times {
  readonly mean: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

export const timesOf = (millis: ReadonlyArray<number>): Times => {
  const sorted = Float64Array.from(millis).sort()
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => quantile(sorted, part))
  return { mean: sorted.reduce((sum, time) => sum + time, 0) / sorted.length, p50, p99, p999 }
}

export interface Figures {
  /** From the request to its end. */
  readonly times: Times
  /** The part of it that is not the statement's. */
  readonly waits: Times
  readonly failures: number
  readonly requests: number
  /** Connections, on average. */
  readonly mean: number
  readonly peak: number
  readonly connects: number
}

/** Time, the database, and the books of what a pool does. */
export class World {
  readonly sim: Simulation
  private readonly connections = new Set<Connection>()
  private isDown = false
  private connects = 0
  private peak = 0
  private area = 0
  private countedAt = 0
  private readonly times: Array<number> = []
  private readonly waits: Array<number> = []
  private failures = 0
  private running = 0

  constructor(readonly load: Load, private readonly seed: number) {
    this.sim = new Simulation(seed)
  }

  /** A connect begins; it tells after the time of a connect whether it succeeded. */
  dial(done: (connected: boolean) => void): Connection {
    const connection = { broken: this.isDown }
    this.count()
    this.connections.add(connection)
    this.connects++
    this.peak = Math.max(this.peak, this.connections.size)
    this.sim.schedule(this.connectTime, () => done(!connection.broken))
    return connection
  }

  /** How many connects have begun. */
  get dials(): number {
    return this.connects
  }

  private get connectTime(): number {
    const { connect } = this.load
    return typeof connect === "number"
      ? connect
      : connect.reduce((time, [from, millis]) => this.sim.now >= from * 1000 ? millis : time, connect[0][1])
  }

  hangUp(connection: Connection): void {
    this.count()
    this.connections.delete(connection)
  }

  private count(): void {
    this.area += this.connections.size * (this.sim.now - this.countedAt)
    this.countedAt = this.sim.now
  }

  run(make: (world: World) => Contender): Figures {
    const pool = make(this)
    const end = this.load.phases.reduce((sum, [seconds]) => sum + seconds * 1000, 0)
    this.arrive(pool, arrivals(this.load, chance(this.seed)))
    for (const [at, seconds] of this.load.stuck ?? []) {
      this.sim.schedule(at * 1000, () => this.request(pool, seconds * 1000))
    }
    if (this.load.outage !== undefined) {
      this.sim.schedule(this.load.outage[0] * 1000, () => {
        this.isDown = true
        for (const connection of this.connections) connection.broken = true
      })
      this.sim.schedule(this.load.outage[1] * 1000, () => this.isDown = false)
    }
    // So short that a simulation doesn't think that it runs in circles.
    const step = end / Math.max(100, requestsOf(this.load) / 100)
    while (this.sim.now < end) this.sim.advance(step)
    this.count()
    const mean = this.area / end
    for (let i = 0; this.running > 0 && i < 2000; i++) this.sim.advance(50)
    pool.close()
    return {
      times: timesOf(this.times),
      waits: timesOf(this.waits),
      failures: this.failures + this.running,
      requests: this.times.length + this.failures + this.running,
      mean,
      peak: this.peak,
      connects: this.connects
    }
  }

  private arrive(pool: Contender, requests: Iterator<readonly [at: number, service: number]>): void {
    const next = requests.next()
    if (next.done === true) return
    const [at, service] = next.value
    this.sim.schedule(at - this.sim.now, () => {
      this.request(pool, service)
      this.arrive(pool, requests)
    })
  }

  private request(pool: Contender, service: number): void {
    const since = this.sim.now
    this.running++
    pool.request(service, (failed) => {
      this.running--
      const time = this.sim.now - since
      if (failed) this.failures++
      else {
        this.times.push(time)
        this.waits.push(Math.max(0, time - service))
      }
    })
  }
}

/** About how many requests come in all. */
export const requestsOf = ({ phases }: Pick<Load, "phases">): number =>
  phases.reduce((sum, [seconds, perSecond]) => sum + seconds * perSecond, 0)

/** Poisson arrivals in milliseconds, and how long each will hold its connection: the same for every pool. */
export function* arrivals(
  load: Pick<Load, "phases" | "service">,
  random: () => number
): Generator<readonly [at: number, service: number]> {
  let begin = 0
  for (const [seconds, perSecond] of load.phases) {
    const end = begin + seconds * 1000
    let at = begin
    while (perSecond > 0 && (at += exponential(1000 / perSecond)(random)) < end) yield [at, load.service(random)]
    begin = end
  }
}
