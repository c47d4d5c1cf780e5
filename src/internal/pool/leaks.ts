/** @internal */
import * as PoolHolder from "../../PoolHolder.js"
import { formatMillis, oneLine } from "../words.js"
import { Alarm } from "./alarm.js"
import { LineLimit } from "./lineLimit.js"
import { LinkedList } from "./linkedList.js"
import type { Loan } from "./loan.js"
import type { Port } from "./port.js"
import type { Log, Timers } from "./runtime.js"

/** The limit of lines about single loans. One more line counts the loans that got no line. */
const linesPerMinute = 10

/** A loan that is watched. @internal */
export class LeakWatch<A> {
  /** The watches of the loans that began just before and after this one, among those that are not late. */
  earlier: LeakWatch<A> | undefined = undefined
  later: LeakWatch<A> | undefined = undefined
  isLate = false
  /** Whether the log says that the loan is late. */
  isTold = false

  constructor(readonly loan: Loan<A>) {}
}

/**
 * Logs loans that last longer than `leakThreshold`, and logs again when such a loan has ended. All loans have the same
 * threshold, so the oldest loan is the first to be late, and one sleeping fiber watches all of them.
 *
 * @internal
 */
export class Leaks<A> {
  /** The loans that are not late. */
  private readonly watches = new LinkedList<LeakWatch<A>>()
  private readonly alarm: Alarm
  private readonly limit = new LineLimit(linesPerMinute)
  /** The numbers of late and of returned loans that got no line. */
  private late = 0
  private back = 0
  /** The time when these numbers are logged. */
  private countDueAt = Infinity
  private hasStopped = false

  constructor(
    /** `leakThreshold`, in milliseconds. */
    private readonly threshold: number,
    private readonly timers: Timers,
    private readonly log: Log,
    private readonly pool: Port<A, any>
  ) {
    this.alarm = new Alarm(timers, () => this.ring())
  }

  /** Watches a loan that begins. */
  watch(loan: Loan<A>): void {
    if (this.threshold === Infinity || this.hasStopped) return
    const watch = loan.leakWatch = new LeakWatch(loan)
    this.watches.push(watch)
    this.alarm.arm(loan.since + this.threshold)
  }

  /** Ends the watch of a loan that ends. */
  end(watch: LeakWatch<A>): void {
    if (!watch.isLate) return this.watches.remove(watch)
    this.pool.news.cameBack(watch.loan)
    if (this.hasStopped) return
    const now = this.timers.now()
    if (!watch.isTold || !this.limit.take(now)) return this.leaveOut("back", now)
    const after = formatMillis(now - watch.loan.since)
    this.say("info", watch, now, `that was held for more than ${this.limitText} came back after ${after}`)
  }

  /** Stops when the pool closes. A connection that is still held then is closed while its borrower uses it. */
  stop(): void {
    this.hasStopped = true
    this.alarm.stop()
    this.sayLeftOut()
  }

  private ring(): number {
    const now = this.timers.now()
    if (now >= this.countDueAt) this.sayLeftOut()
    while (this.nextLateAt <= now) this.isLate(this.watches.first!, now)
    return Math.min(this.countDueAt, this.nextLateAt)
  }

  private get nextLateAt(): number {
    return (this.watches.first?.loan.since ?? Infinity) + this.threshold
  }

  private isLate(watch: LeakWatch<A>, now: number): void {
    this.watches.remove(watch)
    watch.isLate = true
    this.pool.tally.leaked()
    this.pool.news.leaked(watch.loan)
    watch.isTold = this.limit.take(now)
    if (!watch.isTold) return this.leaveOut("late", now)
    this.say("warn", watch, now, `has been held for more than ${this.limitText}`)
  }

  private say(level: "info" | "warn", { loan }: LeakWatch<A>, now: number, what: string): void {
    const holder = this.pool.holders.of(loan, now)
    const { processId } = holder
    const connection = processId === undefined ? "A connection" : `A connection (server process ${processId})`
    this.log[level](`${connection} ${what}: ${oneLine(PoolHolder.describe(holder))}`, loan.borrower)
  }

  private get limitText(): string {
    return formatMillis(this.threshold)
  }

  private leaveOut(what: "back" | "late", now: number): void {
    this[what]++
    this.countDueAt = this.limit.renewedAt(now)
    this.alarm.arm(this.countDueAt)
  }

  private sayLeftOut(): void {
    const { back, late } = this
    if (late + back === 0) return
    this.late = this.back = 0
    this.countDueAt = Infinity
    const counts = [
      ...late > 0 ? [`${late} more connections were held for more than ${this.limitText}`] : [],
      ...back > 0 ? [`${back} that had been held for so long came back`] : []
    ]
    const line = `Beyond ${linesPerMinute} lines a minute: ${counts.join(", ")}.`
    this.log[late > 0 ? "warn" : "info"](line)
  }
}
