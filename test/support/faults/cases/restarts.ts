/** The server goes, or a part of it. */
import { Effect } from "effect"
import type { Case, Seen } from "../case.js"
import { atLeast, atMost, fullRateWithin } from "../case.js"
import { unhurried } from "../noise.js"
import * as Processes from "../processes.js"

const onlyWhatWasInFlight = ({ deadlines, failed, inFlight }: Seen) => [
  atMost("callers who failed", failed, inFlight),
  atMost("callers whose deadline passed", deadlines, 0)
]

const restart = (mode: "fast" | "immediate"): Case => ({
  name: `restart, ${mode}`,
  deadline: 3000,
  break: ({ server }) => server.stop(mode),
  heal: ({ server }) => server.start,
  expect: (seen) => [...onlyWhatWasInFlight(seen), fullRateWithin(1000)(seen)]
})

/** All sessions are lost: the server can't know what such a process has done to memory that all share. */
const killed: Case = {
  name: "kill -9 of a backend",
  deadline: 3000,
  break: ({ admin, app }) => Effect.flatMap(admin.sessions(app), ([{ pid }]) => Processes.kill(pid)),
  expect: (seen) => [...onlyWhatWasInFlight(seen), fullRateWithin(1000)(seen)]
}

const down: Case = {
  name: "server down 5 s",
  deadline: 8000,
  break: ({ server }) => server.stop("fast"),
  lasts: 5000,
  heal: ({ server }) => server.start,
  expect: (
    seen
  ) => [...onlyWhatWasInFlight(seen), atMost("dials in a second", seen.dials, 20), fullRateWithin(1000)(seen)]
}

const frozenServer: Case = {
  name: "SIGSTOP of the server 3 s",
  deadline: 1000,
  break: ({ server }) => Processes.freeze(Processes.all(server), 3000),
  expect: (seen) => [atMost("callers who failed", seen.failed, 0), fullRateWithin(1000)(seen)]
}

const frozenBackend: Case = {
  name: "SIGSTOP of one backend 6 s",
  deadline: 1000,
  break: ({ admin, app }) => Effect.flatMap(admin.sessions(app), ([{ pid }]) => Processes.freeze([pid], 6000)),
  expect: ({ after, before, during, failed }) => [
    atMost("callers who failed", failed, 0),
    atLeast("part of the rate", during / unhurried(before, after), 0.85)
  ]
}

export const restarts: ReadonlyArray<Case> = [
  restart("fast"),
  restart("immediate"),
  killed,
  down,
  frozenServer,
  frozenBackend
]
