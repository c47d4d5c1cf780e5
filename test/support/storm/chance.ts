import { Utils } from "effect"

/** Chance that is the same for the same seed. */
export class Chance {
  private readonly random: Utils.PCGRandom

  constructor(seed: number) {
    this.random = new Utils.PCGRandom(seed)
  }

  is(probability: number): boolean {
    return this.random.number() < probability
  }

  /** Both ends are included. */
  integer(min: number, max: number): number {
    return min + this.random.integer(max - min + 1)
  }

  pick<A>(all: ReadonlyArray<A>): A {
    return all[this.random.integer(all.length)]
  }

  many<A>(min: number, max: number, make: (i: number) => A): Array<A> {
    return Array.from({ length: this.integer(min, max) }, (_, i) => make(i))
  }

  /** One of its own, so that how much of it is used changes nothing elsewhere. */
  fork(): Chance {
    return new Chance(this.random.integer(2 ** 31))
  }
}
