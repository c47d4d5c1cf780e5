/** @internal */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Health } from "../PoolHealth.js"

/** Where a pool keeps what its page may see. A process may have two copies of this package. @internal */
export const inside: unique symbol = Symbol.for("effect-pgpool/inside")

/**
 * What a pool shows besides its public face.
 *
 * @internal
 */
export interface Inside {
  readonly settings: () => Settings
  /** What is known of its health without a question to the server. */
  readonly health: () => Health | undefined
  /** Asks the server what it does for the connections in use, for as long as the scope is open. */
  readonly server: Effect.Effect<Effect.Effect<Backends, unknown>, unknown, Scope.Scope> | undefined
}

/** Each option by its name, with its value in words. It has no secrets. @internal */
export type Settings = ReadonlyArray<readonly [option: string, value: string]>

/** What the server's processes do, by their numbers. @internal */
export type Backends = ReadonlyMap<number, Backend | "elsewhere">

/** A session as `pg_stat_activity` shows it. @internal */
export interface Backend {
  readonly state: string | null
  /** For how long it has been in this state, in milliseconds. */
  readonly since: number | null
  /** Such as `Lock: transactionid`. */
  readonly waitsFor: string | null
  readonly blockedBy: ReadonlyArray<Blocker>
}

/** A session that holds what another one waits for. @internal */
export interface Blocker {
  /** 0: a prepared transaction. */
  readonly processId: number
  /** Its `application_name`. */
  readonly name: string | null
  readonly state: string | null
}

/** `undefined` for a pool of anything else that has the same methods. @internal */
export const insideOf = (pool: object): Inside | undefined => (pool as { readonly [inside]?: Inside })[inside]
