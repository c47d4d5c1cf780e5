/** @internal */
import type { PgPoolOptions } from "../../../PgPool.js"
import { BadOption } from "../../decode.js"
import type { FromUrl } from "./url.js"

/** Ways to log in, by libpq's names. Those that `pg` doesn't know never succeed. */
const methods = ["password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"] as const

/** @internal */
export type Method = typeof methods[number]

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
