/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Redacted from "effect/Redacted"
import type { PgPoolOptions } from "../../../PgPool.js"
import { BadOption } from "../../decode.js"
import { isPasswordRefused } from "../errors/codes.js"
import { noPassword } from "../errors/errors.js"

/** Run for each connect (R20). `undefined`: `pg` looks for one itself. @internal */
export type Password = Effect.Effect<Redacted.Redacted | undefined, SqlError>

/** @internal */
export const decodePassword = (password: PgPoolOptions["password"]): Password => {
  if (password === undefined) return Effect.succeed(undefined)
  if (Redacted.isRedacted(password)) {
    if (isText(password)) return Effect.succeed(password)
    throw new BadOption("password", shown(password), `a Redacted string (${isItSet})`)
  }
  if (Effect.isEffect(password)) return fromProvider(password)
  throw new BadOption("password", "<redacted>", "a Redacted string, or an Effect of one")
}

/** If the effect dies, as after a rejected promise, the callers of the pool still get a typed error. */
const fromProvider = (password: Effect.Effect<Redacted.Redacted, unknown>): Password =>
  Effect.suspend(() => password).pipe(
    Effect.catchAllDefect(Effect.fail),
    Effect.filterOrFail(
      Redacted.isRedacted,
      (given: unknown) =>
        new Error(`the Effect has to give what Redacted.make makes, and not ${given === null ? null : typeof given}`)
    ),
    Effect.filterOrFail(isText, (given) => new Error(`the Effect has given ${shown(given)} in the place of a string`)),
    Effect.mapError(noPassword)
  )

const isText = (secret: Redacted.Redacted<unknown>): boolean => typeof Redacted.value(secret) === "string"

/** The part of a secret that may be shown: only that there is none. @internal */
export const shown = (secret: Redacted.Redacted<unknown>): unknown => {
  const value = Redacted.value(secret)
  return value === undefined || value === null ? value : "<redacted>"
}

/** @internal */
export const isItSet = "is the variable set that it comes from?"

/**
 * Dials with a password that was fetched a moment ago. It may be changed before the server checks it. If the server
 * refuses it, and the effect now gives another password, there is a second dial (R20). There is no third: some
 * providers give another password each time.
 *
 * @internal
 */
export const withFresh = <A, R>(
  first: Redacted.Redacted | undefined,
  password: Password,
  dial: (password: Redacted.Redacted | undefined) => Effect.Effect<A, SqlError, R>
): Effect.Effect<A, SqlError, R> =>
  Effect.catchIf(
    dial(first),
    ({ cause }) => isPasswordRefused(cause),
    (refusal) =>
      Effect.flatMap(
        Effect.orElseFail(password, () => refusal),
        (second) => Equal.equals(first, second) ? Effect.fail(refusal) : dial(second)
      )
  )
