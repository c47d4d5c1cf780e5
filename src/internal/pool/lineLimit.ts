/** @internal */

/** A minute in milliseconds. */
const minute = 60_000

/**
 * A limit of lines a minute: an event that happens again and again must not flood the log. The owner of the limit
 * counts the events that got no line, and logs their number.
 *
 * @internal
 */
export class LineLimit {
  private begunAt = -Infinity
  private lines = 0

  constructor(private readonly perMinute: number) {}

  /** Takes a line. Returns whether one was left. */
  take(now: number): boolean {
    this.goOn(now)
    return this.lines++ < this.perMinute
  }

  /** The time when all lines are available again. */
  renewedAt(now: number): number {
    this.goOn(now)
    return this.begunAt + minute
  }

  private goOn(now: number): void {
    if (now - this.begunAt < minute) return
    this.begunAt = now
    this.lines = 0
  }
}
