/** @internal */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import type * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Path from "node:path"
import type { Duplex } from "node:stream"
import type * as Pg from "pg"
import type { PgPoolOptions } from "../../../PgPool.js"
import { attempt, BadOption, duration, ofType, oneOf, optionsOf, wholeNumber } from "../../decode.js"
import type { DecodedPool } from "../../pool/options.js"
import { decodePool, reachOf } from "../../pool/options.js"
import type { Reach } from "../../pool/reach.js"
import type { Time } from "../../time/time.js"
import type { Hosts } from "./hosts.js"
import { decodeHosts } from "./hosts.js"
import type { Operations } from "./operations.js"
import { renamed, unknownOptions } from "./optionNames.js"
import type { Password } from "./password.js"
import { decodePassword } from "./password.js"
import { defaults } from "./pgDefaults.js"
import { nameOf, placeOf } from "./place.js"
import type { Origin } from "./remarks.js"
import { besideUrl, fromProgram, unsaidPlace } from "./remarks.js"
import type { Requirement } from "./requireAuth.js"
import { decodeLogin } from "./requireAuth.js"
import { decodeTls, withoutSecrets } from "./tls.js"
import type { TurnLimits } from "./turnLimits.js"
import type { FromUrl, Timeout } from "./url.js"
import { numberOf, parseUrl } from "./url.js"

/**
 * Where and how sessions are opened: the decoded connection settings.
 *
 * @internal
 */
export interface Target extends TurnLimits {
  readonly hosts: Hosts
  /** A hint for a connect that fails, such as that no setting says where the server is. */
  readonly hint?: string | undefined
  /** The settings of `pg`, without the password, and for the first host. */
  readonly client: () => Pg.ClientConfig
  readonly password: Password
  readonly stream: (() => Duplex) | undefined
  /** How the server may ask for the password. `undefined`: in any way. */
  readonly login: Requirement | undefined
  /** Settings that have no effect and other remarks, for the log. */
  readonly warnings: ReadonlyArray<string>
  /** Sent once to each new session. */
  readonly setupSql: string | undefined
  readonly reset: "transaction" | "session" | "none"
  readonly onConnect: PgPoolOptions["onConnect"]
  /** How many statements each session may have prepared. 0: off. */
  readonly prepare: number
  /** How many plain statements may be on their way on one session. 1: off. */
  readonly multiplex: number
  readonly connectTimeout: number
  readonly reach: Reach
  /** The options of the pool itself. */
  readonly pool: DecodedPool
  /** In milliseconds. `Infinity`: off. */
  readonly queryTimeout: number
  /** Is told of the statements of users, if anybody wants to know. */
  readonly operations: Operations | undefined
  /** Whether the log has advice, and names those who hold the connections when a caller is refused. */
  readonly advice: boolean
  /** The time of deadlines on I/O (R14), with fibers in the runtime that the pool was made in. */
  readonly io: Time
  /** What `PgClient.config` shows: the URL taken apart. */
  readonly config: PgClientConfig
}

/** Options of which only the type is checked. */
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
  advice: "boolean",
  eager: "boolean",
  metrics: "boolean",
  spanAttributes: "object"
} as const

/** All that the options say. @internal */
export type DecodedTarget = Omit<Target, "clock" | "io" | "operations">

/** @internal */
export const decodeTarget = (
  options: PgPoolOptions,
  origin: Origin = fromProgram
): Either.Either<DecodedTarget, BadOption> => attempt(() => target(options, origin))

/** How the options of a client begin. @internal */
export const example = "{ url: Redacted.make(\"postgresql://...\") }"

const target = (options: PgPoolOptions, origin: Origin): DecodedTarget => {
  optionsOf(options, example)
  for (const [old, ours] of Object.entries(renamed)) {
    const value = options[old as keyof typeof renamed]
    if (value === undefined) continue
    throw new BadOption(
      old,
      value,
      `left out: use ${ours.join(" and ")} instead (PgPool.fromPgClientConfig does)`
    )
  }
  for (const [option, type] of Object.entries(plain)) {
    ofType(option, options[option as keyof typeof plain], type)
  }
  if (options.path !== undefined && options.host !== undefined) {
    throw new BadOption("path", options.path, "left out where host is given")
  }
  const url: FromUrl = options.url === undefined ? {} : parseUrl(options.url)
  const socket = options.path === undefined ? undefined : parsePath(options.path)
  const hosts = decodeHosts(options, {
    host: options.host ?? socket?.host ?? url.host,
    port: options.port === undefined ? socket?.port ?? url.port : options.port,
    targetSessionAttrs: options.targetSessionAttrs ?? url.targetSessionAttrs,
    loadBalanceHosts: options.loadBalanceHosts ?? url.loadBalanceHosts
  })
  const [{ name: host, port }] = hosts.list
  const username = options.username ?? url.user
  const database = options.database ?? url.database
  const tls = decodeTls(options, url)
  const login = decodeLogin(options, url, tls.ssl !== false && hosts.list.every(({ name }) => !name.startsWith("/")))
  const { stream } = options
  const types = options.types === undefined ? undefined : safeTypes(options.types)
  const password = options.password ?? (url.password === undefined ? undefined : Redacted.make(url.password))
  const applicationName = options.applicationName ?? url.applicationName ?? url.fallbackApplicationName ??
    "effect-pgpool"
  const settings = url.options || process.env["PGOPTIONS"] || defaults.options
  const replication = url.replication || process.env["PGREPLICATION"]
  sendable({ username, database, applicationName, options: settings, replication })
  const place = placeOf(hosts, database, username)
  const pool = decodePool({
    ...options,
    name: options.name === undefined ? nameOf(place) : options.name,
    connectTimeout: options.connectTimeout === undefined ? timeoutOf("connect_timeout", url) : options.connectTimeout
  })
  const hint = unsaidPlace(options, place, origin)
  // All settings of the driver but the password.
  const client = defined({
    host,
    port,
    user: username,
    database,
    ...tls,
    enableChannelBinding: login.binds,
    types,
    application_name: applicationName,
    options: settings,
    replication,
    ...startUpOf(options, url),
    // So that sockets of a silent network are closed (R24).
    keepAlive: url.keepAlive ?? true,
    keepAliveInitialDelayMillis: url.keepAliveDelay ?? 10_000
  }) as Pg.ClientConfig
  return {
    hosts,
    client: () => stream === undefined ? client : { ...client, stream } as Pg.ClientConfig,
    password: decodePassword(password),
    stream,
    login: login.requirement,
    warnings: [
      ...(hint === undefined ? [] : [hint]),
      ...unknownOptions(options),
      ...besideUrl(options, url, socket?.host, origin),
      ...warningsOf(url)
    ],
    hint,
    setupSql: setupSqlOf(options),
    reset: options.reset === undefined
      ? "transaction"
      : oneOf("reset", options.reset, ["transaction", "session", "none"]),
    onConnect: options.onConnect,
    prepare: switchOf("prepare", options.prepare, 0, preparedByDefault),
    multiplex: switchOf("multiplex", options.multiplex, 1, multiplexedByDefault),
    pool,
    connectTimeout: pool.connectTimeout,
    turnTimeout: pool.acquireTimeout,
    reach: reachOf(options, pool),
    queryTimeout: options.queryTimeout === undefined
      ? timeoutOf("query_timeout", url) || Infinity
      : duration("queryTimeout", options.queryTimeout, { positive: true }),
    advice: options.advice ?? true,
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
      applicationName,
      spanAttributes: options.spanAttributes,
      transformResultNames: options.transformResultNames,
      transformQueryNames: options.transformQueryNames,
      transformJson: options.transformJson,
      types
    })
  }
}

/** The protocol ends texts with a NUL: the rest would be taken for something else. */
const sendable = (texts: Record<string, string | undefined>): void => {
  for (const [option, value] of Object.entries(texts)) {
    if (value?.includes("\0")) throw new BadOption(option, value, "without a NUL character")
  }
}

/** `pg` calls this in an event of the socket, where an exception would end the process. */
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

/** For `true`. The default of pgjdbc: more than the texts of most services, for little memory. */
const preparedByDefault = 256

/** For `true`. Enough to keep the server busy while an answer travels, and few enough to wait behind. */
const multiplexedByDefault = 32

/** An option that is on, off or a number. */
const switchOf = (option: "prepare" | "multiplex", value: unknown, off: number, on: number): number => {
  if (value === undefined || value === false) return off
  if (value === true) return on
  if (typeof value === "number") return wholeNumber(option, value, { min: 1, why: ", true or false" })
  throw new BadOption(option, value, "true, false or a whole number of at least 1")
}

/** In milliseconds. Without a value in the URL, it is that of `pg.defaults`. */
const timeoutOf = (timeout: Timeout, url: FromUrl): number | undefined => {
  const given = url.timeouts?.[timeout]
  if (given !== undefined || timeout === "connect_timeout") return given
  const orElse = defaults[timeout]
  return orElse ? numberOf(timeout, `${orElse}`) : undefined
}

/** Timeouts of the server, and our options for them. */
const serverTimeouts = [
  ["statement_timeout", "statementTimeout"],
  ["lock_timeout", "lockTimeout"],
  ["idle_in_transaction_session_timeout", "idleInTransactionTimeout"]
] as const

/** The options become a SET: poolers allow that, where they refuse start-up parameters (R24). */
const setupSqlOf = (options: PgPoolOptions): string | undefined => {
  const settings = serverTimeouts.flatMap(([name, option]) =>
    options[option] === undefined ? [] : [`SET ${name} = ${serverTimeout(option, options[option])}`]
  )
  return settings.length === 0 ? undefined : settings.join("; ")
}

/**
 * The values of the URL become start-up parameters, as with `pg`: RESET and DISCARD ALL restore them. Zero is sent too.
 */
const startUpOf = (options: PgPoolOptions, url: FromUrl): Record<string, string | undefined> =>
  Object.fromEntries(serverTimeouts.map(([name, option]) => [
    name,
    options[option] === undefined ? timeoutOf(name, url)?.toString() : undefined
  ]))

const warningsOf = ({ unused = [] }: FromUrl): ReadonlyArray<string> => [
  ...(unused.length === 0 ? [] : [`Parameters of the URL that have no effect here: ${unused.join(", ")}`]),
  ...(defaults.binary === true ? ["pg.defaults.binary has no effect here: values come as text"] : [])
]

/** The server accepts whole milliseconds of 31 bits. */
const serverTimeout = (option: string, value: unknown): number => {
  const millis = Math.ceil(duration(option, value, { positive: true }))
  if (millis < 2 ** 31) return millis
  throw new BadOption(option, value, "a duration of less than 24 days")
}

const defined = <A extends object>(fields: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
