/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Reach } from "../../pool/reach.js"
import type { Log } from "../../pool/runtime.js"
import { leaveAfter } from "../../time/deadline.js"
import { codeOf } from "../errors/codes.js"
import { ControlStatement } from "./control.js"
import type { Kind } from "./kinds.js"
import type { TransactionLevel } from "./level.js"

/** What clean-up after a transaction needs of the client. */
interface Surroundings {
  readonly reach: Reach
  readonly log: Log
}

/**
 * Undoes in a fiber of its own what was begun on this connection, and then lets others have their turn. It never fails:
 * the body's own failure is what counts.
 *
 * @internal
 */
export const undo = (
  surroundings: Surroundings,
  level: TransactionLevel,
  { isNested, rollback }: Kind
): Effect.Effect<Fiber.Fiber<void>> => {
  const { session } = level
  const rolledBack = () => isNested ? undefined : session.onRollback()
  const rollBack = Effect.zipRight(
    session.settled,
    Effect.suspend(() =>
      session.isInTransaction
        ? Effect.map(session.query(rollback, "leave", new ControlStatement(level)), rolledBack)
        : Effect.void
    )
  ).pipe(
    // There is no such savepoint: the transaction around it had failed before.
    Effect.catchIf(({ cause }) => codeOf(cause) === "3B001", () => Effect.void)
  )
  return leaveBehind(surroundings, level, rollBack, (late) => {
    session.destroy(`its ROLLBACK failed or ${late}`)
    surroundings.log.warn(`A ROLLBACK failed or ${late}: its connection is closed`)
  })
}

/** Lets a COMMIT whose caller has gone take its course: the server has committed or undone it, or will have. @internal */
export const leaveCommit = (surroundings: Surroundings, level: TransactionLevel): Effect.Effect<Fiber.Fiber<void>> =>
  leaveBehind(surroundings, level, level.session.settled, (late) => level.session.destroy(`it ${late}`))

/** Ends the turn with `work`, in a fiber of its own. A session for which `cleanupTimeout` is not enough is given up. */
const leaveBehind = (
  { reach: { cleanupTimeout } }: Surroundings,
  level: TransactionLevel,
  work: Effect.Effect<unknown, SqlError>,
  giveUp: (late: string) => void
): Effect.Effect<Fiber.Fiber<void>> => {
  const done = leaveAfter(work, cleanupTimeout, level.session.target.io.clock).pipe(
    Effect.map((exit) => {
      // A lease that has ended leaves the rest to the connection's own fiber (R15), and a lost session to the server.
      if (!level.isAlive || !level.session.isAlive || (Option.isSome(exit) && Exit.isSuccess(exit.value))) return
      giveUp(`took longer than cleanupTimeout (${Math.round(cleanupTimeout)} ms)`)
    }),
    Effect.ensuring(Effect.sync(() => level.release()))
  )
  level.beginUndo()
  return Effect.forkDaemon(done)
}
