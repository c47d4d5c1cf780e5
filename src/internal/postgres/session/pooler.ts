/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { named } from "../../words.js"
import type { Target } from "../config/target.js"
import { ask } from "./ask.js"
import type { Session } from "./session.js"

/**
 * The server process that answers now. A server begins a session with the number of the process that will serve it. Where
 * another process answers, there is a pooler in between, which may give each transaction another session of the server.
 *
 * @internal
 */
export const servingProcess = (session: Session): Effect.Effect<number, SqlError> =>
  Effect.map(ask(session, "SELECT pg_backend_pid()"), Number)

/**
 * Targets behind a pooler that has said, as its latest news, that it can't reach the server. By target, since all sessions
 * of a pool share that; weak, so that a pool that is gone is forgotten.
 */
const unreached = new WeakSet<Target>()

/** A pooler has said that it can't reach the server. @internal */
export const heldBack = (target: Target): void => void unreached.add(target)

/**
 * PgBouncer lets clients in while it can't reach the server, and fails their statements. So after such a failure a new
 * session has to have an answer before it is of use. Without one its connect fails, and is tried again as in any outage
 * (R18).
 *
 * @internal
 */
export const reachServer = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.suspend(() =>
    unreached.has(target) ? Effect.map(session.ping, () => void unreached.delete(target)) : Effect.void
  )

/** Targets whose first session was looked at, for the same reasons: one is enough. */
const checked = new WeakSet<Target>()

/**
 * Says in the log, once for each pool, that there is a pooler in between, if an option was given that a pooler may break.
 * Without such an option nothing is asked.
 *
 * @internal
 */
export const warnOfPooler = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    const options = sessionOptions(target)
    if (options.length === 0 || checked.has(target)) return Effect.void
    checked.add(target)
    return servingProcess(session).pipe(
      Effect.flatMap((process) => process === session.processId ? Effect.void : warning(target, options.join(", "))),
      // A server that is not PostgreSQL may not know that function.
      Effect.catchIf(() => session.isAlive, () => Effect.void)
    )
  })

/** What may break behind a pooler, in words for the log. @internal */
export const warning = ({ pool: { name } }: Target, what: string): Effect.Effect<void> => {
  const line =
    `There is a pooler between this pool and the server. Its mode can't be seen from here: ${what} needs one that ` +
    `gives each client a session of the server for itself (PgBouncer: pool_mode = session).`
  return Effect.logWarning(named(name, line))
}

/** The given options that are about the session, and not about one transaction. */
const sessionOptions = ({ onConnect, prepare, reset, setupSql }: Target): ReadonlyArray<string> => [
  ...(setupSql === undefined ? [] : ["statementTimeout, lockTimeout or idleInTransactionTimeout"]),
  ...(reset === "session" ? ["reset: \"session\""] : []),
  ...(prepare === 0 ? [] : ["prepare (or PgBouncer 1.21 with max_prepared_statements)"]),
  ...(onConnect === undefined ? [] : ["what onConnect sets"])
]
