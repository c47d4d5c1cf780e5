/** @internal */
import type { PgPoolOptions } from "../../../PgPool.js"
import { didYouMean, meantBy } from "../../spelling.js"

/** Options of `PgClient.layer` that have other names here. @internal */
export const renamed = {
  maxConnections: ["maxsize", "maxoverflow"],
  minConnections: ["minsize"],
  connectionTTL: ["expires"]
} as const satisfies { readonly [K in keyof PgPoolOptions]?: ReadonlyArray<keyof PgPoolOptions> }

/** All options, so that a name that is none can be reported. */
const optionNames: { readonly [K in Exclude<keyof PgPoolOptions, keyof typeof renamed>]-?: true } = {
  maxsize: true,
  maxwait: true,
  whenFull: true,
  maxoverflow: true,
  acquireTimeout: true,
  expires: true,
  expiresJitter: true,
  minsize: true,
  idleTimeout: true,
  maxUses: true,
  maxWaiting: true,
  connectTimeout: true,
  connectConcurrency: true,
  connectRetry: true,
  outageTimeout: true,
  validateAfterIdle: true,
  cleanupTimeout: true,
  closeTimeout: true,
  suspendTimeout: true,
  warm: true,
  leakThreshold: true,
  name: true,
  advice: true,
  url: true,
  host: true,
  port: true,
  hosts: true,
  targetSessionAttrs: true,
  loadBalanceHosts: true,
  path: true,
  ssl: true,
  sslNegotiation: true,
  requireAuth: true,
  database: true,
  username: true,
  password: true,
  stream: true,
  applicationName: true,
  spanAttributes: true,
  transformResultNames: true,
  transformQueryNames: true,
  transformJson: true,
  types: true,
  reset: true,
  onConnect: true,
  prepare: true,
  multiplex: true,
  queryTimeout: true,
  statementTimeout: true,
  lockTimeout: true,
  idleInTransactionTimeout: true,
  eager: true,
  metrics: true
}

/** The options that may be meant by an unknown name. @internal */
export const optionsMeantBy = (name: string): ReadonlyArray<string> => {
  const meant = meantBy(name, [...Object.keys(optionNames), ...Object.keys(renamed)])
  return [...new Set(meant.flatMap((option) => renamed[option as keyof typeof renamed] ?? option))].slice(0, most)
}

/** More proposals would not help. */
const most = 3

/** Unknown options, for the log: a compiler would have refused them. @internal */
export const unknownOptions = (options: object): ReadonlyArray<string> => {
  const unknown = Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || name in optionNames) return []
    const hint = didYouMean(optionsMeantBy(name))
    return hint === undefined ? name : `${name} (${hint})`
  })
  return unknown.length === 0 ? [] : [`Options that there are not, and that have no effect: ${unknown.join(", ")}`]
}
