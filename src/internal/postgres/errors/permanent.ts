/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"
import { isAuthRefused } from "../config/loginGuard.js"
import { isTlsFailure } from "../config/tls.js"
import { codeOf, isRefusedByPooler, isServerError, NoPassword } from "./codes.js"
import { authenticationReason } from "./loginFailure.js"

/**
 * Whether a connect failed in a way that is known to come again (R18): a login that is refused, TLS that is not to be
 * had, no password. All else is taken for an outage, since nobody knows all that may pass: the words of poolers, the
 * errors of an operating system, what becomes of a name.
 *
 * @internal
 */
export const isPermanent = (error: SqlError): boolean => error instanceof NoPassword || comesAgain(error.cause)

const comesAgain = (cause: unknown): boolean =>
  // It is what it is of the host for which there is most hope.
  Predicate.isTagged(cause, "NoHost")
    ? comesAgain((cause as unknown as { readonly cause: unknown }).cause)
    : isRefused(cause) || isRefusedByPooler(cause) || isTlsFailure(cause) || isAuthRefused(cause) ||
      authenticationReason(cause) !== undefined

/** The user, the password, or a rule of `pg_hba.conf`; the database. */
const refusals = /^(28...|3D000)$/

/**
 * What a login asks for: a version of the protocol, or a start-up parameter (its name, its value, or that it can't be
 * set so).
 */
const badRequests = /^(0A000|22023|42601|42602|42704|55P02)$/

const isRefused = (cause: unknown): boolean => {
  const code = codeOf(cause) ?? ""
  // A statement of `onConnect` fails with ERROR. The word for FATAL depends on the server's language.
  return refusals.test(code) || (badRequests.test(code) && isServerError(cause) && cause.severity !== "ERROR")
}
