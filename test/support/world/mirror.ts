import type { CloseReason, PoolStats } from "effect-pgpool/PoolStats"
import type { State } from "../../../src/internal/pool/slot.js"
import type { Meter, NoLoan } from "../../../src/internal/pool/tally.js"

/** Counts only what a meter is told, and so must come to what the pool says of itself. */
export class Mirror implements Meter {
  hasEnded = false
  private readonly counts = { opening: 0, idle: 0, busy: 0, checking: 0, closing: 0 }
  private readonly sums = {
    acquired: 0,
    connectFailures: 0,
    heldTotal: 0,
    leaked: 0,
    opened: 0,
    waitedTotal: 0,
    waiting: 0
  }
  private readonly peaks = { peakBusy: 0, peakSize: 0 }
  private readonly closes: Partial<Record<CloseReason, number>> = {}
  private readonly ends: Partial<Record<NoLoan, number>> = {}
  private limits: Pick<PoolStats, "maxsize" | "maxoverflow">

  constructor({ maxoverflow, maxsize }: Pick<PoolStats, "maxsize" | "maxoverflow">) {
    this.limits = { maxsize, maxoverflow }
  }

  moved(from: State | undefined, to: State | undefined): void {
    if (from !== undefined) this.counts[from]--
    if (to !== undefined) this.counts[to]++
    const { busy, checking, closing, idle, opening } = this.counts
    this.peaks.peakBusy = Math.max(this.peaks.peakBusy, busy)
    this.peaks.peakSize = Math.max(this.peaks.peakSize, opening + idle + busy + checking + closing)
  }

  queued(by: 1 | -1): void {
    this.sums.waiting += by
  }

  lent(waited: number): void {
    this.sums.acquired++
    this.sums.waitedTotal += waited
  }

  returned(held: number): void {
    this.sums.heldTotal += held
  }

  opened(): void {
    this.sums.opened++
  }

  connectFailed(): void {
    this.sums.connectFailures++
  }

  closed(reason: CloseReason): void {
    this.closes[reason] = (this.closes[reason] ?? 0) + 1
  }

  ended(why: NoLoan): void {
    this.ends[why] = (this.ends[why] ?? 0) + 1
  }

  /** The pool has no number of these. */
  overflowed(): void {}

  leaked(): void {
    this.sums.leaked++
  }

  limited(maxsize: number, maxoverflow: number): void {
    this.limits = { maxsize, maxoverflow }
  }

  end(): void {
    this.hasEnded = true
  }

  /** What it says otherwise than `stats`. It is asked after each task, so this makes no objects. */
  differsFrom(stats: PoolStats): string | undefined {
    const { closes, counts, ends, limits, peaks, sums } = this
    return differing(sums, stats) ?? differing(peaks, stats) ?? differing(limits, stats) ?? differing(counts, stats) ??
      differing(closes, stats.closed) ?? differing(stats.closed, closes) ??
      differing(stats.refused, ends)
  }
}

const differing = (these: Numbers, those: Numbers): string | undefined => {
  for (const key in these) {
    const is = these[key] ?? 0
    if (is !== (those[key] ?? 0)) return `${key}: ${is}, not ${those[key]}`
  }
}

type Numbers = { readonly [key: string]: any }
