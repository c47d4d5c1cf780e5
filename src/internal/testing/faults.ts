/** @internal */
import * as Effect from "effect/Effect"
import type * as Api from "../../Testing.js"
import { attempt, duration, misuse, orDie } from "../decode.js"
import type { Network } from "./network.js"

/** The faults of a network, as a user has them. @internal */
export const faultsOf = (network: Network): Api.Faults => {
  let isFaulty = false
  const fault = (act: () => void): Effect.Effect<void> =>
    Effect.sync(() => {
      isFaulty = true
      act()
    })
  return {
    cut: fault(network.reset),
    silence: fault(network.hold),
    refuse: fault(() => network.refusing = true),
    delay: (by) =>
      Effect.flatMap(
        orDie(attempt(() => duration("delay", by, { positive: true }))),
        (millis) => fault(() => network.delay = millis)
      ),
    restore: Effect.suspend(() => {
      if (!isFaulty) return misuse("restore: there is no fault to end, call cut, silence, refuse or delay before it")
      isFaulty = false
      return Effect.sync(() => mend(network))
    })
  }
}

/** All is well from now on. @internal */
export const mend = (network: Network): void => {
  network.refusing = false
  network.delay = 0
  network.release()
}
