/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Target } from "../config/target.js"
import { connectError } from "../errors/errors.js"
import type { Session } from "../session/session.js"
import { settle, setUp } from "./setUp.js"

/**
 * Makes a session fit for the next borrower, or fails (R15). It waits for what is still in flight, and for a cancel
 * that could still hit something (R16).
 *
 * @internal
 */
export const reset = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    yield* settle(session)
    if (!session.isAlive) return yield* session.notSent()
    if (session.isInTransaction) {
      if (target.reset === "none") return yield* connectError(new Error("a transaction was left open"))
      yield* session.query<unknown>("ROLLBACK", "leave")
      session.onRollback()
    }
    if (target.reset === "session") {
      yield* session.query<unknown>("DISCARD ALL", "leave")
      yield* setUp(target, session)
    }
  })
