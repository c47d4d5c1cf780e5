/** @internal */
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import type { Slot, State } from "./slot.js"

/**
 * The pool's counters: its connections by state, and the events so far.
 *
 * @internal
 */
export class Tally {
  readonly in = { opening: 0, idle: 0, busy: 0, checking: 0, closing: 0 } satisfies Record<State, number>
  /** Permits in use. It rises before a connection's fiber starts and falls after its permit is back. */
  size = 0
  private acquired = 0
  opened = 0
  timeouts = 0
  private readonly closed: { [reason in CloseReason]: number } = {
    expired: 0,
    evicted: 0,
    renewed: 0,
    idle: 0,
    used: 0,
    surplus: 0,
    invalidated: 0,
    dirty: 0,
    closed: 0,
    failed: 0
  }

  /** How many are in service, or will be again after a check. */
  get open(): number {
    return this.in.idle + this.in.busy + this.in.checking
  }

  added(slot: Slot<unknown>): void {
    this.size++
    this.count(slot.state, 1)
  }

  moved(from: State, to: State): void {
    this.count(from, -1)
    this.count(to, 1)
  }

  /** Each loan counts four times; a key that is not written out is several times as slow. */
  private count(state: State, by: number): void {
    switch (state) {
      case "opening":
        this.in.opening += by
        break
      case "idle":
        this.in.idle += by
        break
      case "busy":
        this.in.busy += by
        break
      case "checking":
        this.in.checking += by
        break
      case "closing":
        this.in.closing += by
    }
  }

  lent(): void {
    this.acquired++
  }

  removed(slot: Slot<unknown>): void {
    this.size--
    this.count(slot.state, -1)
    this.closed[slot.closeReason]++
  }

  stats(): Omit<PoolStats, "state" | "maxsize" | "maxoverflow" | "waiting"> {
    const { acquired, closed, opened, size, timeouts } = this
    return { size, ...this.in, acquired, opened, closed: { ...closed }, timeouts }
  }
}
