/** @internal */
import { LinkedList } from "./linkedList.js"
import type { Loan } from "./loan.js"
import type { Timers } from "./runtime.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"

/**
 * Decides how long callers wait at `maxsize`, and when they are due for overflow connections: by the fixed rule, or by
 * a forecast.
 *
 * @internal
 */
export interface WaitPolicy {
  /** The milliseconds after which a waiter is due in any case (R4). */
  readonly maxwait: number
  /** The milliseconds for which a returned connection is kept unused although `maxsize` connections are idle. */
  readonly linger: number
  /** The number of `waiting` callers that are due at once, while `checking` connections are being checked. */
  readonly due: (waiting: number, checking: number, now: number) => number
  /** The time when more callers may be due, even if nothing happens until then. */
  readonly dueAt: (now: number) => number

  // The events:
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
 * The longest connect time that the forecast assumes. It is `maxwait` in the seed's example. A time that was measured
 * on a bad day, or before a quiet night, may be wrong, but it must not make callers wait longer with "auto" than with
 * that fixed `maxwait`.
 *
 * @internal
 */
export const longestConnect = 200

/** The connect time is the median of this many connects: a few slow ones do not decide, and five of a new kind do. */
const connectsRemembered = 9

/**
 * The loan time is a moving average over some thirty loans: enough to even out chance, and few enough to follow a
 * change.
 */
const weightOfLoan = 1 / 32

/**
 * A loan that has lasted for this many times the loan time is not expected to end soon: most loans are short, and this
 * one is not of their kind. Of loans that end by mere chance fewer than two in a hundred last so long.
 */
const longInLoans = 4

/**
 * The number of standard deviations by which fewer connections are expected to come back than the mean. Chance makes
 * two standard deviations missing in only one of forty cases. A waiter that counts on the mean is wrong every other
 * time, and then waits longer than if it had asked for a new connection at once.
 */
const doubt = 2

/**
 * A connection that was not used for this many times the connect time is closed. So no connection spends more than a
 * ninth of its time on being opened, and no load makes the pool open and close more often than once in that time for
 * each overflow permit. Simulated days decided on the number (`bench/simulate`): 25 takes a sixth more connections on
 * average, and callers wait as long; 5 saves a thirtieth, for nearly twice as many connects.
 */
const lingerInConnects = 8

/**
 * In milliseconds. The lower bound of `linger`: even if a connect takes no time at all, it costs the server a new
 * process.
 */
const shortestLinger = 150

/**
 * `maxwait: "auto"`. A waiter is due when a new connection is likely to be there for it sooner than one that comes
 * back.
 *
 * A connect that starts now is ready after the connect time. Until then, each connection in use comes back about once
 * per loan time, or somewhat less often; a connection that has been out for far longer than that is not counted. But as
 * many new callers as in the last connect time will come again. If the connections in use can't serve these too, the
 * queue grows. Waiters that would get no connection in this way are due. (Each connection that is being opened serves
 * one due waiter: the pool's cover.) A waiter that has waited for the connect time is due as well: by then a connection
 * should have come back, and none did.
 *
 * @internal
 */
export class Forecast implements WaitPolicy {
  /** The last connect times, the latest first. */
  private readonly connectTimes: Array<number> = []
  /** Zero until a connection was opened: no caller waits because of a guess. */
  private connectTime = 0
  private loanTime: number | undefined = undefined
  /** The loans that are expected to end soon, the oldest first. */
  private readonly expected = new LinkedList<Loan<unknown>>()
  /**
   * The number of callers before the latest one, which came at `askedAt`: those of the last `window`, weighted by age.
   */
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

  /**
   * With half a connect time as the window, the weighted callers are as old, on average, as all callers of a whole
   * connect time.
   */
  private get window(): number {
    return Math.max(this.connectTime, this.loan) / 2
  }

  /** Until a connection came back, a loan is assumed to last as long as a connect. */
  private get loan(): number {
    return this.loanTime ?? this.connectTime
  }

  /**
   * The clock counts whole milliseconds, so one is added: a loan that begins in one millisecond and is still out in the
   * next may be shorter than that.
   */
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
    // Under a `TestClock` a connect to a real server takes no time at all. That must not look as if no connect had been
    // seen.
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

  /**
   * A long loan counts as one that is just not long: it says nothing about the others. If many loans are long, the loan
   * time grows until they no longer count as long.
   */
  private count(loan: number): void {
    // If loans are so long that no connection of all comes back within a connect time, longer loans tell nothing more.
    const longest = Math.min(2 * this.settings.maxoverflow * this.connectTime, this.longLoan)
    loan = Math.min(loan, longest)
    this.loanTime = this.loanTime === undefined ? loan : this.loanTime + (loan - this.loanTime) * weightOfLoan
  }
}
