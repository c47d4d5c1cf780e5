/** @internal */
import { longestName } from "../../pool/options.js"
import type { Host, Hosts } from "./hosts.js"
import { labelOf } from "./hosts.js"
import { defaults } from "./pgDefaults.js"

/** Where a pool leads. @internal */
export interface Place {
  readonly hosts: ReadonlyArray<Host>
  readonly database: string | undefined
  readonly user: string | undefined
}

/** What is not said comes from the environment, as with `pg`. @internal */
export const placeOf = ({ list }: Hosts, database: string | undefined, username: string | undefined): Place => {
  const user = username || process.env["PGUSER"] || defaults.user
  return { hosts: list, database: database || process.env["PGDATABASE"] || defaults.database || user, user }
}

/** The name of a pool that was given none, such as `localhost:5432/app`. @internal */
export const nameOf = ({ database, hosts }: Place): string => {
  const where = labelsOf(hosts)
  const name = (database === undefined ? where : `${where}/${database}`).replace(/\p{Cc}+/gu, " ")
  return name.length <= longestName ? name : `${name.slice(0, longestName / 2 - 3)}...${name.slice(-longestName / 2)}`
}

/** It stands in each line of the log: a long list of hosts would hide the rest. */
const longestList = 60

const labelsOf = (hosts: ReadonlyArray<Host>): string => {
  const labels = hosts.map(({ name, port }) => labelOf(name, port))
  const list = labels.join(",")
  return labels.length === 1 || list.length <= longestList ? list : `${labels[0]} (+${labels.length - 1})`
}
