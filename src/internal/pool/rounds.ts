/** @internal */
import { Alarm } from "./alarm.js"
import type { Port } from "./port.js"

/** In milliseconds. */
const perRound = 60_000

/** What is done in the rounds. @internal */
export interface Watchman {
  /** The first caller after a quiet time has come: the first round ends in a minute. */
  readonly begin: () => void
  /** A round has ended. */
  readonly look: () => void
}

/**
 * Has a watchman look at the pool once a minute, for as long as callers come. A quiet pool has no timer for that.
 *
 * @internal
 */
export class Rounds {
  private watchman: Watchman | undefined = undefined
  private isResting = false
  private hasTraffic = false
  private readonly alarm: Alarm

  constructor(private readonly pool: Port<any, any>) {
    this.alarm = new Alarm(pool.env, () => this.ring())
  }

  assign(watchman: Watchman): void {
    this.watchman = watchman
    this.isResting = true
  }

  /** A caller has come. */
  asked(now: number): void {
    this.hasTraffic = true
    if (!this.isResting) return
    this.isResting = false
    this.watchman?.begin()
    this.alarm.arm(now + perRound)
  }

  stop(): void {
    this.isResting = false
    this.alarm.stop()
  }

  private ring(): number {
    const isQuiet = !this.hasTraffic && this.pool.waiters.size === 0
    this.hasTraffic = false
    // If the look fails, the next caller begins the rounds anew.
    this.isResting = true
    this.watchman?.look()
    this.isResting = isQuiet
    return isQuiet ? Infinity : this.pool.env.now() + perRound
  }
}
