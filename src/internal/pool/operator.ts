/** @internal */
import type { Port } from "./port.js"

/**
 * The operator's verbs, which concern all connections and waiters at once. `Lifecycle` says when the pool is suspended,
 * drained or closed. `Evictor` has `evict`.
 *
 * @internal
 */
export class Operator<A, E> {
  constructor(private readonly pool: Port<A, E>) {}

  /** Growing serves waiters at once; shrinking retires idle connections and lets the busy ones finish. */
  resize(maxsize: number, maxoverflow: number): void {
    const { connections: { idle }, demand, env: { outbox }, permits, settings, timekeeper } = this.pool
    outbox.section(() => {
      if (maxsize !== settings.maxsize || maxoverflow !== settings.maxoverflow) {
        this.pool.news.resized(maxsize, maxoverflow)
      }
      settings.maxsize = maxsize
      settings.maxoverflow = maxoverflow
      this.pool.tally.meter?.limited(maxsize, maxoverflow)
      // A connection that is to begin has its permit before that, and one that this makes room for has it after that.
      outbox.post(() => permits.resize(maxsize, maxoverflow))
      while (idle.first !== undefined && (idle.size > maxsize || demand.surplus > 0)) {
        this.pool.retire(idle.first, "surplus")
      }
      timekeeper.lookAgain()
      this.pool.serve()
    })
  }

  /** All connections go, as soon as their borrowers give them back. */
  suspend(): void {
    this.pool.timekeeper.stop()
    this.pool.evictor.evictNow()
  }

  /** Serves the waiters again: for them time has stood still. */
  resume(suspendedAt: number, now: number): void {
    this.pool.waiters.stoodStill(suspendedAt, now)
    this.pool.outage.stoodStill(suspendedAt, now)
    this.pool.timekeeper.start(now)
    this.pool.serve(now)
  }

  /** Connections for which no caller waits go. */
  drain(): void {
    this.pool.demand.stopWarming()
    this.pool.evictor.stop()
    const { idle } = this.pool.connections
    while (idle.first !== undefined) this.pool.retire(idle.first, "closed")
  }

  /** Nothing is left that time could do. */
  stop(): void {
    const { connectWatch, leaks, outage, refusals, rounds, sweeper, timekeeper } = this.pool
    for (const timer of [timekeeper, sweeper, connectWatch, outage, leaks, rounds, refusals]) timer.stop()
  }

  /** Refuses all waiters, and closes the connections that no borrower uses. */
  close(): void {
    this.pool.refusals.closeAll()
    for (const slot of this.pool.connections.all) {
      if (slot.state === "idle") this.pool.retire(slot, "closed")
      else if (slot.state !== "busy") this.pool.interrupt(slot)
    }
    this.pool.serve()
  }

  /** Closes connections under their borrowers. */
  closeBusy(): void {
    for (const slot of this.pool.connections.all) if (slot.state === "busy") this.pool.retire(slot, "closed")
  }
}
