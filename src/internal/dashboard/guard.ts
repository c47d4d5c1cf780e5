/** @internal */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Redacted from "effect/Redacted"
import { createHash, timingSafeEqual } from "node:crypto"
import { isLoopback } from "./options.js"

/** Whether a request has the token. @internal */
export type Guard = (request: HttpServerRequest.HttpServerRequest) => boolean

/** How long the comparison takes says nothing of the token, not even its length: hashes are compared. @internal */
export const guardOf = (token: Redacted.Redacted | undefined): Guard => {
  if (token === undefined) return () => true
  const expected = hash(Redacted.value(token))
  return ({ headers }) => {
    const [, given = ""] = /^Bearer +(\S+)$/i.exec(headers["authorization"] ?? "") ?? []
    return timingSafeEqual(hash(given), expected)
  }
}

const hash = (text: string): Buffer => createHash("sha256").update(text).digest()

/** @internal */
export const needsToken = HttpServerResponse.unsafeJson({ error: "this page needs its token" }, {
  status: 401,
  headers: { "www-authenticate": "Bearer", "cache-control": "no-store" }
})

/**
 * Whether a request was meant for this machine. Without a token, a page of somebody else could have the name of its own
 * server resolved to 127.0.0.1, and read this one in its visitor's browser.
 *
 * @internal
 */
export const isMeantForHere = ({ headers }: HttpServerRequest.HttpServerRequest): boolean => {
  const host = (headers["host"] ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1")
  return isLoopback(host)
}

/** @internal */
export const wrongHost = HttpServerResponse.text(
  "Without a token this page is only served under localhost or a loopback address, so that no other site can read it.\n",
  { status: 403, headers: { "cache-control": "no-store" } }
)
