/** @internal */
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import type { Slot, State } from "./slot.js"

/**
 * What the pool counts: its connections by state, and what has happened so far.
 *
 * @internal
 */
export class Tally {
  readonly in = { opening: 0, idle: 0, busy: 0, checking: 0, closing: 0 } satisfies Record<State, number>
  /** Permits in use. It rises before a connection's fiber starts and falls after its permit is back. */
  size = 0
  /** Leases that are out. */
  borrowers = 0
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

  add(slot: Slot<unknown>): void {
    this.size++
    this.in[slot.state]++
  }

  move(slot: Slot<unknown>, state: State): void {
    this.in[slot.state]--
    this.in[state]++
    slot.state = state
  }

  lend(slot: Slot<unknown>): void {
    slot.borrowers++
    this.borrowers++
    this.acquired++
  }

  giveBack(slot: Slot<unknown>): void {
    slot.borrowers--
    slot.uses++
    this.borrowers--
  }

  remove(slot: Slot<unknown>): void {
    this.size--
    this.in[slot.state]--
    this.borrowers -= slot.borrowers
    this.closed[slot.closeReason]++
  }

  stats(): Omit<PoolStats, "state" | "maxsize" | "maxoverflow" | "waiting"> {
    const { acquired, closed, opened, size, timeouts } = this
    return { size, ...this.in, acquired, opened, closed: { ...closed }, timeouts }
  }
}
