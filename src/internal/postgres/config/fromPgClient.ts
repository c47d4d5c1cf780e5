/** @internal */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import type { DurationInput } from "effect/Duration"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ConnectionString from "pg-connection-string"
import type { PgPoolOptions } from "../../../PgPool.js"
import { attempt, optionsOf, orThrow } from "../../decode.js"
import { example } from "./target.js"

/** The application name of sessions of `@effect/sql-pg`. */
const stockName = "@effect/sql-pg"

/**
 * Translates the options of `@effect/sql-pg`, and writes its defaults out where they differ. An option that has no
 * effect there is left out, because it would have one here.
 *
 * @internal
 */
export const fromPgClientConfig = (config: PgClientConfig): PgPoolOptions => {
  const {
    applicationName = stockName,
    connectTimeout,
    connectionTTL,
    idleTimeout,
    maxConnections,
    minConnections = 0,
    path: _,
    ...same
  } = orThrow(attempt(() => optionsOf(config, example)))
  // `pg-pool` takes zero for its default.
  const limit = maxConnections || 10
  return withoutOverruled({
    ...same,
    applicationName,
    maxsize: limit,
    maxoverflow: limit,
    minsize: Math.min(minConnections, limit),
    idleTimeout: unlessOff(idleTimeout || "10 seconds"),
    expires: unlessOff(connectionTTL),
    connectTimeout: connectTimeout || undefined,
    acquireTimeout: connectTimeout || undefined
  })
}

const unlessOff = (duration: DurationInput | undefined): DurationInput | undefined => {
  const isOff = Option.exists(Duration.decodeUnknown(duration), Duration.equals(0))
  return isOff || !duration ? undefined : duration
}

/** Options that a URL overrules, by the names of the parser. `pg` also takes an empty value from the URL. */
const overruled = {
  host: "host",
  port: "port",
  user: "username",
  password: "password",
  database: "database",
  ssl: "ssl",
  application_name: "applicationName"
} as const

const withoutOverruled = (options: PgPoolOptions): PgPoolOptions => {
  const says = parse(options.url)
  const silent = Object.entries(overruled).flatMap(([name, option]) => name in says ? [[option, undefined]] : [])
  return { ...options, ...Object.fromEntries(silent) }
}

/** If the URL is wrong, the pool says so when it is made. */
const parse = (url: Redacted.Redacted | undefined): object => {
  try {
    return url === undefined ? {} : ConnectionString.parse(Redacted.value(url))
  } catch {
    return {}
  }
}
