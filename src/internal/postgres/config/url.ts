/** @internal */
import * as Redacted from "effect/Redacted"
import * as ConnectionString from "pg-connection-string"
import { BadOption } from "../../decode.js"
import { isError } from "../../words.js"
import type { Named } from "./hosts.js"
import { checkNamed, severalHosts } from "./hosts.js"
import { isItSet, shown } from "./password.js"
import { decodeRequirement } from "./requireAuth.js"
import { checkTlsName, sslOfUrl, tlsParameters } from "./tls.js"

/** The settings in a URL, under the names of the pool. @internal */
export interface FromUrl extends Named {
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly database?: string | undefined
  readonly ssl?: unknown
  readonly sslNegotiation?: string | undefined
  readonly channelBinding?: string | undefined
  readonly requireAuth?: string | undefined
  readonly applicationName?: string | undefined
  readonly fallbackApplicationName?: string | undefined
  /** Settings of the session, as on the command line of a server. */
  readonly options?: string | undefined
  readonly replication?: string | undefined
  readonly keepAlive?: boolean | undefined
  /** In milliseconds. */
  readonly keepAliveDelay?: number | undefined
  /** In milliseconds, by the names that they have in a URL. Zero: off. */
  readonly timeouts?: { readonly [K in Timeout]: number | undefined }
  /** Names of the parameters that have no effect here. */
  readonly unused?: ReadonlyArray<string>
}

/** @internal */
export type Timeout =
  | "connect_timeout"
  | "query_timeout"
  | "statement_timeout"
  | "lock_timeout"
  | "idle_in_transaction_session_timeout"

const beginning = "a URL that begins with postgresql:// or postgres://"

const missing = `${beginning} (${isItSet})`

const example = "a URL such as postgresql://user:password@host:5432/database"

/** Takes a URL apart. Errors never show its text, which may hold a password. @internal */
export const parseUrl = (url: Redacted.Redacted): FromUrl => {
  if (!Redacted.isRedacted(url)) {
    throw new BadOption("url", url === null ? url : "<not shown>", "a URL made by Redacted.make")
  }
  const text = Redacted.value(url)
  if (typeof text !== "string") throw new BadOption("url", shown(url), missing)
  // A template makes this of a variable that is not set.
  if (/^(undefined|null|\s*)$/.test(text)) throw new BadOption("url", text, missing)
  if (/^jdbc:/i.test(text)) {
    throw new BadOption("url", "<redacted>", "a URL that begins with postgresql://, without the jdbc: at its front")
  }
  if (!/^(postgres(ql)?:\/\/|socket:|\/)/i.test(text)) {
    throw new BadOption("url", "<redacted>", beginning)
  }
  try {
    return text.startsWith("/") ? readFolder(text) : read(split(text))
  } catch (error) {
    const why = isError(error) || error instanceof BadOption ? ` (${error.message})` : ""
    throw new BadOption("url", "<redacted>", `${example}${why}`)
  }
}

type Parameters = { readonly [parameter: string]: unknown }

/** The folder of a Unix socket and a database, as in `/run/postgresql app`. */
const readFolder = (text: string): FromUrl => {
  const parsed = ConnectionString.parse(text) as unknown as Parameters
  return { ...checkNamed(parsed, {}), database: textOf(parsed["database"]) }
}

/** A URL in its parts, each with what separates it from the part before. */
interface Parts {
  readonly scheme: string
  /** User and password. */
  readonly credentials: string
  readonly hosts: string
  readonly path: string
  readonly query: string
  readonly fragment: string
}

/** As in RFC 3986: in the authority the last `@` counts, and all others belong to the user and the password. */
const split = (url: string): Parts => {
  const [, scheme, credentials = "", hosts = "", path, query = "", fragment = ""] =
    /^(\w+:)(?:(\/\/(?:[^/?#]*@)?)([^/?#@]*))?([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(url) as unknown as ReadonlyArray<string>
  return { scheme, credentials, hosts, path, query, fragment }
}

const standIn = "several"

const read = (parts: Parts): FromUrl => {
  const { credentials, fragment, hosts, path, query, scheme } = parts
  const isSocket = /^socket:/i.test(scheme)
  const given = new URLSearchParams(query)
  refuseCutPassword(parts, isSocket)
  const several = hosts.includes(",") ? severalHosts(hosts.replace(/[\t\n\r]/g, "")) : {}
  // A parser of URLs accepts one host only.
  const host = several.host === undefined ? hosts : standIn
  const roots = given.getAll("sslrootcert").at(-1)
  const files = roots === "system" ? query.replace(/([?&])sslrootcert=[^&]*/g, "$1") : query
  const parsed = parse(`${scheme}${credentials}${host}${path}${files}${fragment}`, given)
  const text = (parameter: string) => textOf(parsed[parameter])
  const database = isSocket ? text("database") : databaseOf(path)
  for (const parameter of ["dbname", "database"]) {
    const other = given.get(parameter)
    // libpq and `pg` disagree about which of the two counts.
    if (other && other !== database) throw new Error(`${parameter} is not what its path says: give the database there`)
  }
  const unused = unusedOf(given, isSocket)
  const requireAuth = text("require_auth")
  if (requireAuth !== undefined) decodeRequirement("require_auth", requireAuth, false)
  const keepalives = numberOf("keepalives", text("keepalives"))
  return {
    ...checkNamed(parsed, parsed["host"] === standIn ? several : {}),
    user: text("user"),
    password: text("password"),
    database,
    ssl: sslOfUrl({ ...parsed, sslrootcert: roots }),
    sslNegotiation: text("sslnegotiation"),
    channelBinding: text("channel_binding"),
    requireAuth,
    applicationName: text("application_name"),
    fallbackApplicationName: text("fallback_application_name"),
    options: text("options"),
    replication: text("replication"),
    keepAlive: keepalives === undefined ? undefined : keepalives !== 0,
    keepAliveDelay: numberOf("keepalives_idle", text("keepalives_idle"), "seconds"),
    timeouts: timeoutsOf(text),
    unused
  }
}

/** It also reads the files of TLS. A value that is no file name is not shown: it may be the key itself. */
const parse = (url: string, given: URLSearchParams): Parameters => {
  try {
    return ConnectionString.parse(url) as unknown as Parameters
  } catch (error) {
    const { code, path = "" } = error as NodeJS.ErrnoException
    if (code === undefined || code === "ERR_INVALID_URL") throw error
    const names = ["sslrootcert", "sslcert", "sslkey"].filter((name) => given.has(name))
    const named = names.filter((name) => given.getAll(name).at(-1) === path)
    const shown = isPath.test(path) ? `${code}: ${path}` : code
    throw new Error(`${(named.length > 0 ? named : names).join(" or ")}: no file of that name can be read (${shown})`)
  }
}

/** With a folder or an ending. */
const isPath = /^((\/|\.|~|[a-z]:[\\/]).{1,250}|.{1,250}\.\w{2,4})$/i

const timeoutsOf = (text: (parameter: Timeout) => string | undefined): Required<FromUrl>["timeouts"] => {
  const of = (parameter: Timeout, unit?: "seconds") => numberOf(parameter, text(parameter), unit)
  const connect = of("connect_timeout", "seconds")
  return {
    // Zero means no limit: the pool takes the longest.
    connect_timeout: connect === 0 ? longest : connect,
    query_timeout: of("query_timeout"),
    statement_timeout: of("statement_timeout"),
    lock_timeout: of("lock_timeout"),
    idle_in_transaction_session_timeout: of("idle_in_transaction_session_timeout")
  }
}

const textOf = (value: unknown): string | undefined => typeof value === "string" && value !== "" ? value : undefined

/**
 * A `/`, `?` or `#` that is not encoded in a password ends the authority. The rest of the password would be taken for a
 * host or for the name of a parameter, and would be looked up and shown.
 */
const refuseCutPassword = ({ credentials, fragment, hosts, path, query }: Parts, isSocket: boolean): void => {
  const at = isSocket && hosts === "" ? -1 : path.indexOf("@")
  const isInPath = at >= 0 && (!credentials.endsWith("@") || path.indexOf("/", at) >= 0)
  const isInQuery = query.split(/[?&]/).some((parameter) =>
    parameter.includes("@") && !known.has(parameter.slice(0, parameter.indexOf("=")))
  )
  if (isInPath || isInQuery || fragment.includes("@")) {
    throw new Error("an @ is out of place: in a user or a password / is %2F, ? is %3F and # is %23; elsewhere @ is %40")
  }
}

/** `pg-connection-string` leaves a few characters encoded there, a slash among them. */
const databaseOf = (path: string): string | undefined => {
  const { pathname } = new URL(`postgres://host${path.replaceAll(" ", "%20")}`)
  return textOf(decodeURIComponent(pathname.slice(1).replace(/%(?![0-9a-f]{2})/gi, "%25")))
}

/** The parameters that have an effect. All others are ignored. */
const known: ReadonlySet<string> = new Set([
  "host",
  "port",
  "user",
  "password",
  "dbname",
  "database",
  ...tlsParameters,
  "application_name",
  "fallback_application_name",
  "options",
  "replication",
  "target_session_attrs",
  "load_balance_hosts",
  "keepalives",
  "keepalives_idle",
  "connect_timeout",
  "query_timeout",
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout"
])

const unusedOf = (given: URLSearchParams, isSocket: boolean): ReadonlyArray<string> => {
  const encoding = isSocket ? "encoding" : "client_encoding"
  const names = [...new Set(given.keys())]
  const unused = names.filter((name) => {
    if (known.has(name) || (isSocket && name === "db")) return false
    checkTlsName(name)
    // `pg` supports no other encoding.
    return name !== encoding || !/^(auto|utf-?8|unicode)?$/i.test(given.get(name) ?? "")
  })
  // If a password has an & that is not encoded, its rest looks like a parameter.
  const last = names.indexOf("password")
  const isShown = (name: string) => last < 0 || names.indexOf(name) < last
  const hidden = unused.some((name) => !isShown(name)) ? ["what stands behind the password (in it & is %26)"] : []
  return [...unused.filter(isShown), ...hidden]
}

/** The longest time of a timer, and of a setting of the server. */
const longest = 2 ** 31 - 1

/** In milliseconds. It is strict, because `pg` would read "5s" as 5 milliseconds. @internal */
export const numberOf = (
  parameter: string,
  text: string | undefined,
  unit: "milliseconds" | "seconds" = "milliseconds"
): number | undefined => {
  if (text === undefined) return undefined
  const millis = Number(text) * (unit === "seconds" ? 1000 : 1)
  if (/^\d+$/.test(text) && millis <= longest) return millis
  throw new BadOption(parameter, text, parameter === "keepalives" ? "0 or 1" : `a whole number of ${unit}`)
}
