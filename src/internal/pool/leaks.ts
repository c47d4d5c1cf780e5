/** @internal */
import { oneLine } from "../words.js"
import { Alarm } from "./alarm.js"
import { LineLimit } from "./lineLimit.js"
import { LinkedList } from "./linkedList.js"
import type { Borrower, Log, Span, Timers } from "./runtime.js"
import { nameOf, spanOf } from "./runtime.js"

/** The lines about single loans; what they leave out is counted in one line more. */
const linesPerMinute = 10

/** A loan that is watched. @internal */
export class Held<A> {
  /** Those that began before and after it, of those that are not late. */
  earlier: Held<A> | undefined = undefined
  later: Held<A> | undefined = undefined
  isLate = false
  /** Whether the log has it that it is late. */
  isTold = false
  /** In which it began: its borrower may be in another one when it is late. */
  readonly span: Span

  constructor(readonly value: A, readonly borrower: Borrower, readonly since: number) {
    this.span = spanOf(borrower)
  }
}

/**
 * Tells of loans that last for longer than `leakThreshold`, and when they have ended after all. All may last for the same
 * time, so the oldest is the first to be late, and one sleeping fiber does for all of them.
 *
 * @internal
 */
export class Leaks<A> {
  /** Those that are not late. */
  private readonly loans = new LinkedList<Held<A>>()
  private readonly alarm: Alarm
  private readonly limit = new LineLimit(linesPerMinute)
  /** What has got no line. */
  private late = 0
  private back = 0
  /** When that is told. */
  private countDueAt = Infinity
  private hasStopped = false

  constructor(
    /** `leakThreshold`, in milliseconds. */
    private readonly threshold: number,
    private readonly timers: Timers,
    private readonly log: Log,
    /** A name by which its user can find a resource. */
    private readonly describe: ((value: A) => string) | undefined
  ) {
    this.alarm = new Alarm(timers, () => this.ring())
  }

  /** A loan begins. */
  watch(value: A, borrower: Borrower): Held<A> | undefined {
    if (this.hasStopped) return undefined
    const held = new Held(value, borrower, this.timers.now())
    this.loans.push(held)
    this.alarm.arm(held.since + this.threshold)
    return held
  }

  /** It ends. */
  end(held: Held<A>): void {
    if (!held.isLate) return this.loans.remove(held)
    if (this.hasStopped) return
    const now = this.timers.now()
    if (!held.isTold || !this.limit.take(now)) return this.leaveOut("back", now)
    const line = `that was held for more than ${this.threshold} ms came back after ${now - held.since} ms`
    this.log.info(`${this.nameOf(held)} ${line}. ${origin(held)}`, held.borrower)
  }

  /** Whoever still holds one has it closed under him. */
  stop(): void {
    this.hasStopped = true
    this.alarm.stop()
    this.sayLeftOut()
  }

  private ring(): number {
    const now = this.timers.now()
    if (now >= this.countDueAt) this.sayLeftOut()
    const { loans } = this
    while (loans.first !== undefined && loans.first.since + this.threshold <= now) this.isLate(loans.first, now)
    return Math.min(this.countDueAt, (loans.first?.since ?? Infinity) + this.threshold)
  }

  private isLate(held: Held<A>, now: number): void {
    this.loans.remove(held)
    held.isLate = true
    held.isTold = this.limit.take(now)
    if (!held.isTold) return this.leaveOut("late", now)
    const line = `has been held for more than ${this.threshold} ms`
    this.log.warn(`${this.nameOf(held)} ${line}. ${origin(held)}`, held.borrower)
  }

  private nameOf({ value }: Held<A>): string {
    return this.describe === undefined ? "A connection" : `A connection (${this.describe(value)})`
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
      ...late > 0 ? [`${late} more connections were held for more than ${this.threshold} ms`] : [],
      ...back > 0 ? [`${back} that had been held for so long came back`] : []
    ]
    const line = `Beyond ${linesPerMinute} lines a minute: ${counts.join(", ")}.`
    this.log[late > 0 ? "warn" : "info"](line)
  }
}

const origin = <A>({ borrower, span }: Held<A>): string => {
  const place = span?._tag === "Span" ? `in span ${oneLine(span.name)} (${span.spanId})` : "outside any span"
  return `It was taken ${place} by fiber ${nameOf(borrower)}.`
}
