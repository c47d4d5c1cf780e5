/**
 * Whether a pool can serve its callers.
 *
 * @since 0.1.0
 */

/**
 * The server has answered less than 5 seconds ago, and callers get connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface Up {
  readonly _tag: "Up"
}

/**
 * The server answers, but the hard limit is reached, and at least one caller has to wait until a borrower gives a
 * connection back. Callers are still served, only later.
 *
 * @since 0.1.0
 * @category models
 */
export interface Full {
  readonly _tag: "Full"
  /** How long the oldest caller in the queue has waited, in milliseconds. */
  readonly oldestWait: number
}

/**
 * The server has not answered, or has refused a new connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unreachable {
  readonly _tag: "Unreachable"
  /** Since when that is known, in milliseconds since 1970 by the pool's clock. */
  readonly since: number
  /** Why the last connect failed, or that no answer has come within a second. */
  readonly cause: unknown
}

/**
 * The pool is suspended: callers wait until it is resumed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Suspended {
  readonly _tag: "Suspended"
}

/**
 * The pool is drained or closed, or about to be: new callers are refused.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draining {
  readonly _tag: "Draining"
}

/**
 * Whether a pool can serve its callers. The first of these that is true: `Draining`, `Suspended`, `Unreachable`, `Full`,
 * `Up`.
 *
 * @example
 * ```ts
 * import { HttpServerResponse } from "@effect/platform"
 * import { Effect } from "effect"
 * import { PgPool, PoolHealth } from "effect-pgpool"
 *
 * const statusOf = (health: PoolHealth.Health): number =>
 *   health._tag === "Draining" || health._tag === "Unreachable" ? 503 : 204
 *
 * const ready = Effect.gen(function*() {
 *   const pool = yield* PgPool.PgPool
 *   return HttpServerResponse.empty({ status: statusOf(yield* pool.health) })
 * })
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export type Health = Up | Full | Unreachable | Suspended | Draining
