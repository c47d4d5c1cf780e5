/** The requests of a file, as they are read. A day has millions: they are kept as numbers side by side. */
import type { Hold, Source } from "../load.js"
import { Random } from "../random.js"
import { meanOf } from "../words/hold.js"

/** From here on a time in milliseconds is one since 1970 (this is 1973), and below one since the load began. */
const firstDate = 1e11

/** In milliseconds. */
const units = { second: 1000, minute: 60_000, hour: 3_600_000 }

type Unit = keyof typeof units

type Listed = Exclude<Source, { readonly _tag: "Rate" }>

export class Requests {
  private at: Float64Array = new Float64Array(1024)
  private holds: Float64Array = new Float64Array(1024)
  private count = 0

  get length(): number {
    return this.count
  }

  /** The time of the last one that was added. */
  get last(): number {
    return this.count === 0 ? -Infinity : this.at[this.count - 1]
  }

  /** `hold` is NaN where it is not known. */
  add(at: number, hold: number): void {
    if (this.count === this.at.length) {
      this.at = twice(this.at)
      this.holds = twice(this.holds)
    }
    this.at[this.count] = at
    this.holds[this.count++] = hold
  }

  /**
   * The longest unit that all times are whole numbers of, where some are the same. Of a single time one can't know: then
   * it is a second.
   */
  unit(): Unit | undefined {
    const times = this.at.subarray(0, this.count)
    const areTogether = times.some((time, i) => i > 0 && time === times[i - 1])
    const isWhole = (unit: Unit) => times.every((time) => time % units[unit] === 0)
    if (!areTogether || !isWhole("second")) return undefined
    if (times.every((time) => time === times[0]) || !isWhole("minute")) return "second"
    return isWhole("hour") ? "hour" : "minute"
  }

  /** Times in whole units would be a burst at the beginning of each: they are spread over it by chance. */
  spread(unit: Unit, seed: number): void {
    const { at, count } = this
    const random = new Random(seed)
    for (let from = 0, to = 0; from < count; from = to) {
      while (to < count && at[to] === at[from]) to++
      const offsets = Float64Array.from({ length: to - from }, () => units[unit] * random.uniform()).sort()
      offsets.forEach((offset, i) => at[from + i] += offset)
    }
  }

  /** The times were those of the ends. */
  moveToBeginnings(): void {
    for (let i = 0; i < this.count; i++) this.at[i] -= this.holds[i]
  }

  /** Holds that are not known are taken from the others by chance. Tells how many. */
  fillHolds(seed: number): number {
    const known = this.holds.subarray(0, this.count).filter((hold) => !Number.isNaN(hold))
    if (known.length === 0) return this.count
    const random = new Random(seed)
    for (let i = 0; i < this.count; i++) {
      if (Number.isNaN(this.holds[i])) this.holds[i] = known[Math.floor(random.uniform() * known.length)]
    }
    return this.count - known.length
  }

  /**
   * In order, from the first one on, or from 0 if the times count from there and none is before it. With `hold` instead of
   * those recorded. The load lasts until the last hold ends: where holds are drawn, the mean tells when.
   */
  finish(name: string, hold: Hold | undefined): { readonly source: Listed; readonly began: number | undefined } {
    this.sort()
    const { count } = this
    const began = this.at[0] >= firstDate ? this.at[0] : undefined
    const first = began ?? Math.min(0, this.at[0])
    const at = shared(count)
    for (let i = 0; i < count; i++) at[i] = this.at[i] - first
    if (hold !== undefined) {
      return { source: { _tag: "Arrivals", name, duration: at[count - 1] + meanOf(hold), at, hold }, began }
    }
    const duration = at.reduce((end, time, i) => Math.max(end, time + this.holds[i]), 1)
    const holds = shared(count)
    holds.set(this.holds.subarray(0, count))
    return { source: { _tag: "Recorded", name, duration, at, holds }, began }
  }

  private sort(): void {
    const { at, count, holds } = this
    if (at.subarray(1, count).every((time, i) => time >= at[i])) return
    const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => at[a] - at[b] || a - b)
    this.at = Float64Array.from(order, (i) => at[i])
    this.holds = Float64Array.from(order, (i) => holds[i])
  }
}

const twice = (numbers: Float64Array): Float64Array => {
  const more = new Float64Array(2 * numbers.length)
  more.set(numbers)
  return more
}

/** All worker threads read the same memory. */
const shared = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(8 * length))
