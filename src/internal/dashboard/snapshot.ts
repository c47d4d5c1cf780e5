/** @internal */
import * as Effect from "effect/Effect"
import type { Watched } from "../../Dashboard.js"
import type { Health } from "../../PoolHealth.js"
import type { Holder, SpanFrame } from "../../PoolHolder.js"
import { summary } from "../../PoolHolder.js"
import type { Backend } from "../inside.js"
import type { Line } from "./words.js"
import { safeReason } from "./words.js"

/** So many of those that hold their connections longest are sent. */
const mostHolders = 100

/** What is known of the server's side. @internal */
export type Server =
  | { readonly _tag: "None" }
  | { readonly _tag: "Asking" }
  | { readonly _tag: "Unknown"; readonly why: string }
  | { readonly _tag: "Known"; readonly backends: ReadonlyMap<number, Backend | "elsewhere"> }

/** What has happened since the last snapshot. @internal */
export interface Since {
  readonly lines: ReadonlyArray<Line>
  readonly hasEnded: boolean
}

/**
 * A pool at one instant, as it is sent to the page.
 *
 * @internal
 */
export const snapshot = (pool: Watched, server: Server, { hasEnded, lines }: Since) =>
  Effect.gen(function*() {
    const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const { lastConnectError, ...stats } = yield* pool.stats
    const health = pool.health === undefined ? undefined : yield* pool.health
    const holders = yield* pool.holders
    return {
      at,
      hasEnded,
      stats: { ...stats, lastConnectError: lastConnectError === undefined ? null : safeReason(lastConnectError) },
      health: health === undefined ? null : shownHealth(health),
      summary: summary(holders),
      holders: holders.slice(0, mostHolders).map((holder) => shownHolder(holder, server)),
      moreHolders: Math.max(0, holders.length - mostHolders),
      server: { _tag: server._tag, why: server._tag === "Unknown" ? server.why : null },
      events: lines
    }
  })

const shownHealth = (health: Health) =>
  health._tag === "Unreachable" ? { ...health, cause: safeReason(health.cause) } : health

const shownHolder = (holder: Holder, server: Server) => ({
  fiber: holder.fiber,
  heldFor: holder.heldFor,
  takenIn: holder.takenIn.map(shownFrame),
  nowIn: holder.nowIn.map(shownFrame),
  isRunning: holder.isRunning ?? null,
  processId: holder.processId ?? null,
  backend: server._tag === "Known" && holder.processId !== undefined
    ? server.backends.get(holder.processId) ?? null
    : null
})

const shownFrame = ({ location, name }: SpanFrame) => ({ name, location: location ?? null })
