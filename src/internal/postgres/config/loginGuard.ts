/** @internal */
import type { PgPoolOptions } from "../../../PgPool.js"
import { BadOption } from "../../decode.js"
import { AuthRefused } from "../errors/loginFailure.js"
import type { FromUrl } from "./url.js"

/** Ways to log in, by libpq's names. Those that `pg` doesn't know never succeed. */
const methods = ["password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"] as const

type Method = typeof methods[number]

/** How a server may let us in. @internal */
export interface Requirement {
  /** As it was given. */
  readonly text: string
  readonly allowed: ReadonlySet<Method>
  /** SCRAM must be bound to the TLS session, so that nobody in between can pass it on. */
  readonly isBound: boolean
}

/**
 * libpq's `require_auth`: a list of methods, or of those that may not be used, each with a `!`.
 *
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
 *
 * @internal
 */
export const decodeRequirement = (option: string, value: unknown, isBound: boolean): Requirement | undefined => {
  if (value === "") return isBound ? { text: "", allowed: new Set(methods), isBound } : undefined
  const allowed = decodeMethods(value)
  if (allowed !== undefined) return { text: `${value}`, allowed, isBound }
  throw new BadOption(
    option,
    value,
    `one or more of ${methods.join(", ")} with commas in between, or all of them with a ! in front`
  )
}

const bindings = ["disable", "prefer", "require"]

/** libpq's `channel_binding`. */
const bindingOf = ({ channelBinding }: FromUrl, hasTls: boolean): string => {
  const binding = (channelBinding ?? process.env["PGCHANNELBINDING"]) || "disable"
  const refuse = (allowed: string): never => {
    if (channelBinding === undefined) throw new BadOption("PGCHANNELBINDING", binding, allowed)
    throw new BadOption("url", "<redacted>", `a URL whose channel_binding is ${allowed}`)
  }
  if (!bindings.includes(binding)) return refuse(`one of ${bindings.join(", ")}`)
  if (binding === "require" && !hasTls) return refuse("prefer or disable where there is no TLS: set ssl, or sslmode")
  return binding
}

/** How to log in: an option wins over the URL, and that over the environment. @internal */
export const decodeLogin = (options: PgPoolOptions, url: FromUrl, hasTls: boolean): {
  /** Whether a login is bound to the TLS session where the server can. */
  readonly binds: boolean
  readonly requirement: Requirement | undefined
} => {
  const binding = bindingOf(url, hasTls)
  const given = options.requireAuth === undefined ? url.requireAuth : options.requireAuth
  const [option, value] = given === undefined
    ? ["PGREQUIREAUTH", process.env["PGREQUIREAUTH"] ?? ""]
    : ["requireAuth", given]
  return { binds: binding !== "disable", requirement: decodeRequirement(option, value, binding === "require") }
}

const decodeMethods = (value: unknown): ReadonlySet<Method> | undefined => {
  const listed = typeof value === "string" ? value.split(",") : []
  const isNegated = listed.every((method) => method.startsWith("!"))
  const named = new Set(isNegated ? listed.map((method) => method.slice(1)) : listed)
  const isKnown = named.size === listed.length && [...named].every((method) => methods.includes(method as Method))
  return isKnown && listed.length > 0 ? new Set(methods.filter((method) => named.has(method) !== isNegated)) : undefined
}

interface Connection {
  emit: (event: string, ...args: ReadonlyArray<unknown>) => boolean
}

/** How the server may ask, and what it is called in `require_auth`. What it asks in another way is not allowed. */
const questions: ReadonlyMap<string, Method> = new Map([
  ["authenticationCleartextPassword", "password"],
  ["authenticationMD5Password", "md5"],
  ["authenticationSASL", "scram-sha-256"]
])

/**
 * Lets nothing of a login come to `pg` that was not allowed: it would answer whatever it is asked, and believes whoever
 * says that all is well.
 *
 * @internal
 */
export const guardLogin = (connection: Connection, requirement: Requirement): void => {
  const login = new Login(requirement)
  const { emit } = connection
  connection.emit = (event, ...args) => {
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

  /** Why a message of the server's is not taken. */
  refusal(event: string, message: unknown): string | undefined {
    switch (event) {
      case "authenticationSASLContinue":
        return undefined
      case "authenticationSASLFinal":
        // `pg` looks at the proof itself, and a wrong one ends the session.
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
