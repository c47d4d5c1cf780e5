/** @internal */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import type * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Path from "node:path"
import type { Duplex } from "node:stream"
import type * as Pg from "pg"
import * as ConnectionString from "pg-connection-string"
import type { PgPoolOptions } from "../../PgPool.js"
import type { BadOption as BadOptionType } from "../options.js"
import { attempt, BadOption, duration, ofType, wholeNumber } from "../options.js"
import { Reach } from "../pool/reach.js"
import type { Password } from "./credentials.js"
import { decodePassword } from "./credentials.js"
import type { Hosts, Named } from "./hosts.js"
import { checkNamed, decodeHosts, splitUrl } from "./hosts.js"
import type { Strays } from "./strays.js"
import type { UrlTls } from "./tls.js"
import { decodeTls, sslOfUrl, withoutSecrets } from "./tls.js"
import type { Patience } from "./turn.js"

/**
 * Where and how sessions are opened: the decoded connection settings.
 *
 * @internal
 */
export interface Target extends Patience {
  readonly hosts: Hosts
  /** The settings of `pg`, without the password, and for the first host. */
  readonly client: () => Pg.ClientConfig
  readonly password: Password
  readonly stream: (() => Duplex) | undefined
  /** Sent once to each new session. */
  readonly settings: string | undefined
  readonly reset: "transaction" | "session" | "none"
  readonly onConnect: PgPoolOptions["onConnect"]
  /** How many statements each session may have prepared. 0: off. */
  readonly prepare: number
  /** How many plain statements may be on their way on one session. 1: off. */
  readonly multiplex: number
  readonly connectTimeout: number
  readonly reach: Reach
  /** In milliseconds. `Infinity`: off. */
  readonly queryTimeout: number
  readonly strays: Strays
  /** What `PgClient.config` shows: the URL taken apart. */
  readonly config: PgClientConfig
}

/** What people write who come from `PgClient.layer`, and our names for it. */
const renamed = {
  maxConnections: "maxsize (connections kept) and maxoverflow (the hard limit)",
  minConnections: "minsize",
  connectionTTL: "expires"
} as const

/** Options of which nothing more is known than their type. */
const plain = {
  host: "string",
  database: "string",
  username: "string",
  applicationName: "string",
  path: "string",
  onConnect: "function",
  stream: "function",
  transformResultNames: "function",
  transformQueryNames: "function",
  transformJson: "boolean",
  eager: "boolean",
  spanAttributes: "object"
} as const

/** All but what comes from the pool. @internal */
export type DecodedTarget = Omit<Target, keyof Patience | "strays">

/** @internal */
export const decodeTarget = (options: PgPoolOptions): Either.Either<DecodedTarget, BadOptionType> =>
  attempt(() => target(options))

const target = (options: PgPoolOptions): DecodedTarget => {
  for (const [old, ours] of Object.entries(renamed)) {
    const value = options[old as keyof typeof renamed]
    if (value !== undefined) throw new BadOption(old, value, `left out: this pool has ${ours} instead`)
  }
  for (const [option, type] of Object.entries(plain)) {
    ofType(option, options[option as keyof typeof plain], type)
  }
  if (options.path !== undefined && options.host !== undefined) {
    throw new BadOption("path", options.path, "left out where host is given")
  }
  const url = options.url === undefined ? {} : parseUrl(options.url)
  const socket = options.path === undefined ? undefined : parsePath(options.path)
  const hosts = decodeHosts(options, {
    host: options.host ?? socket?.host ?? url.host,
    port: options.port === undefined ? socket?.port ?? url.port : options.port,
    targetSessionAttrs: options.targetSessionAttrs ?? url.targetSessionAttrs,
    loadBalanceHosts: options.loadBalanceHosts ?? url.loadBalanceHosts
  })
  const [{ name: host, port }] = hosts.list
  const username = options.username ?? url.user
  const database = options.database ?? url.database ?? undefined
  const tls = decodeTls(options, url as UrlTls)
  const { stream } = options
  const types = options.types === undefined ? undefined : safeTypes(options.types)
  const password = options.password ?? (typeof url.password === "string" ? Redacted.make(url.password) : undefined)
  const { password: _, ...fromUrl } = url
  const client = defined({
    ...fromUrl,
    host,
    port,
    user: username,
    database,
    ...tls,
    types,
    application_name: options.applicationName ?? url.application_name ?? "effect-pgpool",
    // Silent sockets are given up (R24).
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000
  })
  const { options: settings, replication } = client as { readonly options?: string; readonly replication?: string }
  sendable({ username, database, applicationName: client.application_name, options: settings, replication })
  return {
    hosts,
    client: () => stream === undefined ? client : { ...client, stream } as Pg.ClientConfig,
    password: decodePassword(password),
    stream,
    settings: settingsOf(options),
    reset: resetOf(options.reset),
    onConnect: options.onConnect,
    prepare: switchOf("prepare", options.prepare, 0, preparedByDefault),
    multiplex: switchOf("multiplex", options.multiplex, 1, multiplexedByDefault),
    connectTimeout: duration("connectTimeout", options.connectTimeout ?? 5000, { positive: true }),
    reach: new Reach({
      millis: duration("cleanupTimeout", options.cleanupTimeout ?? 500, { positive: true }),
      isSet: options.cleanupTimeout !== undefined
    }),
    queryTimeout: options.queryTimeout === undefined
      ? Infinity
      : duration("queryTimeout", options.queryTimeout, { positive: true }),
    config: defined({
      url: options.url,
      host,
      port,
      path: options.path,
      ssl: withoutSecrets(options.ssl ?? url.ssl) as PgClientConfig["ssl"],
      database,
      username,
      password: Redacted.isRedacted(password) ? password : undefined,
      stream,
      connectTimeout: options.connectTimeout,
      idleTimeout: options.idleTimeout,
      applicationName: client.application_name,
      spanAttributes: options.spanAttributes,
      transformResultNames: options.transformResultNames,
      transformQueryNames: options.transformQueryNames,
      transformJson: options.transformJson,
      types
    })
  }
}

/** The protocol ends texts with a NUL: what comes behind it would be taken for something else. */
const sendable = (texts: Record<string, string | undefined>): void => {
  for (const [option, value] of Object.entries(texts)) {
    if (value?.includes("\0")) throw new BadOption(option, value, "without a NUL character")
  }
}

const parseUrl = (url: Redacted.Redacted): Omit<Pg.ClientConfig, "host" | "port"> & Named => {
  if (!Redacted.isRedacted(url)) throw new BadOption("url", "<not shown>", "a URL made by Redacted.make")
  if (!/^((postgres(ql)?|socket):|\/)/.test(Redacted.value(url))) {
    throw new BadOption("url", "<redacted>", "a URL that begins with postgresql:// or postgres://")
  }
  try {
    const { named, url: text } = splitUrl(Redacted.value(url))
    const parsed = ConnectionString.parse(text)
    const client = ConnectionString.toClientConfig({ ...parsed, ssl: sslOfUrl(parsed as UrlTls) } as never)
    return { ...client as Pg.ClientConfig, ...checkNamed(parsed, named) }
  } catch (error) {
    // The value holds a password.
    const why = error instanceof Error || error instanceof BadOption ? ` (${error.message})` : ""
    throw new BadOption("url", "<redacted>", `a URL such as postgresql://user:password@host:5432/database${why}`)
  }
}

/** `pg` asks for a parser in the middle of a socket's event, where throwing would end the process. */
const safeTypes = (types: Pg.CustomTypesConfig): Pg.CustomTypesConfig => {
  if (typeof types?.getTypeParser !== "function") throw new BadOption("types", types, "an object with getTypeParser")
  const getTypeParser = (...args: Parameters<Pg.CustomTypesConfig["getTypeParser"]>) => {
    try {
      return types.getTypeParser(...args)
    } catch (error) {
      return () => {
        throw error
      }
    }
  }
  return { ...types, getTypeParser: getTypeParser as Pg.CustomTypesConfig["getTypeParser"] }
}

/** A socket's folder, or the socket itself: `/run/postgresql` or `/run/postgresql/.s.PGSQL.5432`. */
const parsePath = (path: string): { readonly host: string; readonly port: number | undefined } => {
  if (!path.startsWith("/")) throw new BadOption("path", path, "an absolute path of a Unix socket or of its folder")
  const file = /^(.*)\/\.s\.PGSQL\.(\d+)$/.exec(path)
  return file === null
    ? { host: Path.normalize(path), port: undefined }
    : { host: file[1], port: Number(file[2]) }
}

const resetOf = (reset: PgPoolOptions["reset"]): Target["reset"] => {
  if (reset === undefined) return "transaction"
  if (reset === "transaction" || reset === "session" || reset === "none") return reset
  throw new BadOption("reset", reset, `"transaction", "session" or "none"`)
}

/** `true` is the default of pgjdbc: more texts than most services have, and not much memory. */
const preparedByDefault = 256

/** Enough to keep the server busy while an answer is under way, and few enough to wait behind. */
const multiplexedByDefault = 32

/** An option that is on, off or a number. */
const switchOf = (option: "prepare" | "multiplex", value: unknown, off: number, on: number): number => {
  if (value === undefined || value === false) return off
  if (value === true) return on
  if (typeof value === "number") return wholeNumber(option, value, { min: 1, why: ", true or false" })
  throw new BadOption(option, value, "true, false or a whole number of at least 1")
}

/** Timeouts of the server, by SET, which poolers allow where they refuse start-up parameters (R24). */
const settingsOf = (options: PgPoolOptions): string | undefined => {
  const timeouts = [
    ["statement_timeout", "statementTimeout"],
    ["lock_timeout", "lockTimeout"],
    ["idle_in_transaction_session_timeout", "idleInTransactionTimeout"]
  ] as const
  const settings = timeouts.flatMap(([name, option]) =>
    options[option] === undefined
      ? []
      : [`SET ${name} = ${serverTimeout(option, options[option])}`]
  )
  return settings.length === 0 ? undefined : settings.join("; ")
}

/** The server takes whole milliseconds of 31 bits. */
const serverTimeout = (option: string, value: unknown): number => {
  const millis = Math.ceil(duration(option, value, { positive: true }))
  if (millis < 2 ** 31) return millis
  throw new BadOption(option, value, "a duration of less than 24 days")
}

const defined = <A extends object>(fields: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
