/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type { OwnQuery } from "../driver/handOver.js"
import type { Sender } from "../session/request.js"
import type { Session } from "../session/session.js"
import type { TransactionLevel } from "./level.js"

/**
 * A statement that begins or ends a transaction on its connection. Once it is sent it ends by itself, even if its caller is
 * interrupted (R22).
 *
 * @internal
 */
export class ControlStatement implements Sender {
  isCutOff = false
  /** Whether the transaction around it can't be committed if nobody knows what became of this statement. */
  dooms = false
  onLateAnswer?: Required<Sender>["onLateAnswer"]

  constructor(
    private readonly level: TransactionLevel,
    /** The transaction that it ends. */
    private readonly ending?: TransactionLevel
  ) {}

  get refusal(): SqlError | undefined {
    return this.level.refusal ?? this.ending?.whyOver
  }

  onCutOff(): void {
    this.isCutOff = true
    if (this.dooms) this.level.onCutOff()
  }

  get session(): Session {
    return this.level.session
  }

  /** Sends it, and waits for the answer within `queryTimeout`. */
  send(query: string | OwnQuery): Effect.Effect<unknown, SqlError> {
    return this.session.inTime(this.session.query(query, "leave", this))
  }
}
