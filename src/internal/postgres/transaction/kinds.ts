/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { TransactionOptions } from "../../../PgPool.js"
import type { Log } from "../../pool/runtime.js"
import type { ControlStatement } from "./control.js"
import type { TransactionLevel } from "./level.js"
import { beginOf } from "./options.js"
import { commitOutcome, lateCommit, notCommitted, wasUndone } from "./outcome.js"

/** How a transaction of one kind begins and ends. @internal */
export interface Kind {
  readonly begin: string
  readonly rollback: string
  readonly isNested: boolean
  /** BEGIN is sent with the first statement of the body. Without options no server refuses it; a pooler may. */
  readonly beginsWithBody: boolean
  /** What its caller is told of a failure. */
  readonly told: <E>(level: TransactionLevel, cause: Cause.Cause<E>) => Cause.Cause<E | SqlError>
  /** The log is told what became of it once its caller has gone. */
  readonly commit: (statement: ControlStatement, log: Log) => Effect.Effect<void, SqlError>
}

/** @internal */
export const transaction = (options: TransactionOptions): Kind => {
  const begin = beginOf(options)
  return {
    begin,
    rollback: "ROLLBACK",
    isNested: false,
    beginsWithBody: begin === "BEGIN",
    told: notCommitted,
    commit: (statement, log) => {
      const outcomeOf = (answer: Exit.Exit<unknown, SqlError>) => {
        if (wasUndone(answer)) statement.session.onRollback()
        return commitOutcome(answer)
      }
      statement.onLateAnswer = (answer) => lateCommit(log, outcomeOf(answer))
      return Effect.matchCauseEffect(statement.send("COMMIT"), {
        onFailure: (cause) => outcomeOf(Exit.failCause(cause)),
        onSuccess: (answer) => outcomeOf(Exit.succeed(answer))
      })
    }
  }
}

/** A transaction nested in another one. @internal */
export const savepoint = (outer: TransactionLevel): Kind => {
  const name = `effect_pgpool_${outer.nextSavepoint()}`
  return {
    begin: `SAVEPOINT ${name}`,
    rollback: `ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}`,
    isNested: true,
    beginsWithBody: false,
    told: (_, cause) => cause,
    commit: (statement) => {
      // The transaction around it must not keep the work of a nested one that was said to be interrupted.
      statement.dooms = true
      return Effect.asVoid(statement.send(`RELEASE SAVEPOINT ${name}`))
    }
  }
}
