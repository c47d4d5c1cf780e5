/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Either from "effect/Either"
import type { TransactionOptions } from "../../../PgPool.js"
import type { BadOption as BadOptionType } from "../../options.js"
import { attempt, BadOption, fieldsOf, ofType, schedule } from "../../options.js"
import { headline } from "../errors/errors.js"

const isolations = ["read committed", "repeatable read", "serializable"]

/** @internal */
export const decodeOptions = (given: TransactionOptions): Either.Either<TransactionOptions, BadOptionType> =>
  attempt(() => {
    const options = fieldsOf("transaction", given)
    const { deferrable, isolation, readOnly, retry } = options
    if (isolation !== undefined && !isolations.includes(isolation)) {
      throw new BadOption("isolation", isolation, `one of ${isolations.map((one) => JSON.stringify(one)).join(", ")}`)
    }
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
