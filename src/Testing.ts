/**
 * A kit for tests of programs that use the pool: what becomes of them when the database is slow, full or gone.
 *
 * It is not part of the index, so that no service loads it: `import * as Testing from "effect-pgpool/Testing"`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { faulty } from "./internal/testing/faulty.js"
import * as internal from "./internal/testing/virtualTime.js"
import type { VirtualTime } from "./VirtualTime.js"

export type {
  VirtualCaller,
  VirtualConnections,
  VirtualLoan,
  VirtualPool,
  VirtualPoolOptions,
  VirtualTime
} from "./VirtualTime.js"

/**
 * The faults of the network between a program and its database. Each lasts until `restore`, but `cut`, which happens
 * once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  /** Ends all connections that there are, as a server does that was killed. New ones are not hindered. */
  readonly cut: Effect.Effect<void>
  /**
   * Nothing passes, in neither direction, and nobody is told: neither of what was sent nor of an end. New connections
   * are silent as well. What was held back arrives after `restore`, as on a network that was away for a moment.
   */
  readonly silence: Effect.Effect<void>
  /** New connections are refused, as where no server listens. Those that there are go on: `cut` ends them. */
  readonly refuse: Effect.Effect<void>
  /** All that is sent arrives so late, in each direction. A duration of a millisecond or more, else it is a defect. */
  readonly delay: (by: Duration.DurationInput) => Effect.Effect<void>
  /** Ends all faults. If there was none since the last `restore`, it is a defect (`IllegalArgumentException`). */
  readonly restore: Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const Faults: Context.Tag<Faults, Faults> = Context.GenericTag<Faults>("effect-pgpool/Testing/Faults")

/**
 * Builds a layer with all that its pools send and receive at the mercy of `Faults`. The server is a real one. It takes
 * any layer that makes a `PgPool`: one of `PgPool`, or that of a whole program. The layer is built anew for this, so
 * nothing of it is shared with other tests.
 *
 * Faults on sockets pass by real time: use `it.live`, or `it.scopedLive`. If the layer makes no pool, or one with a
 * `stream` of its own, building it is a defect (`IllegalArgumentException`).
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { PgPoolLayer } from "effect-pgpool"
 * import * as Testing from "effect-pgpool/Testing"
 *
 * declare const program: Effect.Effect<void, never, SqlClient.SqlClient>
 *
 * const survives = Effect.gen(function*() {
 *   const faults = yield* Testing.Faults
 *   yield* Effect.zipRight(faults.refuse, faults.cut)
 *   yield* Effect.zipRight(Effect.sleep("3 seconds"), faults.restore).pipe(Effect.fork)
 *   yield* program // begins while the database is away
 * }).pipe(Effect.provide(Testing.faults(PgPoolLayer)))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const faults: <A, E, R>(layer: Layer.Layer<A, E, R>) => Layer.Layer<A | Faults, E, R> = (layer) =>
  faulty(Faults, layer)

/**
 * A world in which a day of load takes some seconds: the pool's own code on a clock that jumps from event to event, asked
 * without a fiber for each request. It is there to find out what a pool of these numbers does under a load, and what
 * becomes of the callers.
 *
 * The same calls give the same result: what the pool decides by chance, such as `expiresJitter`, comes from `seed`, a whole
 * number. Default: 1. A seed or a time that is not allowed throws.
 *
 * @example
 * ```ts
 * import * as Testing from "effect-pgpool/Testing"
 *
 * // How long the longest wait is if four callers come every 10 ms, and each has a connection for 15 ms.
 * const time = Testing.virtualTime()
 * const pool = time.pool({ maxsize: 2, maxoverflow: 8, connect: 20 })
 *
 * function* arrivals() {
 *   for (let i = 0; i < 4000; i++) yield { at: Math.floor(i / 4) * 10 }
 * }
 *
 * let longest = 0
 * time.each(arrivals(), ({ at }) =>
 *   pool.request({
 *     lent: (loan) => {
 *       longest = Math.max(longest, time.now - at)
 *       time.after(15, () => loan.end())
 *     }
 *   }))
 * time.runUntil(20_000)
 * console.log(longest, pool.connections().mean)
 * ```
 *
 * @since 0.1.0
 * @category virtual time
 */
export const virtualTime: (options?: { readonly seed?: number | undefined }) => VirtualTime = internal.virtualTime
