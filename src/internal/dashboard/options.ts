/** @internal */
import * as Redacted from "effect/Redacted"
import { BlockList, isIP } from "node:net"
import type { Watched } from "../../Dashboard.js"
import { BadOption, fieldsOf, wholeNumber } from "../decode.js"

/** Where the page is served. @internal */
export interface Place {
  readonly host: string
  readonly port: number
}

/** The options of the page itself. @internal */
export interface PageOptions {
  readonly pools: ReadonlyArray<Watched> | undefined
  readonly token: Redacted.Redacted | undefined
}

/** Throws `BadOption`, as all decoders here do. @internal */
export const decodePage = (options: unknown): PageOptions => {
  const { pools, token } = fieldsOf<Record<string, unknown>>(
    "Dashboard",
    options as Record<string, unknown> | undefined
  )
  return {
    pools: pools === undefined ? undefined : decodePools(pools),
    token: token === undefined ? undefined : decodeToken(token)
  }
}

/** The token is not checked again. @internal */
export const decodePlace = (options: unknown): Place => {
  const given = fieldsOf<Record<string, unknown>>("Dashboard", options as Record<string, unknown> | undefined)
  const { host = "127.0.0.1", port = defaultPort, token } = given
  if (typeof host !== "string" || !/^[\w.:-]+$/.test(host)) {
    throw new BadOption("host", host, "an address or a name of this machine, such as \"127.0.0.1\"")
  }
  if (token === undefined && !isLoopback(host)) {
    throw new BadOption(
      "host",
      host,
      "\"127.0.0.1\" (or another loopback address) where no token is given: " +
        "others would see the page. Set token, or serve it on this machine only"
    )
  }
  return { host, port: wholeNumber("port", port, { min: 0, max: 65535 }) }
}

const defaultPort = 7432

const decodePools = (pools: unknown): ReadonlyArray<Watched> => {
  if (Array.isArray(pools) && pools.length > 0 && pools.every(isWatched)) return pools
  throw new BadOption("pools", pools, "a list of one or more pools: each a PgPool, or an ElasticPool")
}

const isWatched = (pool: unknown): pool is Watched =>
  typeof pool === "object" && pool !== null && ["stats", "holders", "events"].every((name) => name in pool)

/** It is sent in a header. The text is not shown: it may be nearly the right one. */
const decodeToken = (token: unknown): Redacted.Redacted => {
  const text = Redacted.isRedacted(token) ? Redacted.value(token) : undefined
  if (typeof text === "string" && /^[\x21-\x7e]{16,256}$/.test(text)) return Redacted.make(text)
  throw new BadOption(
    "token",
    Redacted.make(text),
    "a Redacted text of 16 to 256 printable ASCII characters without spaces"
  )
}

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

/** Whether only this machine can mean it. @internal */
export const isLoopback = (host: string): boolean => {
  const version = isIP(host)
  if (version === 0) return /^(.+\.)?localhost$/i.test(host)
  return loopback.check(host, version === 4 ? "ipv4" : "ipv6")
}
