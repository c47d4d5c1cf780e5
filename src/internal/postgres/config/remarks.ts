/** @internal */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { isDeepStrictEqual } from "node:util"
import type { PgPoolOptions } from "../../../PgPool.js"
import { labelOf } from "./hosts.js"
import { defaults } from "./pgDefaults.js"
import type { Place } from "./place.js"
import type { FromUrl } from "./url.js"

/** Where the options come from, for remarks about them. @internal */
export interface Origin {
  /** Says which settings are missing if none of them names the server. */
  readonly unsaid: string
  /** Whether an option was given in order to win over the URL: then no remark is made. */
  readonly isMeantToWin: (option: string) => boolean
}

/** @internal */
export const fromProgram: Origin = {
  unsaid: "Neither url nor host is given, nor is PGHOST set (DATABASE_URL is read by PgPoolLayer only)",
  isMeantToWin: () => false
}

/** @internal */
export const fromEnvironment = (given: PgPoolOptions): Origin => ({
  unsaid: "Neither DATABASE_URL nor PGHOST is set",
  isMeantToWin: (option) => given.url === undefined && given[option as keyof PgPoolOptions] !== undefined
})

/**
 * Says where the pool looks for the server, if no setting names one. Mostly a variable was forgotten then, and the only
 * symptom would be an outage.
 *
 * @internal
 */
export const unsaidPlace = (
  options: PgPoolOptions,
  { database = "none", hosts: [host], user = "none" }: Place,
  { unsaid }: Origin
): string | undefined => {
  const isSaid = (["url", "host", "hosts", "port", "path", "stream", "database"] as const)
    .some((option) => Boolean(options[option]))
  const isSet = ["PGHOST", "PGPORT", "PGDATABASE"].some((key) => Boolean(process.env[key]))
  if (isSaid || isSet || defaults.host !== "localhost") return undefined
  const server = labelOf(host.name, host.port)
  return `${unsaid}: the pool looks for the server at ${server}, database ${database}, user ${user}`
}

/**
 * Names the options that differ from the URL. With `PgClient.layer` they would have no effect, which is easily missed.
 * No value is shown: one of them is a password.
 *
 * @internal
 */
export const besideUrl = (
  options: PgPoolOptions,
  url: FromUrl,
  socket: string | undefined,
  { isMeantToWin }: Origin
): ReadonlyArray<string> => {
  const { applicationName, database, host, password, port, ssl, username } = options
  const pairs: { readonly [K in keyof PgPoolOptions]: readonly [option: unknown, url: unknown] } = {
    host: [host, url.host],
    port: [port?.toString(), url.port?.toString()],
    path: [socket, url.host],
    database: [database, url.database],
    username: [username, url.user],
    // A password that is an Effect is given in order to win.
    password: [Redacted.isRedacted(password) ? Redacted.value(password) : undefined, url.password],
    ssl: [tlsOf(ssl), tlsOf(url.ssl)],
    applicationName: [applicationName, url.applicationName]
  }
  const names = Object.entries(pairs).flatMap(([name, [option, url]]) =>
    option === undefined || url === undefined || isDeepStrictEqual(option, url) || isMeantToWin(name) ? [] : name
  )
  return names.length === 0 ? [] : [
    `The URL says something else than ${list.format(names)} beside it: here the options win, with PgClient.layer the ` +
    "URL does"
  ]
}

const list = new Intl.ListFormat("en", { type: "conjunction" })

/** With its defaults, so that two values with the same meaning are equal. */
const tlsOf = (ssl: unknown): unknown =>
  ssl === true || Predicate.isRecord(ssl) ? { rejectUnauthorized: true, ...(ssl === true ? {} : ssl) } : ssl
