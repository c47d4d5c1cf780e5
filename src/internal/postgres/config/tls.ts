/** @internal */
import * as Predicate from "effect/Predicate"
import type { ConnectionOptions, PeerCertificate, TLSSocket } from "node:tls"
import { createSecureContext } from "node:tls"
import * as Pg from "pg"
import type { PgPoolOptions } from "../../../PgPool.js"
import { BadOption } from "../../options.js"
import { isError } from "../../words.js"
import { codeOf, isServerError } from "../errors/codes.js"
import type { FromUrl } from "./url.js"

/** What `pg` is told about TLS, by its names. In full, so that it asks nobody else. @internal */
export interface Tls {
  readonly ssl: boolean | ConnectionOptions
  readonly sslnegotiation: "postgres" | "direct"
}

/** The server knows no TLS there. @internal */
export const onUnixSocket: Tls = { ssl: false, sslnegotiation: "postgres" }

/** What an URL says, as `pg-connection-string` has it. @internal */
export interface UrlTls {
  readonly ssl?: unknown
  readonly sslmode?: unknown
  readonly sslnegotiation?: unknown
  /** As it stands there. */
  readonly sslrootcert?: unknown
}

/** The parameters of a URL that make a session safe. @internal */
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

/** Whoever writes one of them in another way would have a session that is less safe than it was to be. */
const tlsNames: ReadonlyMap<string, string> = new Map(tlsParameters.map((name) => [lettersOf(name), name]))

function lettersOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, "")
}

/** Refuses the name of a parameter that is another one's but for its case or its separators. @internal */
export const checkTlsName = (name: string): void => {
  const meant = tlsNames.get(lettersOf(name))
  if (meant !== undefined && meant !== name) throw new Error(`${JSON.stringify(name)} must be written ${meant}`)
}

const negotiations = ["postgres", "direct"]

const modes = ["disable", "no-verify", "allow", "prefer", "require", "verify-ca", "verify-full"]

/**
 * The `ssl` of an URL. `pg-connection-string` leaves out what it doesn't know, and the session would be plain.
 *
 * @internal
 */
export const sslOfUrl = ({ ssl, sslmode, sslnegotiation, sslrootcert }: UrlTls): unknown => {
  oneOf("sslmode", sslmode, modes)
  oneOf("sslnegotiation", sslnegotiation, negotiations)
  if (sslrootcert === "system") {
    // No file, but libpq's word for the authorities that are trusted anyway. It takes no weaker mode with it.
    oneOf("with sslrootcert=system, sslmode", sslmode, ["verify-full"])
    return typeof ssl === "object" ? ssl : true
  }
  if (ssl === "false") return false
  if (ssl === "no-verify") return { rejectUnauthorized: false }
  if (typeof ssl === "string") oneOf("ssl", ssl, ["true", "false", "no-verify"])
  return ssl
}

const oneOf = (parameter: string, value: unknown, allowed: ReadonlyArray<string>): void => {
  if (value === undefined || allowed.includes(value as string)) return
  throw new Error(`${parameter} is ${JSON.stringify(value)}, and must be one of ${allowed.join(", ")}`)
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
  const [option, value] = given === undefined
    ? ["PGSSLNEGOTIATION", process.env["PGSSLNEGOTIATION"] || defaults.sslnegotiation || "postgres"]
    : ["sslNegotiation", given]
  if (value === "postgres" || value === "direct") return value
  throw new BadOption(option, value, `"postgres" or "direct"`)
}

/** As `pg` has it. But of a mode that it doesn't know it makes a plain session. */
const sslOfEnvironment = (): unknown => {
  const mode = process.env["PGSSLMODE"] || undefined
  if (mode !== undefined && !modes.includes(mode)) throw new BadOption("PGSSLMODE", mode, `one of ${modes.join(", ")}`)
  if (mode === "no-verify") return { rejectUnauthorized: false }
  if (mode === undefined || mode === "allow") return defaults.ssl || undefined
  return mode !== "disable"
}

/** What programs can set for all clients of `pg`. */
const defaults = Pg.defaults as typeof Pg.defaults & { readonly sslnegotiation?: unknown }

/**
 * Keys are read once, and are nowhere to be seen afterwards. `pg` would make them unenumerable in the caller's own
 * object, so that copies of that have none.
 */
const withContext = (ssl: ConnectionOptions): ConnectionOptions => {
  const { key, passphrase, pfx, ...rest } = ssl
  // With it the others count for nothing.
  if (rest.secureContext !== undefined) return rest
  try {
    return { ...rest, secureContext: createSecureContext({ ...rest, key, passphrase, pfx } as ConnectionOptions) }
  } catch (error) {
    throw new BadOption("ssl", "<not shown>", `TLS options that can be used together (${(error as Error).message})`)
  }
}

/** What `PgClient.config` shows: its secrets can be read, but are in no output and in no copy. @internal */
export const withoutSecrets = (ssl: unknown): unknown => {
  if (!Predicate.isRecord(ssl)) return ssl
  const { key, passphrase, pfx, ...shown } = ssl
  for (const [name, value] of Object.entries({ key, passphrase, pfx })) {
    if (value !== undefined) Object.defineProperty(shown, name, { value, enumerable: false })
  }
  return shown
}

// --- The handshake ---

/** The parts of `pg`'s connection that are not in its types. */
interface Connection {
  readonly stream: Pick<TLSSocket, "once" | "alpnProtocol">
  readonly sslNegotiation: string
  readonly emit: (event: "error", error: Error) => unknown
}

/**
 * Runs `send` once the server is trusted. `pg` begins to send as soon as the handshake begins, and asks nobody whether
 * the server has agreed on the protocol. It must where TLS was not asked for, else it may be a server of another protocol
 * that is made to read ours (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL).
 *
 * @internal
 */
export const whenSecure = (connection: Connection, send: () => void): void => {
  const { stream } = connection
  stream.once("secureConnect", () => {
    if (connection.sslNegotiation !== "direct" || stream.alpnProtocol === "postgresql") send()
    else connection.emit("error", new Error(noAlpn))
  })
}

// --- What goes wrong ---

/** That the server's certificate can't be trusted: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const untrusted: ReadonlySet<string> = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_CHAIN_TOO_LONG",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED"
])

const outOfTime: ReadonlySet<string> = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"])

const noTls = "The server does not support SSL connections"

const noAlpn = "The server has not agreed on PostgreSQL's protocol (ALPN)"

/** Certificates, names and versions that Node.js does not accept. */
const refusedHere = /^(CERT|CRL)_|^ERR_TLS_(CERT|DH_PARAM|.*PROTOCOL)/

/** What OpenSSL does not accept, or the other side. */
const refused = /^ERR_SSL_.*(ALERT|PROTOCOL|VERSION|CIPHER|CERTIFICATE|SIGNATURE|TOO_SMALL|TOO_WEAK|RENEGOTIATION)/

/** Alerts that a broken network, or a server in trouble, brings about. */
const passing = /BAD_RECORD_MAC|DECRYPTION_FAILED|INTERNAL_ERROR|USER_CANCEL/

/**
 * Whether a connect failed in a way of TLS that time does not heal: a certificate that isn't accepted, by either side,
 * or TLS that one side doesn't speak (R18).
 *
 * @internal
 */
export const isTlsFailure = (cause: unknown): boolean => {
  const code = codeOf(cause) ?? ""
  return untrusted.has(code) || refusedHere.test(code) || (refused.test(code) && !passing.test(code)) ||
    (!isServerError(cause) && [noTls, noAlpn].includes(messageOf(cause)))
}

/** What to do about a connect that failed for TLS, or for want of it. @internal */
export const tlsAdvice = (cause: unknown): string | undefined => {
  const code = codeOf(cause) ?? ""
  const message = messageOf(cause)
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `The server's certificate is for ${
      namesOf(cause)
    }: connect by such a name, or give the server a certificate ` +
      "for this one."
  }
  if (untrusted.has(code)) {
    return "No authority trusted here has signed the server's certificate: give that of its authority as ssl.ca, or as " +
      "sslrootcert in the URL."
  }
  if (outOfTime.has(code)) return "Give the server a new certificate, or set the clock of this machine."
  if (message === noAlpn) {
    return "Something else may listen there; a server before PostgreSQL 17 does not know sslNegotiation \"direct\"."
  }
  if (message === noTls) return "Switch it on there (ssl = on), or leave out ssl and sslmode here."
  if (code === "ECONNRESET" && message.includes("before secure TLS connection")) {
    return "The server closed the connection in the TLS handshake. With sslNegotiation \"direct\" that is what servers " +
      "without TLS do, and those before PostgreSQL 17."
  }
  const wantsCertificate = code.startsWith("28") && message.includes("client certificate")
  if (wantsCertificate || /^ERR_SSL_.*ALERT.*(CERT|UNKNOWN_CA)/.test(code)) {
    return "The server wants a client certificate that it trusts: give one as ssl.cert and ssl.key, or as sslcert and " +
      "sslkey in the URL."
  }
  if (code.startsWith("28") && message.includes("no encryption")) return "The server may want TLS: set ssl, or sslmode."
  return undefined
}

const namesOf = (cause: unknown): string => {
  const { subject, subjectaltname } = (cause as { readonly cert?: Partial<PeerCertificate> }).cert ?? {}
  return subjectaltname ?? String(subject?.CN ?? "nobody")
}

/** Of OpenSSL's messages, the part for people. @internal */
export const tlsReason = (cause: unknown): string | undefined =>
  codeOf(cause)?.startsWith("ERR_SSL_") === true && Predicate.hasProperty(cause, "reason")
    ? String(cause.reason)
    : undefined

const messageOf = (cause: unknown): string => isError(cause) ? cause.message : ""
