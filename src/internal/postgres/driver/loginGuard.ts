/** @internal */
import type { Method, Requirement } from "../config/requireAuth.js"
import { AuthRefused } from "../errors/loginFailure.js"
import type { Wire } from "./pg.js"

/**
 * The ways in which the server may ask for credentials, and their names in `require_auth`. Any other way is not
 * allowed.
 */
const questions: ReadonlyMap<string, Method> = new Map([
  ["authenticationCleartextPassword", "password"],
  ["authenticationMD5Password", "md5"],
  ["authenticationSASL", "scram-sha-256"]
])

/**
 * Keeps every login message from `pg` that was not allowed. `pg` would answer every request, and would believe any
 * server that says that the login succeeded.
 *
 * @internal
 */
export const guardLogin = (connection: Wire, requirement: Requirement): void => {
  const login = new Login(requirement)
  const { emit } = connection
  connection.emit = (event: string, ...args: ReadonlyArray<unknown>) => {
    const refusal = login.refusal(event, args[0])
    if (refusal !== undefined) return emit.call(connection, "error", new AuthRefused(refusal))
    if (event === "readyForQuery") connection.emit = emit
    return emit.call(connection, event, ...args)
  }
}

class Login {
  private method: Method | "unknown" = "none"
  private hasProved = false

  constructor(private readonly requirement: Requirement) {}

  /** The reason to refuse a message of the server, if there is one. */
  refusal(event: string, message: unknown): string | undefined {
    switch (event) {
      case "authenticationSASLContinue":
        return undefined
      case "authenticationSASLFinal":
        // `pg` itself verifies the proof, and a wrong one ends the session.
        this.hasProved = true
        return undefined
      case "authenticationOk":
        return this.ofSuccess()
      default:
        return event.startsWith("authentication") ? this.ofQuestion(event, message) : undefined
    }
  }

  private ofQuestion(event: string, message: unknown): string | undefined {
    this.method = questions.get(event) ?? "unknown"
    this.hasProved = false
    return this.ofMethod(message)
  }

  private ofMethod(message?: unknown): string | undefined {
    const { allowed, isBound, text } = this.requirement
    if (this.method === "unknown" || !allowed.has(this.method)) {
      return `it ${asked[this.method]}, but requireAuth is ${
        JSON.stringify(text)
      }: change that, or how this user logs in ` +
        "(pg_hba.conf and the password's encryption). The password was not sent"
    }
    if (!isBound) return undefined
    const { mechanisms } = (message ?? { mechanisms: [bound] }) as { readonly mechanisms?: ReadonlyArray<string> }
    if (this.method === "scram-sha-256" && mechanisms?.includes(bound) === true) return undefined
    return "it does not bind the login to the TLS session, as channel_binding=require wants it: not every pooler can, and " +
      "no server before PostgreSQL 11. The password was not sent"
  }

  private ofSuccess(): string | undefined {
    if (this.method !== "scram-sha-256" || this.hasProved) return this.ofMethod()
    return "it has not proved that it knows the password: something else may have answered in its place"
  }
}

const bound = "SCRAM-SHA-256-PLUS"

const asked: { readonly [K in Method | "unknown"]: string } = {
  "password": "asked for the password in clear text",
  "md5": "asked for an MD5 of the password",
  "scram-sha-256": "asked for SCRAM",
  "gss": "asked for GSSAPI",
  "sspi": "asked for SSPI",
  "oauth": "asked for OAuth",
  "none": "asked for no password",
  "unknown": "asked for something unknown"
}
