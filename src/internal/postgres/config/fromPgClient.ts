/** @internal */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import type { DurationInput } from "effect/Duration"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ConnectionString from "pg-connection-string"
import type { PgPoolOptions } from "../../../PgPool.js"

/** As `@effect/sql-pg` names its sessions. */
const stockName = "@effect/sql-pg"

/**
 * The same by the names of this pool, and where stock has other defaults, these. What has no effect there is left out:
 * it would have one here.
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
  } = config
  // `pg-pool` takes zero for none.
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

/** Options for what a URL says, by its names. `pg` also takes from it that it says nothing. */
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

/** What is wrong with it is told where the pool is made. */
const parse = (url: Redacted.Redacted | undefined): object => {
  try {
    return url === undefined ? {} : ConnectionString.parse(Redacted.value(url))
  } catch {
    return {}
  }
}
