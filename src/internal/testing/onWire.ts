/** @internal */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
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
  const wire = new StageWire(name, stage)
  const made = Layer.locally(Layer.fresh(layer), currentWire, wire)
  const whole = Layer.provideMerge(Layer.merge(Layer.effectDiscard(wire.check), stage.face), made)
  return Layer.unwrapEffect(Effect.map(FiberRef.get(currentWire), (around) => {
    if (around instanceof StageWire) around.inner = name
    return whole
  }))
}

/** The wire of a stage, which knows whether there are pools on it. */
class StageWire implements Wire {
  private pools = 0
  /** The name of a stage within this one, if there is any: then the pools are on its wire. */
  inner: string | undefined = undefined
  readonly ioClock: Wire["ioClock"]

  constructor(private readonly name: string, private readonly stage: Wire) {
    this.ioClock = stage.ioClock
  }

  readonly through = (target: DecodedTarget): DecodedTarget => {
    this.pools++
    return this.stage.through(target)
  }

  readonly check: Effect.Effect<void> = Effect.suspend(() => {
    const { inner, name, pools } = this
    if (pools > 0) return Effect.void
    return misuse(
      inner === undefined
        ? `${name}: the layer makes no PgPool, so nothing would be tested. Give it the layer that makes the pool`
        : `${name}: the pools of the layer are those of ${inner} already, which has Faults of its own. Leave out one of the two`
    )
  })
}
