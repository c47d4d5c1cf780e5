import type { Option } from "effect"
import { Effect } from "effect"
import { Socket } from "node:net"
import type { Chance } from "./chance.js"

/** A point in time: so many turns of the event loop from now, for what goes on between two timers, or milliseconds. */
export type Moment = { readonly turns: number } | { readonly millis: number }

export const drawMoment = (chance: Chance, maxMillis: number): Moment =>
  chance.is(0.3) ? { turns: chance.integer(0, 6) } : { millis: chance.integer(0, maxMillis) }

/** Calls back at that moment. Gives what calls it off. */
export const at = (moment: Moment, call: () => void): () => void => {
  if ("millis" in moment) {
    const timer = setTimeout(call, moment.millis)
    return () => clearTimeout(timer)
  }
  let left = moment.turns
  let next: NodeJS.Immediate | undefined = undefined
  const turn = () => {
    if (left-- > 0) next = setImmediate(turn)
    else call()
  }
  turn()
  return () => clearImmediate(next)
}

/** What is not done by then is interrupted. */
export const cutOff = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  moment: Moment
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.raceFirst(
    Effect.asSome(effect),
    Effect.async<Option.Option<A>>((resume) => {
      const callOff = at(moment, () => resume(Effect.succeedNone))
      return Effect.sync(callOff)
    })
  )

/**
 * Moments at which no timer ever rings: the server has just said something, or an operation has ended. A connection may
 * have been given back and handed over then, but no fiber has gone on yet.
 */
export class Beats {
  private readonly waiting = new Set<{ left: number; readonly call: () => void }>()

  /** For the `stream` of a client. */
  readonly socket = (): Socket => {
    const socket = new Socket()
    // When `pg` has dealt with it, but before what wakes the fibers: that is put into the same queue later.
    socket.on("data", () => queueMicrotask(() => this.beat()))
    return socket
  }

  beat(): void {
    for (const one of this.waiting) {
      if (--one.left > 0) continue
      this.waiting.delete(one)
      one.call()
    }
  }

  /** Calls back at one of the next. Gives what calls it off. */
  after(count: number, call: () => void): () => void {
    const one = { left: count, call }
    this.waiting.add(one)
    return () => this.waiting.delete(one)
  }
}
