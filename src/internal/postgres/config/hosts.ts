/** @internal */
import { isIP } from "node:net"
import type { PgPoolOptions } from "../../../PgPool.js"
import { BadOption, oneOf, wholeNumber } from "../../decode.js"
import type { SessionAttrs } from "./attrs.js"
import { decodeSessionAttrs } from "./attrs.js"
import { HostFaults } from "./hostFaults.js"
import { defaults } from "./pgDefaults.js"

/** A server as it was named: by a name, an address, or the folder of its Unix socket. @internal */
export interface Host {
  readonly name: string
  readonly port: number
}

/** Where sessions are opened, and which of these places may be used. @internal */
export interface Hosts {
  readonly list: ReadonlyArray<Host>
  readonly attrs: SessionAttrs
  readonly isRandom: boolean
  readonly faults: HostFaults
}

/** The hosts as a URL or the options name them. An empty text counts as not set. @internal */
export interface Named {
  /** One, or several with commas in between. */
  readonly host?: string | undefined
  /** One for all, or one for each. */
  readonly port?: number | string | undefined
  readonly targetSessionAttrs?: unknown
  readonly loadBalanceHosts?: unknown
}

/** @internal */
export const labelOf = (name: string, port: number): string =>
  name.includes(":") ? `[${name}]:${port}` : `${name}:${port}`

const defaultPort = 5432

/** Settings that neither has come from the environment, as with `pg`. @internal */
export const decodeHosts = (options: PgPoolOptions, named: Named): Hosts => ({
  list: options.hosts === undefined ? zip(named) : listed(options),
  attrs: decodeSessionAttrs(named.targetSessionAttrs),
  isRandom: decodeLoadBalance(named.loadBalanceHosts),
  faults: new HostFaults()
})

const zip = ({ host, port = process.env["PGPORT"] || defaults.port || defaultPort }: Named): ReadonlyArray<Host> => {
  const names = (host || process.env["PGHOST"] || defaults.host || "localhost").split(",")
  // It would be looked up, and shown.
  if (names.some(hasCredentials)) throw new BadOption("host", "<not shown>", "a host without a user or a password")
  const ports = `${port}`.split(",")
  if (names.length > 1 && names.includes("")) throw new BadOption("host", host, "hosts with commas in between")
  if (ports.length > 1 && ports.length !== names.length) {
    throw new BadOption("port", port, `one port, or one for each of ${names.length} hosts`)
  }
  return names.map((name, index) => {
    const text = ports.length === 1 ? ports[0] : ports[index]
    const number = text === "" ? defaultPort : Number(text)
    // The error shows the whole value, and not only the wrong part.
    return { name, port: isPort(number) ? number : wholeNumber("port", port ?? text, portRange) }
  })
}

const hasCredentials = (name: unknown): boolean =>
  typeof name === "string" && !name.startsWith("/") && name.includes("@")

const portRange = { min: 1, max: 65535 }

const isPort = (port: unknown): port is number =>
  typeof port === "number" && Number.isInteger(port) && port >= portRange.min && port <= portRange.max

const hostForms = "\"db1\", \"db1:5433\", \"[::1]:5432\", \"/run/postgresql\" or { host: \"db1\", port: 5433 }"

const listed = ({ host, hosts, path, port = defaultPort }: PgPoolOptions): ReadonlyArray<Host> => {
  if (!Array.isArray(hosts) || hosts.length === 0) {
    throw new BadOption("hosts", hosts, `a list of at least one host, each of them ${hostForms}`)
  }
  if (host !== undefined || path !== undefined) {
    throw new BadOption("hosts", hosts, "left out where host or path is given")
  }
  wholeNumber("port", port, portRange)
  return hosts.map((entry: unknown) => {
    const found = parse(entry, port)
    if (found !== undefined) return found
    const isSecret = hasCredentials(entry) || hasCredentials((entry as { readonly host?: unknown } | null)?.host)
    const shown = isSecret ? "<not shown>" : entry
    throw new BadOption("hosts", shown, `a host such as ${hostForms}, with a port from 1 to 65535`)
  })
}

const parse = (entry: unknown, orElse: number): Host | undefined => {
  if (typeof entry === "string") return parseText(entry, orElse)
  if (typeof entry !== "object" || entry === null) return undefined
  const { host, port = orElse } = entry as { readonly host?: unknown; readonly port?: unknown }
  return typeof host === "string" ? validHost(host, port) : undefined
}

const parseText = (text: string, orElse: number): Host | undefined => {
  if (isIP(text) === 6) return validHost(text, orElse)
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text)
  if (parts === null) return undefined
  const [, address, name, port] = parts
  return validHost(address ?? name, port === undefined ? orElse : Number(port))
}

const validHost = (name: string, port: unknown): Host | undefined =>
  name !== "" && !/[\s,]/.test(name) && !hasCredentials(name) && isPort(port) ? { name, port } : undefined

const decodeLoadBalance = (value: unknown): boolean =>
  value !== undefined && oneOf("loadBalanceHosts", value, ["disable", "random"]) === "random"

/** For a URL that names several hosts, such as `postgresql://user@a:5432,b/db`. @internal */
export const severalHosts = (authority: string): Named => {
  const hosts = authority.split(",").map((entry, index) => {
    const host = parseText(decodeURIComponent(entry), defaultPort)
    if (host === undefined) throw new Error(`number ${index + 1} of its hosts is none`)
    return host
  })
  return { host: hosts.map(({ name }) => name).join(","), port: hosts.map(({ port }) => port).join(",") }
}

/** The hosts of a URL that was taken apart, if they are allowed. @internal */
export const checkNamed = (parsed: { readonly [parameter: string]: unknown }, several: Named): Named => {
  const named = {
    host: several.host ?? text(parsed["host"]),
    port: text(parsed["port"]) ?? several.port,
    targetSessionAttrs: text(parsed["target_session_attrs"]),
    loadBalanceHosts: text(parsed["load_balance_hosts"])
  }
  if (named.host !== undefined) zip(named)
  decodeSessionAttrs(named.targetSessionAttrs)
  decodeLoadBalance(named.loadBalanceHosts)
  return named
}

const text = (value: unknown): string | undefined => typeof value === "string" && value !== "" ? value : undefined
