/**
 * What can't be known after a connection was lost.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * A statement was sent and its answer was lost: it may have taken effect or not. Never retried by this library, and
 * only to be retried by a caller who knows that running it twice does no harm (R22). It is the `cause` of an
 * `SqlError`.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutcomeUnknown extends Data.TaggedError("OutcomeUnknown")<{
  /** How the connection was lost. */
  readonly cause: unknown
}> {
  override get message(): string {
    return "The connection was lost before the answer came: the statement may have taken effect or not"
  }
}

/**
 * A COMMIT was sent and its answer was lost: the transaction may be stored or not (R22). It is the `cause` of an
 * `SqlError`.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitOutcomeUnknown extends Data.TaggedError("CommitOutcomeUnknown")<{
  /** How the connection was lost. */
  readonly cause: unknown
}> {
  override get message(): string {
    return "The connection was lost before COMMIT was answered: the transaction may be stored or not"
  }
}
