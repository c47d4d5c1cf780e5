/** @internal */
import * as Effect from "effect/Effect"
import type { Watched } from "../../Dashboard.js"
import type { PoolEvent } from "../../PoolEvent.js"
import type { Health } from "../../PoolHealth.js"
import type { Holder, SpanFrame } from "../../PoolHolder.js"
import { summary } from "../../PoolHolder.js"
import type { Backend } from "../inside.js"
import { insideOf } from "../inside.js"
import { lineOf, safeReason } from "./words.js"

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
  readonly events: ReadonlyArray<PoolEvent>
  readonly hasEnded: boolean
}

/**
 * What is sent to a page: the pool at one instant, what the server says of its holders, and what has happened.
 *
 * @internal
 */
export const snapshot = (pool: Watched, server: Server, { events, hasEnded }: Since) =>
  Effect.map(shared(pool), ({ holders, ...shot }) => ({
    ...shot,
    hasEnded,
    holders: holders.map((holder) => ({ ...holder, backend: backendOf(holder, server) })),
    server: { _tag: server._tag, why: server._tag === "Unknown" ? server.why : null },
    events: events.map(lineOf)
  }))

/** For so long, in milliseconds, others are shown the same: less than between two looks of one, who must see it change. */
const sharedFor = 900

/** The last look at each pool. */
const latest = new WeakMap<Watched, { readonly takenAt: number; readonly shot: Shot }>()

const shared = (pool: Watched): Effect.Effect<Shot> =>
  Effect.gen(function*() {
    const now = yield* Effect.clockWith((clock) => clock.currentTimeNanos)
    const takenAt = Number(now / 1_000_000n)
    const last = latest.get(pool)
    if (last !== undefined && takenAt - last.takenAt < sharedFor) return last.shot
    const shot = yield* look(pool)
    latest.set(pool, { takenAt, shot })
    return shot
  })

type Shot = Effect.Effect.Success<ReturnType<typeof look>>

const look = (pool: Watched) =>
  Effect.gen(function*() {
    const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const { lastConnectError, ...stats } = yield* pool.stats
    const health = insideOf(pool)?.health()
    const holders = yield* pool.holders
    return {
      at,
      stats: { ...stats, lastConnectError: lastConnectError === undefined ? null : safeReason(lastConnectError) },
      health: health === undefined ? null : shownHealth(health),
      summary: summary(holders),
      holders: holders.slice(0, mostHolders).map(shownHolder),
      moreHolders: Math.max(0, holders.length - mostHolders)
    }
  })

const shownHealth = (health: Health) =>
  health._tag === "Unreachable" ? { ...health, cause: safeReason(health.cause) } : health

const shownHolder = ({ fiber, heldFor, isRunning, nowIn, processId, takenIn }: Holder) => ({
  fiber,
  heldFor,
  takenIn: takenIn.map(shownFrame),
  nowIn: nowIn.map(shownFrame),
  isRunning: isRunning ?? null,
  processId: processId ?? null
})

const backendOf = ({ processId }: { readonly processId: number | null }, server: Server) =>
  server._tag === "Known" && processId !== null ? server.backends.get(processId) ?? null : null

const shownFrame = ({ location, name }: SpanFrame) => ({ name, location: location ?? null })
