/** How many times of each length there were, in memory that does not grow. */

/** Each doubling of a time has so many buckets: the middle of one is at most a four-thousandth away from all that it counts. */
const perDoubling = 2048

const bits = Math.log2(perDoubling)

/** Times are told apart down to this, in milliseconds. */
const finest = 1e-3

/** 2^37 of those are more than a day: longer ones count as that long. */
const doublings = 37 - bits

export class Histogram {
  private readonly counts = new Float64Array((doublings + 1) * perDoubling)
  private sum = 0
  private longest = 0
  count = 0

  /** Milliseconds. */
  add(millis: number): void {
    this.counts[Math.min(bucketOf(millis / finest), this.counts.length - 1)]++
    this.count++
    this.sum += millis
    if (millis > this.longest) this.longest = millis
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count
  }

  get max(): number {
    return this.longest
  }

  /** What that part of them does not exceed, with three digits that are right. */
  quantile(part: number): number {
    let left = Math.min(Math.floor(this.count * part) + 1, this.count)
    if (left === 0) return 0
    for (let bucket = 0; bucket < this.counts.length; bucket++) {
      left -= this.counts[bucket]
      if (left <= 0) return Math.min(middleOf(bucket) * finest, this.longest)
    }
    return this.longest
  }
}

/** The first doublings have a bucket for each of the finest; then the first bits of the number are its bucket. */
const bucketOf = (length: number): number => {
  if (length < perDoubling) return Math.round(length) | 0
  const doubling = Math.floor(Math.log2(length)) - bits
  return (doubling + 1) * perDoubling + Math.floor(length / 2 ** doubling) - perDoubling
}

const middleOf = (bucket: number): number => {
  if (bucket < perDoubling) return bucket
  const doubling = Math.floor(bucket / perDoubling) - 1
  return (bucket % perDoubling + perDoubling + 0.5) * 2 ** doubling
}
