/** @internal */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Api from "../../Testing.js"
import { attempt, BadOption, orThrow } from "../decode.js"
import type { DecodedTarget } from "../postgres/config/target.js"
import { withStream } from "../postgres/config/wire.js"
import { ioClock } from "../time/ioClock.js"
import { facing } from "./faults.js"
import { Gateway } from "./gateway.js"
import { onWire } from "./onWire.js"

/** A layer over real sockets that lead through a gateway. @internal */
export const faulty = <A, E, R>(
  tag: Context.Tag<Api.Faults, Api.Faults>,
  layer: Layer.Layer<A, E, R>
): Layer.Layer<A | Api.Faults, E, R> =>
  Layer.unwrapScoped(Effect.map(
    Effect.acquireRelease(Effect.sync(() => new Gateway()), (gateway) => Effect.sync(gateway.close)),
    (gateway) =>
      onWire("Testing.faults", layer, {
        through: (target) => withStream(withoutStream(target), gateway.socket),
        ioClock: () => ioClock,
        face: facing(tag, gateway)
      })
  ))

const withoutStream = (target: DecodedTarget): DecodedTarget =>
  orThrow(attempt(() => {
    if (target.stream === undefined) return target
    throw new BadOption("stream", target.stream, "left out for Testing.faults, which makes the sockets itself")
  }))
