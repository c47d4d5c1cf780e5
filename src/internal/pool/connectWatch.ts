/** @internal */
import { Alarm } from "./alarm.js"
import type { Port } from "./port.js"
import type { Timers } from "./runtime.js"
import type { Slot } from "./slot.js"

/**
 * Tells of connects that have taken so long that no caller should rely on them (R6), at least once in each `youngFor`
 * of theirs, and ends those that have taken as long as `connectTimeout`. One sleeping fiber does for all: one for each
 * would be a good part of what it takes to open many at once, which is when callers wait for it.
 *
 * @internal
 */
export class ConnectWatch<A> {
  private readonly alarm: Alarm

  constructor(
    private readonly connectTimeout: number,
    /** That of I/O (R14). */
    private readonly timers: Timers,
    private readonly opening: Iterable<Slot<A>>,
    private readonly pool: Port<A, any>
  ) {
    this.alarm = new Alarm(timers, () => this.ring())
  }

  /** A connect has begun. */
  watch(slot: Slot<A>): void {
    this.alarm.arm(this.lookAt(slot, slot.dialledAt))
  }

  stop(): void {
    this.alarm.stop()
  }

  private ring(): number {
    const now = this.timers.now()
    const stale: Array<Slot<A>> = []
    for (const slot of this.opening) {
      const age = now - slot.dialledAt
      if (age >= this.connectTimeout) this.timers.outbox.post(() => slot.timeOut(this.connectTimeout))
      else if (age >= slot.youngFor) stale.push(slot)
    }
    for (const slot of stale) this.pool.demand.uncover(slot)
    if (stale.length > 0) this.pool.serve()
    return this.next(now)
  }

  /** When it is to ring after `now`. Other connects may have begun while it rang. */
  private next(now: number): number {
    let next = Infinity
    for (const slot of this.opening) {
      if (now - slot.dialledAt < this.connectTimeout) next = Math.min(next, this.lookAt(slot, now))
    }
    return next
  }

  /** When it is looked at after `now`. */
  private lookAt({ dialledAt, youngFor }: Slot<A>, now: number): number {
    const looks = Math.floor((now - dialledAt) / youngFor)
    return dialledAt + Math.min(this.connectTimeout, (looks + 1) * youngFor)
  }
}
