/** @internal */
import type { Percentiles } from "../../PoolStats.js"

/** How long one set of buckets is in use, in milliseconds: with the set before it, it covers the last minute. */
const turn = 30_000

/** Four buckets for each doubling: a bucket ends at most a quarter above where it begins. */
const perDoubling = 4

/** Up to three milliseconds each has a bucket of its own. The last bucket is for whatever is longer than six days. */
const buckets = 30 * perDoubling

const bucketOf = (millis: number): number => {
  const whole = Math.min(Math.max(0, millis), 2 ** 29) | 0
  if (whole < perDoubling) return whole
  const doubling = 31 - Math.clz32(whole)
  return (doubling - 1) * perDoubling + (whole >> (doubling - 2)) - perDoubling
}

/** The longest time in a bucket. */
const endOf = (bucket: number): number => {
  if (bucket < perDoubling) return bucket
  const doubling = Math.floor(bucket / perDoubling) + 1
  return (bucket % perDoubling + perDoubling + 1 << doubling - 2) - 1
}

/**
 * How long something took during the last minute. Two sets of buckets take turns: one collects, and the other one has
 * the times of the turn before. So a time costs an increment, and old times are forgotten without a look at each.
 *
 * @internal
 */
export class Recent {
  private latest = new Uint32Array(buckets)
  private before = new Uint32Array(buckets)
  private turnEndsAt = -Infinity
  /** As long as nothing is added: callers are refused in crowds, and each error has them. */
  private known: Percentiles | undefined = undefined

  add(millis: number, now: number): void {
    this.known = undefined
    if (now >= this.turnEndsAt) this.takeTurns(now)
    this.latest[bucketOf(millis)]++
  }

  percentiles(now: number): Percentiles {
    if (now >= this.turnEndsAt) this.takeTurns(now)
    return this.known ??= this.summed
  }

  private get summed(): Percentiles {
    let count = 0
    for (let n = 0; n < buckets; n++) count += this.latest[n] + this.before[n]
    const at = (part: number): number => {
      let left = Math.max(1, Math.ceil(count * part))
      for (let n = 0; n < buckets; n++) {
        left -= this.latest[n] + this.before[n]
        if (left <= 0) return endOf(n)
      }
      return 0
    }
    return { count, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
  }

  private takeTurns(now: number): void {
    this.known = undefined
    const isNext = now < this.turnEndsAt + turn
    const { before, latest } = this
    this.latest = before.fill(0)
    this.before = isNext ? latest : latest.fill(0)
    // In a quiet time a turn that began late would keep the one before it for too long.
    this.turnEndsAt = isNext ? this.turnEndsAt + turn : now + turn
  }
}
