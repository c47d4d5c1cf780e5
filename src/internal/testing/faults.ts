/** @internal */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Duplex } from "node:stream"
import type * as Api from "../../Testing.js"
import { attempt, duration, misuse, orDie } from "../decode.js"
import type { Network } from "./network.js"

/** What a program is connected by. @internal */
export interface Wiring {
  readonly network: Network
  /** The program's own ends of all connections that go through the network. */
  readonly sockets: () => ReadonlyArray<Duplex>
}

/** Ends when the program has heard of the end of all: whoever asks for a connection then is not given a lost one. */
const allClosed = (sockets: ReadonlyArray<Duplex>, close: () => void): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    let left = sockets.length
    const closed = () => void (left-- === 0 && resume(Effect.void))
    for (const socket of sockets) socket.once("close", closed)
    close()
    closed()
  })

/** The faults of a network, as a user has them. */
const faultsOf = ({ network, sockets }: Wiring): Api.Faults => {
  let isFaulty = false
  const fault = (act: () => void): Effect.Effect<void> =>
    Effect.sync(() => {
      isFaulty = true
      act()
    })
  return {
    cut: Effect.zipRight(fault(() => {}), Effect.suspend(() => allClosed(sockets(), network.reset))),
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

/** The faults, while the pools are open. They are closed after all is well again, so they say good-bye to their servers. @internal */
export const facing = (tag: Context.Tag<Api.Faults, Api.Faults>, wiring: Wiring): Layer.Layer<Api.Faults> =>
  Layer.scoped(
    tag,
    Effect.acquireRelease(Effect.sync(() => faultsOf(wiring)), () => Effect.sync(() => mend(wiring.network)))
  )

/** All is well from now on. */
const mend = (network: Network): void => {
  network.refusing = false
  network.delay = 0
  network.release()
}
