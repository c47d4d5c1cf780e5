/** @internal */
import type * as Exit from "effect/Exit"

/** Is told of each statement of a user. @internal */
export interface Operations {
  /** A statement has ended that was begun at `begun`, as `secondsNow` gives it. */
  readonly ended: (begun: number, exit: Exit.Exit<unknown, unknown>) => void
}
