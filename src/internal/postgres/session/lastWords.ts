/** @internal */
import { after } from "../../time/time.js"
import type { Target } from "../config/target.js"
import type { Wire } from "../driver/pg.js"
import { isFatal, isServerError } from "../errors/codes.js"
import type { Flight } from "./flight.js"

/** What is needed of a session. */
interface Session {
  readonly client: { readonly connection: Wire }
  readonly target: Target
  readonly flight: Flight
  destroy(): void
}

/**
 * Gives up a session that stays open after the server has said its last words: a statement would wait for more of them for
 * ever. The session has some time, since some poolers say FATAL of a statement and go on with the session.
 *
 * @internal
 */
export const endAfterLastWords = (session: Session): void => {
  session.client.connection.on("errorMessage", (message: unknown) => {
    if (!isServerError(message) || !isFatal(message)) return
    const { io, reach } = session.target
    session.flight.onceReady(after(io, reach.cleanupTimeout, () => session.destroy()))
  })
}
