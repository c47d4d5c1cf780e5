/** Chance that is the same for the same seed. */
export class Random {
  constructor(private seed: number) {}

  /** From 0 to 1, without 1 (mulberry32). */
  uniform(): number {
    this.seed = (this.seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.seed ^ (this.seed >>> 15), this.seed | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** With a mean of 1. */
  exponential(): number {
    return -Math.log(1 - this.uniform())
  }

  /** With a mean of 0 and a deviation of 1. */
  normal(): number {
    return Math.sqrt(2 * this.exponential()) * Math.cos(2 * Math.PI * this.uniform())
  }
}
