/** @internal */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import type * as ConfigProvider from "effect/ConfigProvider"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { filter, getSomes, map } from "effect/Record"
import * as Redacted from "effect/Redacted"
import type { PgPoolOptions } from "../../../PgPool.js"
import { didYouMean } from "../../spelling.js"
import { optionsMeantBy } from "./optionNames.js"

/** A text that is no number is passed on: its error is that of literal options, which says what is allowed. */
const number = (key: string): Config.Config<number> =>
  Config.map(Config.string(key), (text) => numberIn(text) ?? text as never)

const numberIn = (text: string): number | undefined =>
  text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text)

/** A bare number is milliseconds, as everywhere in Effect. */
const duration = (key: string): Config.Config<Duration.DurationInput> =>
  Config.map(Config.string(key), (text) => numberIn(text) ?? text.trim() as Duration.DurationInput)

/** The words of `Config.boolean` that are no numbers. */
const booleans: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "on"].map((yes) => [yes, true] as const),
  ...["false", "no", "off"].map((no) => [no, false] as const)
])

const numberOrBoolean = (key: string): Config.Config<number | boolean> =>
  Config.map(Config.string(key), (text) => booleans.get(text) ?? numberIn(text) ?? text as never)

/** The options of the pool that can be set from outside the program. */
const poolOptions = {
  name: Config.string,
  maxsize: number,
  maxwait: duration,
  maxoverflow: number,
  whenFull: Config.string as (key: string) => Config.Config<any>,
  acquireTimeout: duration,
  expires: duration,
  minsize: number,
  idleTimeout: duration,
  maxUses: number,
  expiresJitter: number,
  maxWaiting: number,
  connectTimeout: duration,
  connectConcurrency: number,
  outageTimeout: duration,
  validateAfterIdle: duration,
  reset: Config.string as (key: string) => Config.Config<any>,
  prepare: numberOrBoolean,
  multiplex: numberOrBoolean,
  cleanupTimeout: duration,
  closeTimeout: duration,
  suspendTimeout: duration,
  queryTimeout: duration,
  statementTimeout: duration,
  lockTimeout: duration,
  idleInTransactionTimeout: duration,
  eager: Config.boolean,
  metrics: Config.boolean,
  warm: number,
  leakThreshold: duration,
  advice: Config.boolean,
  applicationName: Config.string
} satisfies { readonly [K in keyof PgPoolOptions]?: (key: string) => Config.Config<any> }

/** `acquireTimeout` is `PGPOOL_ACQUIRE_TIMEOUT`. @internal */
export const keyOf = (option: string): string =>
  option.startsWith("PG") ? option : connectionKeys[option as keyof typeof connectionKeys] ??
    `PGPOOL_${option.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/** Not every option is text. */
const nameOf = (option: string): string =>
  option in poolOptions || option in connectionKeys ? keyOf(option) : `${option} of PgPool.layerFromEnv`

/** The names that libpq and most other clients use. */
const connectionKeys = {
  url: "DATABASE_URL",
  host: "PGHOST",
  port: "PGPORT",
  username: "PGUSER",
  password: "PGPASSWORD",
  database: "PGDATABASE",
  targetSessionAttrs: "PGTARGETSESSIONATTRS",
  loadBalanceHosts: "PGLOADBALANCEHOSTS",
  requireAuth: "PGREQUIREAUTH"
} as const

/** An empty variable counts as not set: compose files leave a variable out in this way. */
const url = Config.map(
  Config.option(Config.redacted(connectionKeys.url)),
  Option.filter((url) => Redacted.value(url) !== "")
)

type Source = { readonly [option: string]: Config.Config<Option.Option<unknown>> }

const connection: Source = {
  host: Config.option(Config.string(connectionKeys.host)),
  // It may be a list. Its decoder names this key too.
  port: Config.option(Config.string(connectionKeys.port)),
  username: Config.option(Config.string(connectionKeys.username)),
  password: Config.option(Config.redacted(connectionKeys.password)),
  database: Config.option(Config.string(connectionKeys.database)),
  targetSessionAttrs: Config.option(Config.string(connectionKeys.targetSessionAttrs)),
  loadBalanceHosts: Config.option(Config.string(connectionKeys.loadBalanceHosts))
}

const login: Source = { requireAuth: Config.option(Config.string(connectionKeys.requireAuth)) }

const pool: Source = map(poolOptions, (config, option) => Config.option(config(keyOf(option))))

/**
 * The options of a pool from the configuration in force. An option that the program gives wins, and its key is not
 * read.
 *
 * @internal
 */
export const options = (given: PgPoolOptions): Effect.Effect<PgPoolOptions, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    yield* refuseUnknownKeys
    const own = filter(given as Record<string, unknown>, (value) => value !== undefined)
    // These two options name the server in another way.
    const elsewhere = "hosts" in own || "path" in own ? ["host", "port"] : []
    const read = (source: Source) =>
      Config.all(filter(source, (_, option) => !(option in own) && !elsewhere.includes(option)))
    const where = given.url ?? Option.getOrUndefined(yield* url)
    const target: Source = where === undefined ? { ...connection, ...login } : saysLogin(where) ? {} : login
    return { ...getSomes(yield* read({ ...target, ...pool })), url: where, ...own }
  })

/** Without this, a requirement in the environment would be lost when the URL has none. */
const saysLogin = (url: Redacted.Redacted): boolean =>
  Redacted.isRedacted(url) && /\?(.*&)?require_auth=/s.test(Redacted.value(url))

/**
 * Kubernetes sets variables for every service in every container: here for services named `pgpool`, or
 * `pgpool-primary`.
 *
 * https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
const isOfService = (key: string, value: string): boolean => {
  const [, name] =
    /^PGPOOL_(?:[A-Z0-9_]+?_)??(SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/
      .exec(key) ?? []
  // A user could mean this name as an option. Kubernetes sets it to a URL, such as tcp://10.96.12.34:9999.
  return name !== undefined && (name !== "PORT" || value.includes("://"))
}

/** A misspelt key would otherwise be ignored, and its option would silently have its default. */
const refuseUnknownKeys: Effect.Effect<void, ConfigError.ConfigError> = Effect.gen(function*() {
  const known = new Set(Object.keys(poolOptions).map(keyOf))
  const keys = yield* Effect.configProviderWith(({ flattened }) => keysOf(flattened, []))
  const strangers = keys.filter((key) => key.startsWith("PGPOOL_") && !known.has(key))
  // Some may only be the beginning of a longer key.
  const [unknown] = yield* Effect.filter(
    strangers,
    (key) => Effect.map(Config.option(Config.string(key)), Option.exists((value) => !isOfService(key, value)))
  )
  if (unknown === undefined) return
  const hint = didYouMean(optionsMeantBy(unknown.slice("PGPOOL_".length)).map(nameOf))
  const message = `no such option; ${hint === undefined ? "there" : `${hint} There`} are ${
    [...known].sort().join(", ")
  }`
  return yield* Effect.fail(ConfigError.InvalidData([unknown], message))
})

/** A provider may take a key apart at its underscores, as that of the environment does. */
const keysOf = (
  provider: ConfigProvider.ConfigProvider.Flat,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, ConfigError.ConfigError> =>
  Effect.flatMap(provider.enumerateChildren(path), (children) => {
    const paths = [...children].map((child) => [...path, child]).filter((child) => child.join("_").startsWith("PGPOOL"))
    const below = Effect.forEach(paths, (child) => keysOf(provider, child))
    return Effect.map(below, (keys) => [path.join("_"), ...keys.flat()])
  })
