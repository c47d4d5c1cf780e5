/** @internal */
import * as Predicate from "effect/Predicate"
import type { ConnectionOptions } from "node:tls"
import { createSecureContext } from "node:tls"
import type { PgPoolOptions } from "../../../PgPool.js"
import { BadOption, oneOf } from "../../decode.js"
import { defaults } from "./pgDefaults.js"
import type { FromUrl } from "./url.js"

/** The TLS settings of `pg`, under its names. They are complete, so that `pg` reads no other source. @internal */
export interface Tls {
  readonly ssl: boolean | ConnectionOptions
  readonly sslnegotiation: "postgres" | "direct"
}

/** The server supports no TLS on a Unix socket. @internal */
export const onUnixSocket: Tls = { ssl: false, sslnegotiation: "postgres" }

/** The TLS parameters of a URL, as `pg-connection-string` reads them. @internal */
export interface UrlTls {
  readonly ssl?: unknown
  readonly sslmode?: unknown
  readonly sslnegotiation?: unknown
  /** As it stands there. */
  readonly sslrootcert?: unknown
}

/** The parameters of a URL that protect a session. @internal */
export const tlsParameters = [
  "ssl",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "sslnegotiation",
  "uselibpqcompat",
  "channel_binding",
  "require_auth"
] as const

/** If a name is written in another way, the session would be less safe than intended. */
const tlsNames: ReadonlyMap<string, string> = new Map(tlsParameters.map((name) => [lettersOf(name), name]))

function lettersOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, "")
}

/** Refuses a name that differs from one of these only in its case or its separators. @internal */
export const checkTlsName = (name: string): void => {
  const meant = tlsNames.get(lettersOf(name))
  if (meant !== undefined && meant !== name) throw new Error(`${JSON.stringify(name)} must be written ${meant}`)
}

const negotiations = ["postgres", "direct"] as const

const modes = ["disable", "no-verify", "allow", "prefer", "require", "verify-ca", "verify-full"] as const

/**
 * The `ssl` of a URL. `pg-connection-string` ignores values that it doesn't know, and the session would have no TLS.
 *
 * @internal
 */
export const sslOfUrl = ({ ssl, sslmode, sslnegotiation, sslrootcert }: UrlTls): unknown => {
  parameter("sslmode", sslmode, modes)
  parameter("sslnegotiation", sslnegotiation, negotiations)
  if (sslrootcert === "system") {
    // It is no file, but libpq's word for the authorities that are trusted by default. libpq allows no weaker mode with it.
    parameter("with sslrootcert=system, sslmode", sslmode, ["verify-full"])
    return typeof ssl === "object" ? ssl : true
  }
  if (ssl === "false") return false
  if (ssl === "no-verify") return { rejectUnauthorized: false }
  if (typeof ssl === "string") parameter("ssl", ssl, ["true", "false", "no-verify"])
  return ssl
}

/** Its message is part of an error of the URL. */
const parameter = (name: string, value: unknown, allowed: ReadonlyArray<string>): void => {
  if (value === undefined || allowed.includes(value as string)) return
  throw new Error(`${name} is ${JSON.stringify(value)}, and must be one of ${allowed.join(", ")}`)
}

/** An option wins over the URL, and that over the environment. @internal */
export const decodeTls = (options: PgPoolOptions, url: Pick<FromUrl, "ssl" | "sslNegotiation">): Tls => {
  const sslnegotiation = negotiationOf(options.sslNegotiation ?? url.sslNegotiation)
  const given = options.ssl ?? url.ssl ?? sslOfEnvironment()
  if (given !== undefined && typeof given !== "boolean" && !Predicate.isRecord(given)) {
    throw new BadOption("ssl", given, "true, false, or an object of TLS options, such as { ca }")
  }
  const ssl = given ?? sslnegotiation === "direct"
  if (sslnegotiation === "direct" && ssl === false) {
    throw new BadOption("ssl", false, `left out, or what TLS needs, with sslNegotiation "direct"`)
  }
  return { ssl: typeof ssl === "object" ? withContext(ssl) : ssl, sslnegotiation }
}

const negotiationOf = (given: unknown): Tls["sslnegotiation"] => {
  if (given !== undefined) return oneOf("sslNegotiation", given, negotiations)
  const ofProcess = process.env["PGSSLNEGOTIATION"] || defaults.sslnegotiation || "postgres"
  return oneOf("PGSSLNEGOTIATION", ofProcess, negotiations)
}

/** As with `pg`, which however opens a session without TLS if it does not know the mode. */
const sslOfEnvironment = (): unknown => {
  const given = process.env["PGSSLMODE"] || undefined
  const mode = given === undefined ? undefined : oneOf("PGSSLMODE", given, modes)
  if (mode === "no-verify") return { rejectUnauthorized: false }
  if (mode === undefined || mode === "allow") return defaults.ssl || undefined
  return mode !== "disable"
}

/**
 * Keys are read once, and can't be seen afterwards. `pg` would make them non-enumerable in the caller's own object, so
 * that copies of that object have none.
 */
const withContext = (ssl: ConnectionOptions): ConnectionOptions => {
  const { key, passphrase, pfx, ...rest } = ssl
  // A context makes the others ineffective.
  if (rest.secureContext !== undefined) return rest
  try {
    return { ...rest, secureContext: createSecureContext({ ...rest, key, passphrase, pfx } as ConnectionOptions) }
  } catch (error) {
    throw new BadOption("ssl", "<not shown>", `TLS options that can be used together (${(error as Error).message})`)
  }
}

/** For `PgClient.config`: its secrets can be read, but no output and no copy shows them. @internal */
export const withoutSecrets = (ssl: unknown): unknown => {
  if (!Predicate.isRecord(ssl)) return ssl
  const { key, passphrase, pfx, ...shown } = ssl
  for (const [name, value] of Object.entries({ key, passphrase, pfx })) {
    if (value !== undefined) Object.defineProperty(shown, name, { value, enumerable: false })
  }
  return shown
}
