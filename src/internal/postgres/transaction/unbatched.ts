/** @internal */
import * as Effect from "effect/Effect"

/**
 * Runs an effect that makes its requests without waiting for those of its siblings in a batch. For transactions: their
 * queries can't be merged with those of others anyway, and the siblings may be waiting for what this one holds, its turn
 * (R23) or its connection.
 *
 * @internal
 */
export const unbatched = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.step(effect), (step): Effect.Effect<A, E, R> => {
    if (step._op !== "Blocked") return step
    const { effect_instruction_i0: requests, effect_instruction_i1: rest } = step
    // As the runtime does where there is no batch.
    return Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(Effect.forkDaemon(Effect.runRequestBlock(requests)), restore(unbatched(rest)))
    )
  })
