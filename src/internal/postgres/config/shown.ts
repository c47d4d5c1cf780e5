/** @internal */
import type * as Pg from "pg"
import type { DecodedPool } from "../../pool/options.js"
import type { Shown } from "../../pool/shown.js"
import { shownPool, timeInWords } from "../../pool/shown.js"
import { labelOf } from "./hosts.js"
import type { DecodedTarget } from "./target.js"

/**
 * The settings in force, in words. They are named one by one, so that nothing secret can come in: no URL, password,
 * certificate or key, and nothing that the program gave to be sent.
 *
 * @internal
 */
export const shown = (target: DecodedTarget, pool: DecodedPool = target.pool): ReadonlyArray<Shown> => {
  const { hosts: { attrs, isRandom, list }, login, multiplex, prepare } = target
  const { application_name: applicationName, database, ssl, user } = target.client()
  const settings: ReadonlyArray<readonly [option: string, value: string | undefined]> = [
    ["hosts", list.map(({ name, port }) => labelOf(name, port)).join(",")],
    ["database", database],
    ["username", user],
    ["applicationName", applicationName],
    ["targetSessionAttrs", attrs],
    ["loadBalanceHosts", isRandom ? "random" : "disable"],
    ["ssl", tls(ssl)],
    ["requireAuth", login?.text],
    ...shownPool(pool),
    ["queryTimeout", timeInWords(target.queryTimeout)],
    ["reset", target.reset],
    ["prepare", prepare === 0 ? "off" : `${prepare}`],
    ["multiplex", multiplex === 1 ? "off" : `${multiplex}`],
    ["onConnect", `${target.onConnect !== undefined}`],
    ["advice", `${target.advice}`]
  ]
  return settings.filter((setting): setting is Shown => setting[1] !== undefined)
}

/** The same in one line. @internal */
export const settingsLine = (target: DecodedTarget): string =>
  `Settings: ${shown(target).map(([option, value]) => `${option} ${value}`).join(", ")}`

const tls = (ssl: Pg.ClientConfig["ssl"]): string =>
  ssl === undefined || ssl === false ?
    "off"
    : typeof ssl === "object" && ssl.rejectUnauthorized === false
    ? "on, the server is not verified"
    : "on"
