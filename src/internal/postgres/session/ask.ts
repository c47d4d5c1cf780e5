/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { StatementQuery } from "../driver/query.js"
import { statementError } from "../errors/errors.js"
import type { Session } from "./session.js"

/**
 * Asks the server for one value, and gives its text as the server wrote it: the user's type parsers could make anything
 * of it.
 *
 * @internal
 */
export const ask = (session: Session, text: string): Effect.Effect<string, SqlError> =>
  Effect.flatMap(
    session.query<Answer>(new StatementQuery({ text, values: [], rowMode: "array", types: asWritten }), "leave"),
    ({ rows }) => {
      const value = rows?.[0]?.[0]
      return typeof value === "string"
        ? Effect.succeed(value)
        : Effect.fail(statementError(new Error(`The server has answered "${text}" without a value`)))
    }
  )

const asWritten = { getTypeParser: () => String }

/** A server that is not PostgreSQL may answer with no row, or with several results. */
interface Answer {
  readonly rows?: ReadonlyArray<ReadonlyArray<unknown>>
}
