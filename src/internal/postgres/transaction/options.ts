/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Either from "effect/Either"
import type { TransactionOptions } from "../../../PgPool.js"
import type { BadOption } from "../../decode.js"
import { attempt, fieldsOf, ofType, oneOf, schedule } from "../../decode.js"
import { headline } from "../errors/errors.js"

const isolations = ["read committed", "repeatable read", "serializable"] as const

/** @internal */
export const decodeOptions = (given: TransactionOptions): Either.Either<TransactionOptions, BadOption> =>
  attempt(() => {
    const options = fieldsOf("transaction", given)
    const { deferrable, isolation, readOnly, retry } = options
    if (isolation !== undefined) oneOf("isolation", isolation, isolations)
    for (const [option, value] of Object.entries({ readOnly, deferrable })) ofType(option, value, "boolean")
    if (retry !== undefined) schedule("retry", retry)
    return options
  })

/** The BEGIN of a transaction with these options. @internal */
export const beginOf = ({ deferrable, isolation, readOnly }: TransactionOptions): string =>
  [
    "BEGIN",
    ...(isolation === undefined ? [] : [`ISOLATION LEVEL ${isolation.toUpperCase()}`]),
    ...(readOnly === undefined ? [] : [readOnly ? "READ ONLY" : "READ WRITE"]),
    ...(deferrable === undefined ? [] : [deferrable ? "DEFERRABLE" : "NOT DEFERRABLE"])
  ].join(" ")

/** Why a transaction with these options can't be nested in another one, if it can't. @internal */
export const refusedNested = (options: TransactionOptions): SqlError | undefined => {
  const given = Object.entries(options).flatMap(([option, value]) => value === undefined ? [] : [option])
  return given.length === 0
    ? undefined
    : headline(`A transaction inside another one can't have options of its own: ${given.join(", ")}`)
}
