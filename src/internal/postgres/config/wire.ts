/** @internal */
import type * as Clock from "effect/Clock"
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import { globalValue } from "effect/GlobalValue"
import type { ClientConfig } from "pg"
import { ioClock } from "../../time/ioClock.js"
import type { DecodedTarget } from "./target.js"

/**
 * What the sessions of a pool travel on. It is sockets on the network and real time, unless a test has put something else
 * in its place.
 *
 * @internal
 */
export interface Wire {
  /** The settings of a pool on this wire. */
  readonly through: (target: DecodedTarget) => DecodedTarget
  /** The clock of deadlines on this wire (R14), for a pool that is made under that clock. */
  readonly ioClock: (clock: Clock.Clock) => Clock.Clock
}

const sockets: Wire = { through: identity, ioClock: () => ioClock }

/** The wire of the pools that are made in this fiber. @internal */
export const currentWire: FiberRef.FiberRef<Wire> = globalValue(
  Symbol.for("effect-pgpool/currentWire"),
  () => FiberRef.unsafeMake(sockets)
)

/** @internal */
export const withStream = (target: DecodedTarget, stream: NonNullable<DecodedTarget["stream"]>): DecodedTarget => ({
  ...target,
  stream,
  client: () => ({ ...target.client(), stream }) as ClientConfig
})
