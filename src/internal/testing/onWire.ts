/** @internal */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { misuse } from "../decode.js"
import type { DecodedTarget } from "../postgres/config/target.js"
import type { Wire } from "../postgres/config/wire.js"
import { currentWire } from "../postgres/config/wire.js"

/** What a test puts in the place of sockets and real time. @internal */
export interface Stage<Face> extends Wire {
  /** What the test gets besides the layer's own services. It is taken away before the pools are closed. */
  readonly face: Layer.Layer<Face>
}

/**
 * Builds a layer anew, with its pools on the wire of a stage.
 *
 * @internal
 */
export const onWire = <A, E, R, Face>(
  name: string,
  layer: Layer.Layer<A, E, R>,
  stage: Stage<Face>
): Layer.Layer<A | Face, E, R> => {
  let pools = 0
  const through = (target: DecodedTarget) => {
    pools++
    return stage.through(target)
  }
  const check = Layer.effectDiscard(Effect.suspend(() => pools > 0 ? Effect.void : noPool(name)))
  const made = Layer.locally(Layer.fresh(layer), currentWire, { through, ioClock: stage.ioClock })
  return Layer.provideMerge(Layer.merge(check, stage.face), made)
}

const noPool = (name: string) =>
  misuse(`${name}: the layer makes no PgPool, so nothing would be tested. Give it the layer that makes the pool`)
