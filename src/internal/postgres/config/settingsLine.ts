/** @internal */
import type * as Pg from "pg"
import { formatMillis } from "../../words.js"
import { labelOf } from "./hosts.js"
import type { DecodedTarget } from "./target.js"

/**
 * The settings in force, in one line. They are named one by one, so that nothing secret can come in: no URL, password,
 * certificate or key, and nothing that the program gave to be sent.
 *
 * @internal
 */
export const settingsOf = (target: DecodedTarget): string => {
  const { hosts: { attrs, isRandom, list }, login, multiplex, pool, prepare } = target
  const { full, outage } = pool.limits
  const { application_name: applicationName, database, ssl, user } = target.client()
  const settings: ReadonlyArray<readonly [string, string | number | boolean | undefined]> = [
    ["hosts", list.map(({ name, port }) => labelOf(name, port)).join(",")],
    ["database", database],
    ["username", user],
    ["applicationName", applicationName],
    ["targetSessionAttrs", attrs],
    ["loadBalanceHosts", isRandom ? "random" : "disable"],
    ["ssl", tls(ssl)],
    ["requireAuth", login?.text],
    ["maxsize", pool.maxsize],
    ["maxoverflow", pool.maxoverflow],
    ["maxwait", pool.maxwait === "auto" ? "auto" : time(pool.maxwait)],
    ["whenFull", full.limit === "maxwait" ? "fail" : "wait"],
    ["acquireTimeout", time(pool.acquireTimeout)],
    ["outageTimeout", outage.limit === "outageTimeout" ? time(outage.limitMillis) : undefined],
    ["maxWaiting", limit(pool.maxWaiting)],
    ["expires", time(pool.expires)],
    ["expiresJitter", pool.expiresJitter],
    ["minsize", pool.minsize],
    ["idleTimeout", time(pool.idleTimeout)],
    ["maxUses", limit(pool.maxUses)],
    ["warm", pool.warm],
    ["connectTimeout", time(pool.connectTimeout)],
    ["connectConcurrency", limit(pool.connectConcurrency)],
    ["validateAfterIdle", time(pool.validateAfterIdle)],
    ["cleanupTimeout", time(pool.cleanupTimeout)],
    ["closeTimeout", time(pool.closeTimeout)],
    ["suspendTimeout", time(pool.suspendTimeout)],
    ["queryTimeout", time(target.queryTimeout)],
    ["leakThreshold", time(pool.leakThreshold)],
    ["reset", target.reset],
    ["prepare", prepare === 0 ? "off" : prepare],
    ["multiplex", multiplex === 1 ? "off" : multiplex],
    ["onConnect", target.onConnect !== undefined],
    ["advice", target.advice]
  ]
  const said = settings.filter(([, value]) => value !== undefined).map(([name, value]) => `${name} ${value}`)
  return `Settings: ${said.join(", ")}`
}

const tls = (ssl: Pg.ClientConfig["ssl"]): string =>
  ssl === undefined || ssl === false ?
    "off"
    : typeof ssl === "object" && ssl.rejectUnauthorized === false
    ? "on, the server is not verified"
    : "on"

const limit = (n: number): string => n === Infinity ? "off" : `${n}`

const time = (millis: number): string => millis === Infinity ? "off" : formatMillis(millis)
