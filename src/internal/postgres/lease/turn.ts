/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { ConnectionBusy } from "../../../PgError.js"
import type { Restore } from "../../effects.js"
import { within } from "../../time/deadline.js"
import type { TurnLimits } from "../config/turnLimits.js"
import { sqlFailure } from "../errors/codes.js"

/**
 * What can have a connection for itself. A statement and a rollback end by themselves; the others may in turn wait for
 * something that another fiber does.
 *
 * @internal
 */
export type Holder = "statement" | "rollback" | ConnectionBusy["holder"]

/**
 * The turn of the fibers that share a connection: first come, first served (R23).
 *
 * Not a `Semaphore`: there a newcomer could pass the fibers that wait, and a fiber that is interrupted just when it was
 * served would keep the permit for ever.
 *
 * @internal
 */
export class Turn {
  holder: Holder | undefined = undefined
  /** Made when a fiber has to wait: most leases have one fiber only. */
  private waiters: Map<Deferred.Deferred<void>, Holder> | undefined = undefined

  constructor(private readonly limits: TurnLimits) {}

  /** Takes the turn if nobody has it. */
  takeNow(holder: Holder): boolean {
    if (this.holder !== undefined) return false
    this.holder = holder
    return true
  }

  /**
   * Waits for the turn, where `takeNow` could not take it. Must run uninterruptibly: only the wait is restored, and a turn
   * that came all the same is given back.
   */
  wait(holder: Holder, restore: Restore): Effect.Effect<void, SqlError> {
    const turn = Deferred.unsafeMake<void>(FiberId.none)
    this.waiters ??= new Map()
    this.waiters.set(turn, holder)
    return Effect.onError(restore(this.await(turn)), () => Effect.sync(() => this.leave(turn)))
  }

  release(): void {
    const next = this.waiters?.entries().next().value
    this.holder = next?.[1]
    if (next === undefined) return
    this.waiters?.delete(next[0])
    Deferred.unsafeDone(next[0], Exit.void)
  }

  private leave(turn: Deferred.Deferred<void>): void {
    if (this.waiters?.delete(turn) !== true) this.release()
  }

  private await(turn: Deferred.Deferred<void>, waited = 0): Effect.Effect<void, SqlError> {
    const { clock, turnTimeout } = this.limits
    const onTimeout = (): Effect.Effect<void, SqlError> => {
      if (this.waiters?.has(turn) !== true) return Effect.void
      const { holder } = this
      // These end by themselves, and many of them may come before this one.
      if (holder === undefined || holder === "statement" || holder === "rollback") {
        return this.await(turn, waited + turnTimeout)
      }
      const cause = new ConnectionBusy({ holder, waited: waited + turnTimeout, limitMillis: turnTimeout })
      return Effect.fail(sqlFailure({ cause, message: cause.message }))
    }
    return within(Effect.interruptible(Deferred.await(turn)), { millis: turnTimeout, clock, onTimeout })
  }
}
