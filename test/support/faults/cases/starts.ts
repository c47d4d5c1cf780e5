/** Pools that are made before their server can be reached. */
import { Effect } from "effect"
import type { Case } from "../case.js"
import { atMost, proxied, soon } from "../case.js"

const down: Case = {
  name: "server down at the start",
  deadline: 10_000,
  isCold: true,
  arrange: ({ server }) => server.stop("fast"),
  break: () => Effect.void,
  lasts: 3000,
  heal: ({ server }) => server.start,
  expect: (seen) => [
    atMost("callers who failed", seen.failed + seen.deadlines, 0),
    atMost("dials in a second", seen.dials, 20),
    soon(seen, "ms to the first answer", seen.first, 1000)
  ]
}

/** It accepts connections and says nothing, for longer than the 5 s of `connectTimeout`. */
const silent: Case = {
  name: "handshake silent for 8 s",
  deadline: 1000,
  isCold: true,
  through: proxied,
  surplus: true,
  arrange: ({ proxy }) => Effect.sync(() => proxy.blackhole()),
  break: () => Effect.void,
  lasts: 8000,
  heal: ({ contender, figures, proxy }) =>
    Effect.sync(() => {
      figures.age = contender.sockets.age
      proxy.heal()
    }),
  expect: (seen) => [
    atMost("callers who failed otherwise than by their deadline", seen.failed, 0),
    soon(seen, "ms that a dial takes", seen.figures.age, 5000),
    atMost("dials in a second", seen.dials, 20),
    soon(seen, "ms to the first answer", seen.first, 1000)
  ]
}

export const starts: ReadonlyArray<Case> = [down, silent]
