/** @internal */
import type { PoolStats } from "../../PoolStats.js"
import { Alarm } from "./alarm.js"
import type { Outbox } from "./outbox.js"
import type { Port } from "./port.js"
import type { Environment, Settings } from "./settings.js"

/**
 * A part of the pool's life. It ends when no connection is left in it, or when another phase begins before that.
 *
 * @internal
 */
export class Phase {
  private wasEmptied: boolean | undefined = undefined
  private readonly watchers = new Set<(wasEmptied: boolean) => void>()

  constructor(private readonly outbox: Outbox) {}

  /** Only the first end counts. */
  end(wasEmptied: boolean): void {
    this.wasEmptied ??= wasEmptied
    for (const watcher of this.watchers) this.outbox.post(() => watcher(wasEmptied))
    this.watchers.clear()
  }

  /** Calls `end` once, when it has ended. The result calls that off. */
  onEnd(end: (wasEmptied: boolean) => void): () => void {
    if (this.wasEmptied !== undefined) end(this.wasEmptied)
    else this.watchers.add(end)
    return () => this.watchers.delete(end)
  }
}

/**
 * Whether the pool serves, and how it comes to an end: open and suspended take turns, then it is drained or closed, for
 * good. Each phase but the first has an end that one can wait for: no connection is left.
 *
 * @internal
 */
export class Lifecycle {
  state: PoolStats["state"] = "open"
  /** No waiter is served any more. The pool only waits for borrowers that still use a connection. */
  isClosing = false
  phase: Phase
  private suspendedAt = 0
  private drainedAt = 0
  /** How many connections were closed under their borrowers. */
  cutOffs = 0
  /** When a suspended pool resumes by itself. */
  private readonly alarm: Alarm
  /** Until when borrowers have time, once the pool comes to its end. */
  private readonly deadline: Alarm

  constructor(
    private readonly settings: Settings,
    private readonly env: Environment,
    private readonly pool: Port<any, any>
  ) {
    this.phase = new Phase(env.outbox)
    this.alarm = new Alarm(env, () => (this.resume(), Infinity))
    this.deadline = new Alarm(env.io, () => (this.cutOff(), Infinity))
  }

  /** Whether callers may join the queue. */
  get admits(): boolean {
    return this.state === "open" || this.state === "suspended"
  }

  /** Whether waiters get connections. */
  get serves(): boolean {
    return this.state === "open" || (this.state === "draining" && !this.isClosing)
  }

  /** For how long this caller has waited at `now`. While the pool is suspended, time stands still for it. */
  waitOf({ since }: { readonly since: number }, now: number): number {
    return this.state === "suspended" ? Math.max(0, this.suspendedAt - since) : now - since
  }

  /** A permit came back, or a waiter has left. */
  look(): void {
    if (this.state === "open") return
    const { tally, waiters } = this.pool
    if (tally.size > 0 || (this.state === "draining" && waiters.size > 0)) return
    if (this.state === "draining") this.pool.operator.stop()
    this.deadline.stop()
    this.phase.end(true)
  }

  private enter(state: PoolStats["state"]): void {
    if (state !== this.state) this.pool.news.stateChanged(this.state, state)
    this.phase.end(false)
    this.phase = new Phase(this.env.outbox)
    this.state = state
    this.alarm.stop()
  }

  /** Gives the phase in which the pool is suspended, unless it comes to its end. */
  suspend(): Phase | undefined {
    return this.env.outbox.section(() => {
      if (this.state !== "open") return this.state === "suspended" ? this.phase : undefined
      this.enter("suspended")
      this.suspendedAt = this.env.now()
      this.alarm.arm(this.suspendedAt + this.settings.suspendTimeout)
      this.pool.operator.suspend()
      this.look()
      return this.phase
    })
  }

  resume(): void {
    this.env.outbox.section(() => {
      if (this.state !== "suspended") return
      this.enter("open")
      this.pool.operator.resume(this.suspendedAt, this.env.now())
    })
  }

  /** After `within` milliseconds the pool waits for no borrower any longer. The shortest of all calls counts. */
  drain(within = Infinity): void {
    this.env.outbox.section(() => {
      this.resume()
      if (this.admits) {
        this.enter("draining")
        this.drainedAt = this.env.io.now()
        this.pool.operator.drain()
      }
      this.deadline.arm(this.env.io.now() + within)
      this.look()
    })
  }

  /** R13. Connections still in use have `closeTimeout` to come back. */
  close(): void {
    this.env.outbox.section(() => {
      this.enter("closing")
      this.deadline.arm(this.env.io.now() + this.settings.closeTimeout)
      this.end()
      this.look()
    })
  }

  /** Connections still in use have had their time. */
  private cutOff(): void {
    const { tally: { in: { busy } }, waiters: { size: waiting } } = this.pool
    if (!this.isClosing && busy + waiting > 0) this.report(busy, waiting)
    this.end()
    this.cutOffs += busy
    this.pool.operator.closeBusy()
  }

  private end(): void {
    this.isClosing = true
    this.pool.operator.stop()
    this.pool.operator.close()
  }

  private report(busy: number, waiting: number): void {
    const after = Math.round(this.env.io.now() - this.drainedAt)
    this.env.log.warn(
      `The drain has not ended by itself within ${after} ms. Connections still in use, now closed under their ` +
        `borrowers: ${busy}. Callers still in the queue, now refused: ${waiting}.`
    )
  }
}
