/** Networks that swallow what they are given. */
import { Effect } from "effect"
import type { Case } from "../case.js"
import { atMost, fullRateWithin, proxied, soon } from "../case.js"
import * as Drops from "../drops.js"

const blackhole = (seconds: number): Case => ({
  name: `blackhole ${seconds} s`,
  deadline: 1000,
  through: proxied,
  surplus: true,
  break: ({ proxy }) => Effect.sync(() => proxy.blackhole()),
  lasts: seconds * 1000,
  heal: ({ proxy }) => Effect.sync(() => proxy.heal()),
  // How late callers are, the aftermath looks at.
  expect: (seen) => [fullRateWithin(1000)(seen)]
})

const halfOpen: Case = {
  name: "half-open and silent",
  deadline: 2000,
  through: proxied,
  surplus: true,
  break: ({ proxy }) => Effect.sync(() => proxy.halfOpen()),
  // Until the first deadline nobody can know.
  lasts: 2000,
  expect: (seen) => [atMost("callers who failed", seen.failed, 0), fullRateWithin(1000)(seen)]
}

export const loss: Case = {
  name: "20 % packet loss 6 s",
  deadline: 2000,
  missing: Drops.missing,
  surplus: true,
  break: ({ server }) => Effect.scoped(Effect.zipRight(Drops.lose(server.port, 20), Effect.sleep(6000))),
  expect: (seen) => [atMost("callers who failed otherwise than by their deadline", seen.failed, 0)]
}

const reset: Case = {
  name: "reset of all connections, 5 rounds",
  deadline: 3000,
  through: proxied,
  break: ({ figures, load, proxy }) =>
    Effect.gen(function*() {
      figures.resets = 0
      const recoveries: Array<number> = []
      for (let round = 0; round < 5; round++) {
        const now = performance.now()
        figures.resets += proxy.open
        const before = load.rate(now - 1000, now)
        proxy.reset()
        yield* Effect.sleep(1200)
        recoveries.push(load.recovery(now, before))
      }
      // Of five rounds on a busy machine one is unlucky.
      figures.typical = recoveries.sort((a, b) => a - b)[2]
    }),
  expect: (seen) => [
    atMost("callers who failed", seen.failed, seen.figures.resets * seen.share),
    atMost("callers whose deadline passed", seen.deadlines, 0),
    soon(seen, "ms to the full rate", seen.figures.typical, 300)
  ]
}

export const silence: ReadonlyArray<Case> = [blackhole(5), blackhole(15), halfOpen, reset]
