import type { PoolStats } from "effect-pgpool/PoolStats"
import type { Books } from "./books.js"
import type { Seen } from "./seen.js"

/** What holds at every instant, whatever is under way. */
export class EveryInstant {
  constructor(private readonly books: Books, private readonly seen: Seen) {}

  look(): void {
    const { books } = this
    const { last, stats } = books
    this.notice(last, stats)
    books.last = stats
    this.seen.opening(last.opening, stats.opening)
    this.addsUp(stats)
    this.staysWithin(last, stats)
    this.idlesWithin(stats)
    const wrong = books.mirror.differsFrom(stats)
    books.expect(wrong === undefined, "R41", () => `the meter was told something else, ${wrong}`)
    if (books.closingAt === undefined) {
      const isNeeded = stats.opening <= last.opening || this.mayOpen(last, stats)
      books.expect(isNeeded, "R4", () => "a connect starts that nobody needs")
    }
    const real = books.count((conn) => conn.phase !== "closed" && !books.isLeftBehind(conn))
    books.expect(real <= stats.size, "I1", () => `${real} are really open`)
  }

  /** Suspensions, and a close, take some steps until they have come to something. */
  private notice(last: PoolStats, stats: PoolStats): void {
    const { books } = this
    if (stats.state === "suspended" && last.state !== "suspended") {
      books.suspensions.push({ from: books.now, to: Infinity })
      books.evicted(0, false)
    }
    if (stats.state !== "suspended" && last.state === "suspended") books.suspensions.at(-1)!.to = books.now
    if ((stats.state === "closing" && last.state !== "closing") || books.cutAt <= books.now) {
      for (const conn of books.conns) {
        if (conn.phase === "connecting") conn.askedAt = Math.min(conn.askedAt, books.now)
      }
    }
    if (stats.state === "suspended") {
      books.expect(stats.opening <= last.opening, "suspend", () => "a connect starts while the pool is suspended")
    }
    if (stats.size >= stats.maxoverflow) books.fullAt = books.now
  }

  private addsUp({ busy, checking, closing, idle, opening, size, waiting }: PoolStats): void {
    const { books } = this
    books.expect(opening + idle + busy + checking + closing === size, "I1", () => "the states don't add up to size")
    const least = Math.min(opening, idle, busy, checking, closing, waiting)
    books.expect(least >= 0, "I1", () => "a count is negative")
  }

  private staysWithin(last: PoolStats, { maxoverflow, opening, size }: PoolStats): void {
    const { books } = this
    books.expect(size <= maxoverflow || size <= last.size, "I1", () => `size is above maxoverflow and was ${last.size}`)
    books.expect(size <= maxoverflow || opening <= last.opening, "I1", () => "a connect starts above maxoverflow")
  }

  private idlesWithin({ checking, idle, maxoverflow, maxsize, waiting }: PoolStats): void {
    const { books } = this
    const { canCheck, isAuto, share } = books.options
    const mayIdle = isAuto ? maxoverflow : maxsize
    books.expect(idle <= mayIdle, "I2", () => `more than ${mayIdle} are idle`)
    if (books.closingAt !== undefined) return
    const excused = canCheck && checking * share >= waiting
    books.expect(waiting === 0 || idle === 0 || excused, "I2", () => "somebody waits while a connection is idle")
  }

  /** Whether somebody is due: below maxsize at once, else after maxwait (R3, R4). "auto" has to see somebody wait. */
  private mayOpen(last: PoolStats, { maxsize, size }: PoolStats): boolean {
    const { books } = this
    const { isAuto, maxwait, minsize } = books.options
    const mayRenewOrRetry = minsize > 0 || books.hasResized || books.evictions.length > 0 ||
      books.badAt > -Infinity || books.hardFailures > 0
    if (mayRenewOrRetry) return true
    const isYoung = books.conns.every((conn) =>
      conn.phase !== "connecting" || conn.startedAt + conn.youngFor > books.now
    )
    if (!isYoung || size <= maxsize) return true
    const least = isAuto ? 0 : maxwait
    return books.waiting.some((caller) => books.waited(caller) >= least)
  }
}
