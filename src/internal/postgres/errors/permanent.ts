/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"
import { codeOf, isRefusedByPooler, isServerError, NoPassword } from "./codes.js"
import { authenticationReason, isAuthRefused } from "./loginFailure.js"
import { isTlsFailure } from "./tlsAdvice.js"

/**
 * Whether a connect failed in a way that is known to come again (R18): the login was refused, TLS is not possible, or
 * there is no password. Every other failure is taken for an outage, since no list of those is complete: poolers,
 * operating systems and name servers have too many errors.
 *
 * @internal
 */
export const isPermanent = (error: SqlError): boolean => error instanceof NoPassword || comesAgain(error.cause)

const comesAgain = (cause: unknown): boolean =>
  // Its cause is that of the host with the best prospect.
  Predicate.isTagged(cause, "NoHost")
    ? comesAgain((cause as unknown as { readonly cause: unknown }).cause)
    : isRefused(cause) || isRefusedByPooler(cause) || isTlsFailure(cause) || isAuthRefused(cause) ||
      authenticationReason(cause) !== undefined

/** The user, the password, or a rule of `pg_hba.conf`; the database. */
const refusals = /^(28...|3D000)$/

/**
 * The server does not accept what the login asks for: the version of the protocol, or a start-up parameter (its name,
 * its value, or that it is set in this way).
 */
const badRequests = /^(0A000|22023|42601|42602|42704|55P02)$/

const isRefused = (cause: unknown): boolean => {
  const code = codeOf(cause) ?? ""
  // A statement of `onConnect` fails with ERROR. The word for FATAL depends on the server's language.
  return refusals.test(code) || (badRequests.test(code) && isServerError(cause) && cause.severity !== "ERROR")
}
