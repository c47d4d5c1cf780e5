/** @internal */
import type { Time } from "./alarm.js"
import { Alarm } from "./alarm.js"
import type { Slot } from "./slot.js"
import { youngFor } from "./slot.js"

/**
 * Tells of connects that have taken so long that no caller should rely on them (R6), at least once in each `youngFor`, and
 * ends those that have taken as long as `connectTimeout`. One sleeping fiber does for all: one for each would be a good
 * part of what it takes to open many at once, which is when callers wait for it.
 *
 * @internal
 */
export class ConnectWatch<A> {
  private readonly alarm: Alarm

  constructor(
    private readonly connectTimeout: number,
    /** That of I/O (R14). */
    private readonly time: Time,
    private readonly connections: Iterable<Slot<A>>,
    private readonly stale: (slots: ReadonlyArray<Slot<A>>) => void
  ) {
    this.alarm = new Alarm(time, () => this.ring())
  }

  /** A connect has begun. */
  watch(slot: Slot<A>): void {
    this.alarm.arm(this.lookAt(slot, slot.dialledAt))
  }

  stop(): void {
    this.alarm.stop()
  }

  private ring(): number {
    const now = this.time.now()
    for (const slot of this.connecting()) if (now - slot.dialledAt >= this.connectTimeout) slot.timeOut()
    const stale = this.inTime(now).filter(({ dialledAt }) => now - dialledAt >= youngFor)
    if (stale.length > 0) this.stale(stale)
    // Others may have begun instead.
    return Math.min(...this.inTime(now).map((slot) => this.lookAt(slot, now)))
  }

  private connecting(): ReadonlyArray<Slot<A>> {
    return [...this.connections].filter(({ state }) => state === "opening")
  }

  private inTime(now: number): ReadonlyArray<Slot<A>> {
    return this.connecting().filter(({ dialledAt }) => now - dialledAt < this.connectTimeout)
  }

  /** When it is looked at after `now`. */
  private lookAt({ dialledAt }: Slot<A>, now: number): number {
    const looks = Math.floor((now - dialledAt) / youngFor)
    return dialledAt + Math.min(this.connectTimeout, (looks + 1) * youngFor)
  }
}
