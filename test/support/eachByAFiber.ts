/** A load played over a pool of fibers: what virtual time must agree with. */
import { Effect, Exit, Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import type { PoolStats } from "effect-pgpool/PoolStats"
import type { VirtualConnections } from "effect-pgpool/Testing"
import { Simulation } from "./simulation.js"

export interface Request {
  readonly at: number
  readonly hold: number
}

export interface Play {
  readonly options: ElasticPool.PoolOptions
  readonly connect: number
  readonly requests: ReadonlyArray<Request>
  /** When all connections break, and no connect succeeds for so long. */
  readonly outage?: { readonly at: number; readonly length: number }
  readonly until: number
}

export interface Played {
  /** Of each request how long it waited, and `NaN` where it got no connection, or lost it. */
  readonly waits: ReadonlyArray<number>
  readonly connections: VirtualConnections
  readonly stats: PoolStats
}

interface Connection {
  isBroken: boolean
  lose: () => void
}

/** The server, and the books of its connections. */
class Server {
  isDown = false
  readonly alive = new Set<Connection>()
  private begun = 0
  private peak = 0
  private sum = 0
  private summedAt = 0

  constructor(private readonly sim: Simulation) {}

  connect(millis: number): Effect.Effect<Connection, "failed", Scope.Scope> {
    return Effect.suspend(() => {
      const connection: Connection = { isBroken: false, lose: () => {} }
      this.count()
      this.alive.add(connection)
      this.peak = Math.max(this.peak, this.alive.size)
      this.begun++
      const opened = Effect.suspend(() =>
        connection.isBroken || this.isDown ? Effect.fail("failed" as const) : Effect.succeed(connection)
      )
      const close = Effect.sync(() => {
        this.count()
        this.alive.delete(connection)
      })
      // A connect can be interrupted, and is counted until then.
      return Effect.acquireReleaseInterruptible(Effect.zipRight(Effect.sleep(millis), opened), () => close)
    })
  }

  count(): VirtualConnections {
    this.sum += this.alive.size * (this.sim.now - this.summedAt)
    this.summedAt = this.sim.now
    return { now: this.alive.size, mean: this.sum / this.sim.now, peak: this.peak, begun: this.begun }
  }
}

export const eachByAFiber = ({ connect, options, outage, requests, until }: Play): Played => {
  const sim = new Simulation(1)
  const server = new Server(sim)
  const make = ElasticPool.make({ ...options, acquire: server.connect(connect), isTransient: () => true })
  const made = sim.fork(Scope.extend(make, Effect.runSync(Scope.make()))).unsafePoll()
  if (made === null || Exit.isFailure(made)) throw new Error("the pool was not made")
  const pool = made.value
  const waits = requests.map(() => NaN)

  const hold = (connection: Connection, millis: number) =>
    Effect.async<void, "lost">((resume) => {
      connection.lose = () => resume(Effect.fail("lost"))
      return Effect.sync(sim.schedule(millis, () => resume(Effect.void)))
    })
  requests.forEach(({ at, hold: millis }, i) =>
    sim.schedule(at, () => {
      sim.fork(pool.use((connection) => {
        const wait = sim.now - at
        return Effect.tap(hold(connection, millis), () => waits[i] = wait)
      }))
    })
  )
  if (outage !== undefined) {
    sim.schedule(outage.at, () => {
      server.isDown = true
      for (const connection of server.alive) {
        connection.isBroken = true
        sim.fork(pool.invalidate(connection))
      }
      for (const { lose } of server.alive) lose()
    })
    sim.schedule(outage.at + outage.length, () => server.isDown = false)
  }
  while (sim.now < until) sim.advance(1000)
  return {
    waits,
    connections: server.count(),
    stats: sim.fork(pool.stats).unsafePoll()!.pipe(Exit.getOrElse(() => {
      throw new Error("no stats")
    }))
  }
}
