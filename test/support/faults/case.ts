/** A case: what is broken and healed while a pool is at work, and what must have come of it. */
import { Effect } from "effect"
import type { Redacted, Scope } from "effect"
import type { PgPool } from "effect-pgpool"
import { check } from "./aftermath.js"
import type { Name } from "./contender.js"
import { multiplex } from "./contender.js"
import { slack } from "./noise.js"
import type { Before, Stage, Vault } from "./stage.js"
import { make } from "./stage.js"

export interface Case {
  readonly name: string
  /** Milliseconds that each caller has. */
  readonly deadline: number
  /** Server parameters. */
  readonly parameters?: Readonly<Record<string, string>>
  /** Options that only our pool has, and needs for this. */
  readonly ours?: (vault: Vault) => PgPool.PgPoolOptions
  /** A standby follows the server, with synchronous replication. */
  readonly hasStandby?: boolean
  /** The way of the pool, if it is not straight to the server. */
  readonly through?: (before: Before) => Effect.Effect<Redacted.Redacted, never, Scope.Scope>
  /** Whether the steady load runs through it; else the case makes its own calls. */
  readonly isIdle?: boolean
  /** Whether the load begins only when it is broken. */
  readonly isCold?: boolean
  /** The server can't have noticed the end of all connections. */
  readonly surplus?: boolean
  /** The case itself closes the pool. */
  readonly isClosed?: boolean
  /** Why it can't be played here. */
  readonly missing?: () => string | undefined
  /** Why `multiplex` has nothing to do with it. */
  readonly plainOnly?: string
  /** Before the pool is made. */
  readonly arrange?: (before: Before) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly break: (stage: Stage) => Effect.Effect<unknown, unknown, Scope.Scope>
  /** So many milliseconds pass before it is healed. */
  readonly lasts?: number
  readonly heal?: (stage: Stage) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly expect: (seen: Seen) => ReadonlyArray<Limit>
}

/** What was seen, in milliseconds and calls in a second. */
export interface Seen {
  readonly ok: number
  /** Callers who got an error, and those of them by what it says. */
  readonly failed: number
  readonly retryable: number
  readonly unknown: number
  readonly refused: number
  /** Callers whose own deadline passed. */
  readonly deadlines: number
  /** From the heal to the first answer after it. */
  readonly first: number
  readonly before: number
  readonly during: number
  readonly after: number
  /** From the heal to the full rate. */
  readonly recovery: number
  /** In a second, while it was broken. */
  readonly dials: number
  /** The most that a caller was later than its deadline. */
  readonly late: number
  /** How many statements can be on their way at the same time. */
  readonly inFlight: number
  /** The same on one connection. */
  readonly share: number
  readonly stuck: number
  readonly sockets: number
  readonly usable: number
  readonly surplus: number
  readonly acknowledged: number
  /** What ten connects without any pool took before. */
  readonly bare: number
  readonly figures: Readonly<Record<string, number>>
}

export interface Limit {
  readonly what: string
  readonly is: number
  readonly atMost?: number
  readonly atLeast?: number
}

/** By way of the proxy. */
export const proxied: Required<Case>["through"] = ({ proxy }) => Effect.succeed(proxy.url)

export const atMost = (what: string, is: number, atMost: number): Limit => ({ what, is, atMost })
export const atLeast = (what: string, is: number, atLeast: number): Limit => ({ what, is, atLeast })

/** Milliseconds, with what a busy machine is granted. */
export const soon = ({ bare }: Seen, what: string, is: number, millis: number): Limit =>
  atMost(what, is, Math.round(millis + slack + bare))

export const fullRateWithin = (millis: number) => (seen: Seen): Limit =>
  soon(seen, "ms to the full rate", seen.recovery, millis)

export const nobodyFails = ({ deadlines, failed }: Seen): Limit => atMost("callers who failed", failed + deadlines, 0)

const isBroken = ({ atLeast = -Infinity, atMost = Infinity, is }: Limit) => !(is >= atLeast && is <= atMost)

const describe = ({ atLeast, atMost, is, what }: Limit) =>
  `${what}: ${is}, and not at ${atMost === undefined ? `least ${atLeast}` : `most ${atMost}`}`

export interface Report extends Seen {
  /** What is not as it must be. */
  readonly faults: ReadonlyArray<string>
}

/** Milliseconds to warm up, to measure the rate that is the full one, and to look at what comes after. */
const warmUp = 700
const measured = 1000
const afterwards = 2000

export const play = (one: Case, name: Name): Effect.Effect<Report, unknown> =>
  Effect.gen(function*() {
    const stage = yield* make(one, name)
    const { contender: { sockets }, figures, ledger, load } = stage
    const share = name === "effect-pgpool, multiplex" ? multiplex : 1
    const { isCold = false, isIdle = false } = one
    if (!isIdle && !isCold) {
      yield* load.start
      yield* Effect.sleep(warmUp + measured)
    }
    const struck = performance.now()
    yield* one.break(stage)
    if (isCold) yield* load.start
    yield* Effect.sleep(one.lasts ?? 0)
    const broken = performance.now()
    yield* one.heal?.(stage) ?? Effect.void
    const healed = performance.now()
    if (!isIdle) yield* Effect.sleep(afterwards)
    const stuck = yield* load.stop
    const aftermath = yield* check(stage, one)
    const before = load.rate(struck - measured, struck)
    const [retryable, unknown, refused] = (["retryable", "unknown", "refused"] as const).map((one) => load.count(one))
    const seen: Seen = {
      ok: load.count("ok"),
      failed: load.calls.length - load.count("ok") - load.count("deadline"),
      retryable,
      unknown,
      refused,
      deadlines: load.count("deadline"),
      first: Math.min(
        ...load.calls.filter(({ end, outcome }) => outcome === "ok" && end >= healed).map(({ end }) => end)
      ) -
        healed,
      before,
      during: load.rate(struck, broken),
      after: isIdle ? 0 : load.rate(healed + afterwards - measured, healed + afterwards),
      recovery: load.recovery(healed, before),
      dials: 1000 * sockets.dialsBetween(struck, broken) / Math.max(1000, broken - struck),
      late: load.late,
      inFlight: stage.size * share,
      share,
      stuck,
      sockets: sockets.most,
      usable: aftermath.usable,
      surplus: aftermath.surplus,
      acknowledged: ledger.acknowledged,
      bare: stage.bare,
      figures
    }
    const limits = [...one.expect(seen), atMost("callers stuck", stuck, 0)]
    return { ...seen, faults: [...limits.filter(isBroken).map(describe), ...aftermath.faults] }
  }).pipe(Effect.scoped)
