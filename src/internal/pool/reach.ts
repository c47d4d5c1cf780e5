/** @internal */

/**
 * A caller relies on a connect for so long at the least (R6), in milliseconds. A little less than a second: where a
 * load balancer keeps the only dial to itself, the next one, and those that follow it, are to be open within a second
 * of the new primary's start.
 */
const leastTrust = 800

/** So many are remembered: the quickest of them met with the fewest hiccups. */
const connectsRemembered = 4

/**
 * How far away the other side is, and so how long what waits for it may take. A connect takes more round trips than a
 * check, a reset or a cancel does: whatever these may take, they have half as much time again as a connect has taken.
 * An option that the user has set stays as it is.
 *
 * @internal
 */
export class Reach {
  /** Milliseconds, the latest first. */
  private readonly connectTimes: Array<number> = []

  constructor(private readonly cleanup: { readonly millis: number; readonly isSet: boolean }) {}

  connected(millis: number): void {
    this.connectTimes.unshift(millis)
    this.connectTimes.splice(connectsRemembered)
  }

  /** How long a check, a reset, a cancel or a good-bye may take, in milliseconds. */
  get cleanupTimeout(): number {
    const { isSet, millis } = this.cleanup
    return isSet ? millis : Math.max(millis, this.roundTrips)
  }

  /** A connect that takes longer no longer counts as cover for a waiter (R6), in milliseconds. */
  get youngFor(): number {
    return Math.max(leastTrust, this.roundTrips)
  }

  private get roundTrips(): number {
    return this.connectTimes.length === 0 ? 0 : 1.5 * Math.min(...this.connectTimes)
  }
}
