import { Effect, Option, Utils } from "effect"

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

/** A point in time: so many turns of the event loop from now, for what goes on between two timers, or milliseconds. */
export type Moment = { readonly turns: number } | { readonly millis: number }

export const drawMoment = (chance: Chance, maxMillis: number): Moment =>
  chance.is(0.3) ? { turns: chance.integer(0, 6) } : { millis: chance.integer(0, maxMillis) }

export const reach = (moment: Moment): Effect.Effect<void> =>
  "millis" in moment
    ? Effect.sleep(moment.millis)
    : Effect.async<void>((resume) => {
      let left = moment.turns
      let next: NodeJS.Immediate | undefined = undefined
      const turn = () => {
        if (left-- > 0) next = setImmediate(turn)
        else resume(Effect.void)
      }
      turn()
      return Effect.sync(() => clearImmediate(next))
    })

/** What is not done by then is interrupted. */
export const cutOff = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  moment: Moment
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.raceFirst(Effect.asSome(effect), Effect.as(reach(moment), Option.none()))
