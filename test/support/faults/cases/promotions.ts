/** The server that was written to is gone, and the one that followed it takes its place. */
import { Effect, Redacted } from "effect"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as HaProxy from "../../haproxy.js"
import type { Postgres } from "../../postgres.js"
import { ask } from "../../server.js"
import type { Case, Seen } from "../case.js"
import { atMost, fullRateWithin } from "../case.js"
import type { Before } from "../stage.js"

/** Until somebody has decided to promote the standby. Milliseconds. */
const undecided = 2000

const standbyOf = ({ standby }: Pick<Before, "standby">): Postgres => {
  if (standby === undefined) throw new Error("a case of promotion needs a standby")
  return standby
}

/** Both hosts in one URL, that of the server as the pool is to reach it. */
const several = (first: Redacted.Redacted, second: Postgres): Redacted.Redacted => {
  const { host } = new URL(Redacted.value(first))
  const url = Redacted.value(first).replace(host, `${host},127.0.0.1:${second.port}`)
  return Redacted.make(`${url}?target_session_attrs=read-write`)
}

/** What comes after the heal counts from when the standby says that it is a primary. */
const promotion = {
  hasStandby: true,
  lasts: undecided,
  heal: ({ promote }) => promote
} satisfies Partial<Case>

const onlyWhatWasInFlight = (seen: Seen) => [
  atMost("callers who failed", seen.failed, seen.inFlight),
  atMost("callers whose deadline passed", seen.deadlines, 0)
]

const crashed: Case = {
  ...promotion,
  name: "standby promoted, several hosts, primary crashed",
  deadline: 6000,
  through: (before) => Effect.sync(() => several(before.url, standbyOf(before))),
  break: ({ server }) => server.stop("immediate"),
  expect: (seen) => [...onlyWhatWasInFlight(seen), fullRateWithin(1000)(seen)]
}

const silent: Case = {
  ...promotion,
  name: "standby promoted, several hosts, primary silent",
  deadline: 1000,
  through: (before) => Effect.sync(() => several(before.proxy.url, standbyOf(before))),
  surplus: true,
  break: ({ proxy }) => Effect.sync(() => proxy.blackhole()),
  expect: (seen) => [
    atMost("callers who failed otherwise than by their deadline", seen.failed, 0),
    fullRateWithin(1000)(seen)
  ]
}

/** Says whether a server can be written to, by the status of an answer to anything, as the agents of a cluster do. */
const healthOf = ({ url }: Postgres) =>
  Effect.gen(function*() {
    const isPrimary = ask(url, "SELECT pg_is_in_recovery() AS follows").pipe(
      Effect.map(([{ follows }]) => follows === false),
      Effect.catchAllCause(() => Effect.succeed(false))
    )
    const server = createServer((_, response) =>
      void Effect.runPromise(isPrimary).then((isPrimary) => response.writeHead(isPrimary ? 200 : 503).end())
    )
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () => Effect.sync(() => (server.close(), server.closeAllConnections()))
    )
    return (server.address() as AddressInfo).port
  })

/** Its checks see at once which server can be written to. */
const behindHaProxy = (
  name: string,
  settings: ReadonlyArray<string>,
  rest: Pick<Case, "expect" | "surplus">
): Case => ({
  ...promotion,
  ...rest,
  name,
  deadline: 6000,
  missing: () => HaProxy.isInstalled ? undefined : "there is no haproxy on this machine",
  through: (before) =>
    Effect.gen(function*() {
      const standby = standbyOf(before)
      const [first, second] = yield* Effect.all([healthOf(before.server), healthOf(standby)])
      const { url } = yield* HaProxy.start({
        servers: [before.url, Redacted.make(standby.url)],
        settings: ["option httpchk", ...settings],
        server: (n) => `check inter 100 fall 1 rise 1 port ${[first, second][n]}`
      })
      return url
    }),
  break: ({ server }) => server.stop("immediate")
})

/** While there is no server it ends dials at once. */
export const behindOneThatCuts = behindHaProxy("standby promoted, behind HAProxy", [], {
  expect: (seen) => [...onlyWhatWasInFlight(seen), fullRateWithin(1000)(seen)]
})

/** While there is no server it keeps dials, and says nothing to them: also not when there is one again. */
const behindOneThatParks = behindHaProxy("standby promoted, behind HAProxy that parks dials", [
  "tcp-request inspect-delay 1m",
  "tcp-request content accept if { nbsrv ge 1 }",
  "tcp-request content accept if WAIT_END"
], {
  surplus: true,
  // The next dial comes 0.8 seconds after the one that is parked (R6), and then all connections are opened.
  expect: (seen) => [...onlyWhatWasInFlight(seen), fullRateWithin(1000)(seen)]
})

export const promotions: ReadonlyArray<Case> = [crashed, silent, behindOneThatCuts, behindOneThatParks]
