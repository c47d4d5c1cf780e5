/** @internal */
import type { Time } from "./alarm.js"
import type { Settings } from "./settings.js"
import type { Slot } from "./slot.js"

/**
 * How long callers wait at `maxsize`, and overflow connections for callers: by the fixed rule, or by a forecast.
 *
 * @internal
 */
export interface Patience {
  /** After so many milliseconds a waiter is due, whatever else is known (R4). */
  readonly maxwait: number
  /** For so many milliseconds a connection that came back is kept unused, though `maxsize` are idle. */
  readonly linger: number
  /** How many waiters are due at once, where so many wait and so many connections are in use. */
  readonly due: (waiting: number, inUse: number) => number

  // What happens:
  readonly asked: (now: number) => void
  readonly dialled: (slot: Slot<unknown>) => void
  readonly opened: (slot: Slot<unknown>, now: number) => void
  readonly lent: (slot: Slot<unknown>) => void
  readonly returned: (slot: Slot<unknown>, now: number) => void
}

/** @internal */
export const makePatience = (settings: Settings, time: Time): Patience =>
  settings.maxwait === "auto" ? new Forecast(settings, time) : fixed(settings.maxwait)

const nothing = () => {}

const fixed = (maxwait: number): Patience => ({
  maxwait,
  linger: 0,
  due: () => maxwait === 0 ? Infinity : 0,
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
 * A connection that was not used for so many times the time of a connect is closed: no connection spends more than an
 * eighth of its time on being opened again. Simulated days decided on the number (`bench/simulate`): 25 takes a sixth
 * more connections on average, and callers wait as long; 5 saves a thirtieth, for nearly twice as many connects.
 */
const lingerInConnects = 8

/** Milliseconds. However near the server is, each connect takes it a new process. */
const shortestLinger = 150

/**
 * `maxwait: "auto"`. A waiter is due when a new connection is likely to be there for it sooner than one that comes back.
 *
 * A connect that starts now is ready after the time of a connect. Until then each connection in use comes back once in
 * the time of a loan. But as many callers as came in the last time of a connect will come again, and if those in use can't
 * serve them too, the queue grows. The waiters for whom this leaves nothing are due. (Those that are being opened serve as
 * many due ones: the pool's cover.) So is everybody who has waited for the time of a connect: nothing came back, though
 * it should have, because the connections in use are stuck.
 *
 * @internal
 */
export class Forecast implements Patience {
  /** Latest first. */
  private readonly connectTimes: Array<number> = []
  /** Zero as long as nothing was opened: nobody waits on a guess. */
  private connectTime = 0
  private loanTime: number | undefined = undefined
  /** Callers before the latest, who came at `askedAt`: those of the last `window`, weighted by age. */
  private callers = 0
  private askedAt = -Infinity

  constructor(private readonly settings: Settings, private readonly time: Time) {}

  get maxwait(): number {
    return this.connectTime
  }

  get linger(): number {
    return this.connectTime === 0 ? 0 : Math.max(this.connectTime * lingerInConnects, shortestLinger)
  }

  due(waiting: number, inUse: number): number {
    if (this.connectTime === 0 || inUse === 0) return waiting
    const comingBack = inUse * this.connectTime / this.loan
    const comingNew = this.decay(this.time.now()) * this.callers * this.connectTime / this.window
    return waiting - Math.max(0, Math.floor(comingBack - comingNew))
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

  dialled(slot: Slot<unknown>): void {
    slot.since = this.time.now()
  }

  opened(slot: Slot<unknown>, now: number): void {
    this.connectTimes.unshift(now - slot.since)
    this.connectTimes.splice(connectsRemembered)
    const median = [...this.connectTimes].sort((a, b) => a - b)[this.connectTimes.length >> 1]
    // Under a `TestClock` a connect to a real server takes no time at all, and that is not the same as none.
    this.connectTime = Math.max(1, Math.min(median, longestConnect))
  }

  lent(slot: Slot<unknown>): void {
    slot.since = this.time.now()
  }

  returned(slot: Slot<unknown>, now: number): void {
    // Where loans are so long that of all connections none comes back within a connect, longer ones say no more. So one
    // of an hour doesn't spoil the mean.
    const longest = 2 * this.settings.maxoverflow * this.connectTime
    const loan = Math.min(now - slot.since, longest)
    this.loanTime = this.loanTime === undefined ? loan : this.loanTime + (loan - this.loanTime) * weightOfLoan
  }
}
