/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ConnectTimedOut } from "../../pool/life.js"
import { within } from "../../time/deadline.js"
import { withFresh } from "../config/password.js"
import type { Target } from "../config/target.js"
import { asConnectError, connectError, withHint } from "../errors/errors.js"
import { reachServer } from "../session/pooler.js"
import { checkRole } from "../session/roles.js"
import type { Session } from "../session/session.js"
import type { Place } from "./dial.js"
import { dial } from "./dial.js"
import { open } from "./open.js"
import { setUp } from "./setUp.js"

/**
 * Opens a session, in a scope that closes it. An interrupt destroys the socket at once. Every failure is one of the
 * connect, defects too: then the pool waits before it dials again (R18).
 *
 * @internal
 */
export const connect = (
  target: Target,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.catchAllCause(establish(target, onLost), (cause) => Effect.fail(withHint(asConnectError(cause), target.hint)))

/**
 * The same within `connectTimeout`, for a session that is not the pool's: no pool watches over its connect.
 *
 * @internal
 */
export const connectInTime = (
  target: Target,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  within(connect(target, onLost), {
    millis: target.connectTimeout,
    clock: target.io.clock,
    onTimeout: () => connectError(new ConnectTimedOut(target.connectTimeout))
  })

/** Dials until a server has let us in and has the right role, and sets the session up. */
const establish = (
  target: Target,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const first = yield* target.password
    const openAt = (place: Place) =>
      withFresh(first, target.password, (password) => open(target, password, place, onLost))
    const session = yield* dial(
      target,
      (place, role) => Effect.tap(openAt(place), (session) => checkRole(session, role))
    )
    // If the connection was lost, that is the failure, and not that of the statement that ran then.
    yield* Effect.mapError(
      Effect.zipRight(reachServer(target, session), setUp(target, session)),
      (error) => session.isAlive ? error : connectError(session.loss)
    )
    // A borrower of a session that is lost already would only have the next one dialled, without a pause.
    if (!session.isAlive) return yield* connectError(session.loss)
    return session
  })
