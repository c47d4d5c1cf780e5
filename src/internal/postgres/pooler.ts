/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Target } from "./config.js"
import type { Session } from "./session.js"

/** Pools behind a pooler that has last said that it can't reach the server. */
const unreached = new WeakSet<Target>()

/** @internal */
export const heldBack = (target: Target): void => void unreached.add(target)

/**
 * PgBouncer lets clients in while it can't reach the server, and fails what they ask for. Then a session is of no use
 * before something was answered: so a connect fails, and is tried again as in any outage (R18).
 *
 * @internal
 */
export const reachServer = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.suspend(() =>
    unreached.has(target) ? Effect.map(session.ping, () => void unreached.delete(target)) : Effect.void
  )
