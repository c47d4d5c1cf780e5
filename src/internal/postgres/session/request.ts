/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Exit from "effect/Exit"

/**
 * What happens to a statement whose caller is interrupted: it is cancelled on the server, or left to end by itself
 * (a COMMIT must never be cancelled, R22).
 *
 * @internal
 */
export type OnInterrupt = "cancel" | "leave"

/** Whom a query is sent for. @internal */
export interface Sender {
  /** Why it must not be sent any more; asked at the very moment. */
  readonly refusal: SqlError | undefined
  /** Told when the caller is interrupted after it was sent, and before it has heard the answer. */
  onCutOff(): void
  /** Told the answer after that. */
  onLateAnswer?(answer: Exit.Exit<unknown, SqlError>): void
}

/** How a query is sent. @internal */
export interface Manner {
  readonly onInterrupt: OnInterrupt
  /** Others are on their way at the same time, each for itself (`pg` calls that its pipeline mode). */
  readonly isShared?: boolean
  /** Whether it may store something, or nobody can tell. */
  readonly isWrite?: boolean
}

/** A query that was sent. @internal */
export interface Request<A> {
  /** The answer, once it is there. */
  readonly answer: Exit.Exit<A, SqlError> | undefined
  /** Nobody waits for the answer any more. It is told all the same. */
  readonly abandon: () => void
}

/**
 * A class although it has one use: V8 comes to allocate object literals that outlive a few collections among the old
 * objects, where each would keep all that its query was made of until the next major collection.
 *
 * @internal
 */
export class Sent<A> implements Request<A> {
  answer: Exit.Exit<A, SqlError> | undefined = undefined
  constructor(readonly abandon: () => void) {}
}
