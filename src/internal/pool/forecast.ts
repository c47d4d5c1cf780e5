/** @internal */
import { LinkedList } from "./linkedList.js"
import type { Loan } from "./loan.js"
import type { Timers } from "./runtime.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"

/**
 * How long callers wait at `maxsize`, and overflow connections for callers: by the fixed rule, or by a forecast.
 *
 * @internal
 */
export interface WaitPolicy {
  /** After so many milliseconds a waiter is due, whatever else is known (R4). */
  readonly maxwait: number
  /** A connection that came back is kept unused for so many milliseconds, though `maxsize` are idle. */
  readonly linger: number
  /** How many of `waiting` callers are due at once, while `checking` connections are being checked. */
  readonly due: (waiting: number, checking: number, now: number) => number
  /** When more of them may be due, though nothing happens. */
  readonly dueAt: (now: number) => number

  // What happens:
  readonly asked: (now: number) => void
  readonly dialled: (slot: Slot<unknown>) => void
  readonly opened: (slot: Slot<unknown>, now: number) => void
  readonly lent: (loan: Loan<unknown>) => void
  readonly returned: (loan: Loan<unknown>, now: number) => void
}

/** @internal */
export const makeWaitPolicy = (settings: Settings, timers: Timers): WaitPolicy =>
  settings.maxwait === "auto" ? new Forecast(settings, timers) : fixed(settings.maxwait)

const nothing = () => {}

const fixed = (maxwait: number): WaitPolicy => ({
  maxwait,
  linger: 0,
  due: () => maxwait === 0 ? Infinity : 0,
  dueAt: () => Infinity,
  asked: nothing,
  dialled: nothing,
  opened: nothing,
  lent: nothing,
  returned: nothing
})

/**
 * No connect is taken to last longer than this, which is `maxwait` in the seed's example: what was measured on a bad day,
 * or before a quiet night, may be wrong, but it must not make "auto" the more patient of the two.
 *
 * @internal
 */
export const longestConnect = 200

/** The connect time is the median of so many: a few that met with a hiccup don't decide, and five of a new kind do. */
const connectsRemembered = 9

/** The loan time is a moving average over some thirty loans: enough for chance, few enough to follow a change. */
const weightOfLoan = 1 / 32

/**
 * Who has had a connection for so many times as long as loans last is not expected to give it back soon: most are short,
 * and this one is not of their kind. Of loans that end by mere chance fewer than two in a hundred last so long.
 */
const longInLoans = 4

/**
 * By chance fewer connections come back than should: it is only in one of forty cases that two standard deviations are
 * missing. A waiter that counts on a mean is wrong every other time, and has then waited longer than if it had not waited.
 */
const doubt = 2

/**
 * A connection that was not used for so many times the time of a connect is closed: none spends more than a ninth of its
 * time on being opened, and so no load makes the pool open and close more often than once in that time for each overflow
 * permit. Simulated days decided on the number (`bench/simulate`): 25 takes a sixth
 * more connections on average, and callers wait as long; 5 saves a thirtieth, for nearly twice as many connects.
 */
const lingerInConnects = 8

/** Milliseconds. However near the server is, even where a connect takes no time at all, it takes it a new process. */
const shortestLinger = 150

/**
 * `maxwait: "auto"`. A waiter is due when a new connection is likely to be there for it sooner than one that comes back.
 *
 * A connect that starts now is ready after the time of a connect. Until then each connection in use comes back once in
 * the time of a loan, or somewhat fewer do, unless it has been out for far longer than that. But as many callers as came in
 * the last time of a connect will come again, and if those in use can't serve them too, the queue grows. The waiters for
 * whom this leaves nothing are due. (Those that are being opened serve as many due ones: the pool's cover.) So is everybody who has waited
 * for the time of a connect: nothing came back, though it should have.
 *
 * @internal
 */
export class Forecast implements WaitPolicy {
  /** Latest first. */
  private readonly connectTimes: Array<number> = []
  /** Zero as long as nothing was opened: nobody waits on a guess. */
  private connectTime = 0
  private loanTime: number | undefined = undefined
  /** Loans that are expected to end soon, the oldest first. */
  private readonly expected = new LinkedList<Loan<unknown>>()
  /** Callers before the latest, who came at `askedAt`: those of the last `window`, weighted by age. */
  private callers = 0
  private askedAt = -Infinity

  constructor(private readonly settings: Settings, private readonly timers: Timers) {}

  get maxwait(): number {
    return this.connectTime
  }

  get linger(): number {
    return Math.max(this.connectTime * lingerInConnects, shortestLinger)
  }

  due(waiting: number, checking: number, now: number): number {
    this.giveUpOld(now)
    const expected = this.expected.size + checking
    if (this.connectTime === 0 || expected === 0) return waiting
    const comingBack = expected * this.connectTime / this.loan
    const comingNew = this.decay(now) * this.callers * this.connectTime / this.window
    return waiting - Math.max(0, Math.floor(comingBack - doubt * Math.sqrt(comingBack) - comingNew))
  }

  dueAt(now: number): number {
    this.giveUpOld(now)
    return this.expected.first === undefined ? Infinity : this.expected.first.since + this.longLoan
  }

  private giveUpOld(now: number): void {
    for (let loan = this.expected.first; loan !== undefined; loan = this.expected.first) {
      if (loan.since + this.longLoan > now) return
      this.giveUp(loan)
    }
  }

  private giveUp(loan: Loan<unknown>): void {
    loan.isExpected = false
    this.expected.remove(loan)
  }

  asked(now: number): void {
    if (this.connectTime === 0) return
    this.callers = this.decay(now) * (this.callers + 1)
    this.askedAt = now
  }

  private decay(now: number): number {
    return Math.exp((this.askedAt - now) / this.window)
  }

  /** With half the time of a connect the weighted callers are as old, on average, as all those of a whole one. */
  private get window(): number {
    return Math.max(this.connectTime, this.loan) / 2
  }

  /** As long as nothing came back a loan is taken to last as long as a connect. */
  private get loan(): number {
    return this.loanTime ?? this.connectTime
  }

  /** The clock has whole milliseconds: a shorter loan may have begun in one and not have ended in the next. */
  private get longLoan(): number {
    return Math.ceil(this.loan * longInLoans) + 1
  }

  dialled(slot: Slot<unknown>): void {
    slot.since = this.timers.now()
  }

  opened(slot: Slot<unknown>, now: number): void {
    this.connectTimes.unshift(now - slot.since)
    this.connectTimes.splice(connectsRemembered)
    const median = [...this.connectTimes].sort((a, b) => a - b)[this.connectTimes.length >> 1]
    // Under a `TestClock` a connect to a real server takes no time at all, and that is not the same as none.
    this.connectTime = Math.max(1, Math.min(median, longestConnect))
  }

  lent(loan: Loan<unknown>): void {
    loan.isExpected = true
    this.expected.push(loan)
  }

  returned(loan: Loan<unknown>, now: number): void {
    if (loan.isExpected) this.giveUp(loan)
    this.count(now - loan.since)
  }

  /** A long one counts as one that is just not: it says nothing of the others. If many are long, that is soon longer. */
  private count(loan: number): void {
    // Where loans are so long that of all connections none comes back within a connect, longer ones say no more.
    const longest = Math.min(2 * this.settings.maxoverflow * this.connectTime, this.longLoan)
    loan = Math.min(loan, longest)
    this.loanTime = this.loanTime === undefined ? loan : this.loanTime + (loan - this.loanTime) * weightOfLoan
  }
}
