/** @internal */

/** In milliseconds. */
const minute = 60_000

/**
 * So many lines a minute: what happens again and again must not flood the log. What got no line is for its owner to
 * count, and to say.
 *
 * @internal
 */
export class LineLimit {
  private begunAt = -Infinity
  private lines = 0

  constructor(private readonly perMinute: number) {}

  /** Takes a line, if there is one left. */
  take(now: number): boolean {
    this.goOn(now)
    return this.lines++ < this.perMinute
  }

  /** When all of them are there again. */
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
