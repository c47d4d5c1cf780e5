/** @internal */
import type * as Clock from "effect/Clock"

/** How long a statement waits for the others on its connection (R23). @internal */
export interface TurnLimits {
  /** In milliseconds of `clock`, the policy clock of the pool (R14). */
  readonly turnTimeout: number
  readonly clock: Clock.Clock
}
