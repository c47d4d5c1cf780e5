/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Target } from "../config/target.js"
import { connectError, onConnectFailed } from "../errors/errors.js"
import { Lease } from "../lease/lease.js"
import { warnOfPooler } from "../session/pooler.js"
import type { Session } from "../session/session.js"

/** Runs `setupSql` and `onConnect`: before a session's first use, and again after DISCARD ALL. @internal */
export const setUp = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    if (target.setupSql !== undefined) {
      yield* Effect.mapError(session.query<unknown>(target.setupSql, "leave"), ({ cause }) => connectError(cause))
    }
    yield* warnOfPooler(target, session)
    if (target.onConnect !== undefined) yield* runOnConnect(target.onConnect, session)
  })

const runOnConnect = (
  onConnect: NonNullable<Target["onConnect"]>,
  session: Session
): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    const lease = new Lease(session)
    yield* Effect.suspend(() => onConnect(lease)).pipe(
      Effect.catchAllCause((cause) => Effect.failCause(onConnectFailed(cause))),
      Effect.ensuring(Effect.sync(() => lease.end()))
    )
    yield* settle(session)
    if (session.isInTransaction) return yield* connectError(new Error("onConnect has left a transaction open"))
  })

/** Waits until it is settled, and still is when the wait is over: others may have waited for the same moment. @internal */
export const settle = (session: Session): Effect.Effect<void> =>
  Effect.flatMap(session.settled, () => session.isSettled ? Effect.void : settle(session))
