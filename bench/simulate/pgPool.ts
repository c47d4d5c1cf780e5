/** What `pg-pool` does, in virtual time. */
import type { VirtualCaller, VirtualConnections, VirtualLoan, VirtualTime } from "effect-pgpool/Testing"
import type { Connects, Played, Scene } from "../../plan/src/play.js"

/** In milliseconds: its default. */
const idleTimeout = 10_000

interface Connection {
  isBroken: boolean
  caller?: VirtualCaller
  loan?: VirtualLoan
  /** Ends its time among the idle ones. */
  wake?: () => void
}

/**
 * Below `max` a caller that finds none idle gets the connection that is opened for it, and no other; else it queues. A
 * connect that fails fails its caller. Idle ones are taken last in first out, and closed after `idleTimeoutMillis`.
 */
class PgPool implements Played {
  private readonly all = new Set<Connection>()
  private readonly idle: Array<Connection> = []
  private readonly queue: Array<VirtualCaller> = []
  private begun = 0
  private peak = 0
  private sum = 0
  private summedAt = 0

  constructor(
    private readonly max: number,
    private readonly time: VirtualTime,
    private readonly connects: Connects
  ) {}

  readonly request = (caller: VirtualCaller): void => {
    const connection = this.idle.pop()
    connection?.wake?.()
    if (connection !== undefined) this.serve(connection, caller)
    else if (this.all.size < this.max) this.open(caller)
    else this.queue.push(caller)
  }

  private open(caller: VirtualCaller): void {
    const connection: Connection = { isBroken: false }
    this.count()
    this.all.add(connection)
    this.begun++
    this.peak = Math.max(this.peak, this.all.size)
    this.time.after(this.connects.connect(), () => {
      if (!connection.isBroken && this.connects.opens()) return this.serve(connection, caller)
      this.remove(connection)
      // Its error is that of the connect, and not one of a pool of ours.
      caller.refused?.(undefined as never)
    })
  }

  private serve(connection: Connection, caller: VirtualCaller): void {
    let hasEnded = false
    const end = () => {
      if (hasEnded) return
      hasEnded = true
      this.release(connection)
    }
    Object.assign(connection, { caller, loan: { end } })
    caller.lent({ end })
  }

  private release(connection: Connection): void {
    delete connection.caller
    if (connection.isBroken) return this.remove(connection)
    const next = this.queue.shift()
    if (next !== undefined) return this.serve(connection, next)
    this.idle.push(connection)
    connection.wake = this.time.after(idleTimeout, () => this.closeIdle(connection))
  }

  private closeIdle(connection: Connection): void {
    this.idle.splice(this.idle.indexOf(connection), 1)
    this.remove(connection)
  }

  private remove(connection: Connection): void {
    this.count()
    this.all.delete(connection)
    const next = this.queue.shift()
    if (next !== undefined) this.open(next)
  }

  readonly breakConnections = (): void => {
    const broken = [...this.all]
    for (const connection of broken) connection.isBroken = true
    for (const connection of [...this.idle]) {
      connection.wake?.()
      this.closeIdle(connection)
    }
    for (const { caller, loan } of broken) if (caller !== undefined && loan !== undefined) caller.lost?.(loan)
  }

  private count(): void {
    this.sum += this.all.size * (this.time.now - this.summedAt)
    this.summedAt = this.time.now
  }

  readonly connections = (): VirtualConnections => {
    this.count()
    return { now: this.all.size, mean: this.sum / this.time.now, peak: this.peak, begun: this.begun }
  }

  readonly close = (): void => {
    for (const { wake } of this.idle) wake?.()
  }
}

export const pgPool = (max: number): Scene["pool"] => (time, connects) => new PgPool(max, time, connects)
