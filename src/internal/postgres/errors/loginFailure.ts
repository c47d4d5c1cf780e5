/** @internal */
import { isError } from "../../words.js"
import { isServerError } from "./codes.js"

/**
 * Why `pg` itself can't log in, in words for people. Its errors have no code, so only their text tells them apart;
 * `test/PgPool/login.test.ts` shows that it still does.
 */
const reasons: ReadonlyArray<readonly [words: RegExp, reason: (...parts: ReadonlyArray<string>) => string]> = [
  [/client password must be a string/, () => withoutPassword],
  [
    /client password must be a non-empty string/,
    () => `The server asks for a password, and an empty one was given. ${give}`
  ],
  [/^SASL: Only mechanism/, () => unknownTo("SASL without SCRAM-SHA-256")],
  [/^Unknown authenticationOk message type (\d+)/, (number) => unknownTo(methods[number] ?? `method ${number}`)],
  // The server's part of SCRAM is wrong, or asks for too much. It would be so again.
  [/^SASL: (.*)/s, (words) => `The server can't be logged in to by SCRAM: ${words}`]
]

const give = "Set password, put one into the URL, or set PGPASSWORD."

/** @internal */
export const withoutPassword = `The server asks for a password, and none was given. ${give}`

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
const methods: Record<string, string> = { 2: "Kerberos V5", 6: "SCM credentials", 7: "GSSAPI", 9: "SSPI" }

const unknownTo = (method: string): string =>
  `The server asks for an authentication that this client does not know: ${method}. Let its pg_hba.conf ask this user ` +
  "for scram-sha-256."

/** @internal */
export const authenticationReason = (cause: unknown): string | undefined => {
  // A server or a pooler may use the same words for a failure that passes.
  const message = isError(cause) && !isServerError(cause) ? cause.message : ""
  for (const [words, reason] of reasons) {
    const found = words.exec(message)
    if (found !== null) return reason(...found.slice(1))
  }
  return undefined
}

/** The server asks for a login that `requireAuth` does not allow. @internal */
export class AuthRefused extends Error {
  override readonly name = "AuthRefused"
}

/** It does not pass by itself, and another password does not help (R18). @internal */
export const isAuthRefused = (cause: unknown): boolean => cause instanceof AuthRefused
