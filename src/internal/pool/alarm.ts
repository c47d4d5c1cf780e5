/** @internal */
import type { Sleeper, Timers } from "./runtime.js"

/**
 * One fiber that sleeps until something is due, whatever the number of things that can become due. It isn't woken when
 * they go away: it looks again when it rings. While nothing is due it rests, and there is no fiber at all.
 *
 * `ring` does what is due and returns when it wants to ring next, in milliseconds (`Infinity`: rest).
 *
 * @internal
 */
export class Alarm {
  private at = Infinity
  private sleeper: Sleeper | undefined = undefined
  private isSet = false

  constructor(
    private readonly timers: Timers,
    private readonly ring: () => number
  ) {}

  /** Makes sure that it rings at `at` or before. */
  arm(at: number): void {
    if (at >= this.at) return
    this.stop()
    this.at = at
    this.isSet = true
    const { outbox, repeat } = this.timers
    outbox.post(() => this.sleeper = repeat(this.delay, this.rung))
  }

  stop(): void {
    this.at = Infinity
    if (!this.isSet) return
    this.isSet = false
    this.timers.outbox.post(() => {
      if (this.sleeper !== undefined) this.timers.interrupt(this.sleeper)
      this.sleeper = undefined
    })
  }

  private readonly delay = (): number => this.at - this.timers.now()

  private readonly rung = (): void => {
    // While it rings, `ring` returns the next time, whatever is armed meanwhile.
    this.at = -Infinity
    let next = Infinity
    try {
      next = this.ring()
    } finally {
      // A `ring` that throws ends this fiber, but it must not end the alarm.
      this.at = next
    }
  }
}
