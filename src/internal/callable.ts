/** @internal */
import type * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"

/**
 * An effect that can also be called as a function, with options.
 *
 * @internal
 */
export const callable = <A, E, R, Args extends ReadonlyArray<unknown>, B>(
  effect: Effect.Effect<A, E, R>,
  withOptions: (...args: Args) => B
): Effect.Effect<A, E, R> & ((...args: Args) => B) =>
  Object.assign(
    (...args: Args) => withOptions(...args),
    Effectable.CommitPrototype as Effect.Effect<A, E, R>,
    { commit: () => effect }
  )
