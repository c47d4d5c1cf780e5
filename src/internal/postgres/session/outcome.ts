/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import { NotSent } from "../../../PgError.js"
import { Supplanted } from "../driver/handOver.js"
import {
  hasEndedIdle,
  isHeldBack,
  isReadOnly,
  isServerError,
  isSessionLost,
  isWriteError,
  leavesOutcomeOpen
} from "../errors/codes.js"
import { lostAnswer, statementError } from "../errors/errors.js"

/** In what a query has failed. @internal */
export interface Situation {
  readonly hasEnded: boolean
  /** How the connection was lost, if it was. */
  readonly loss: unknown
  /** The server's last words, if a query before has heard them. */
  readonly farewell: unknown
  /** Nothing was sent after this query. */
  readonly isLatest: boolean
  /** The session is of no use where nothing can be written. */
  readonly isForWriting: boolean
}

/**
 * What a failure tells of the session itself:
 *
 * - `farewell`: these are the server's last words. What it has not answered by then it has not done.
 * - `wrong role`: its host can't be written to any more.
 * - `held back`: a pooler has no session of the server for it.
 * - `lost`: this is how the connection was lost.
 *
 * @internal
 */
export type Note = "farewell" | "wrong role" | "held back" | "lost"

/** @internal */
export interface Outcome {
  /** What the caller is told. */
  readonly told: SqlError
  /** What the session has to note. */
  readonly notes: ReadonlyArray<Note>
}

/**
 * What a failed query tells its caller: the server's words, that the answer was lost, or that the query can have had no
 * effect (R22). The last one is retried elsewhere, so it is told only where that is known. An error of an unknown kind
 * is the statement's own while the session lives, and leaves the outcome open when it has ended.
 *
 * @internal
 */
export const outcomeOf = (error: unknown, situation: Situation): Outcome => {
  try {
    return ofReadable(error, situation)
  } catch {
    // A type parser of the user's may throw anything. What is thrown here would end the process.
    return ofReadable(new Error("A failure that can't be read"), situation)
  }
}

const ofReadable = (error: unknown, situation: Situation): Outcome => {
  const { farewell, hasEnded, isLatest, loss } = situation
  if (isServerError(error)) return ofServer(error, situation)
  // One error of the socket comes to all that are in flight. The server has not looked at what is behind its last words.
  if (farewell !== undefined) return only(notSent(loss ?? farewell))
  // The socket did not take all of the query. Without its end the server has done nothing that lasts.
  if (isLatest && isWriteError(error)) return only(notSent(loss ?? error))
  if (error instanceof Supplanted) return only(lostAnswer(error))
  return only(hasEnded ? lostAnswer(loss ?? error) : statementError(error))
}

const ofServer = (error: unknown, { hasEnded, isForWriting }: Situation): Outcome => {
  if (leavesOutcomeOpen(error, hasEnded)) return only(lostAnswer(error))
  const notes: Array<Note> = []
  // A statement may raise the same error by itself, and then its session lives on.
  if (hasEnded && isSessionLost(error)) notes.push("farewell")
  if (isForWriting && isReadOnly(error)) notes.push("wrong role")
  if (isHeldBack(error)) notes.push("held back")
  else if (!hasEndedIdle(error)) return { told: statementError(error), notes }
  notes.push("lost")
  return { told: notSent(error), notes }
}

const only = (told: SqlError): Outcome => ({ told, notes: [] })

/** The query can have had no effect: it was never sent, or the server has not begun it. @internal */
export const notSent = (cause: unknown): SqlError => statementError(new NotSent({ cause }))
