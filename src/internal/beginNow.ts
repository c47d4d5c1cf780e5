/** @internal */
import type * as Effect from "effect/Effect"

/** @internal */
export const BeginNow: unique symbol = Symbol.for("effect-pgpool/BeginNow") as never

/** The connection of a transaction whose BEGIN is sent with its first statement, or at once by this. @internal */
export interface BeginsLate<E> {
  readonly [BeginNow]: Effect.Effect<void, E>
}
