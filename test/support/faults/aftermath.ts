/** What must hold after every case. */
import { Effect } from "effect"
import { within } from "../server.js"
import type { Case } from "./case.js"
import { pauses, slack } from "./noise.js"
import type { Stage } from "./stage.js"

export interface Aftermath {
  /** Connections that could be used at the same time within a second, and what a busy machine is granted. */
  readonly usable: number
  /** Sessions that the server had when the pool had closed their sockets. */
  readonly surplus: number
  readonly faults: ReadonlyArray<string>
}

/** How many sessions can be seen to sleep at the same time. */
const usable = ({ admin, app, bare, contender, size }: Stage): Effect.Effect<number> =>
  Effect.gen(function*() {
    const sleepers = yield* Effect.forEach(
      Array.from({ length: size }),
      // In a transaction each has a connection to itself.
      () => Effect.forkDaemon(contender.transaction([["SELECT pg_sleep(30) AS permit", []]]))
    )
    const asleep = Effect.map(
      admin.sessions(app),
      (all) => all.filter(({ query, state }) => state === "active" && query.includes("AS permit"))
    )
    const seen = yield* within(1000 + slack + bare, asleep, ({ length }) => length === size)
    // By the server, since not every pool ends them when they are interrupted.
    for (const { pid } of yield* asleep) yield* admin.query("SELECT pg_cancel_backend($1)", [pid])
    for (const sleeper of sleepers) sleeper.unsafeInterruptAsFork(sleeper.id())
    yield* within(1000, asleep, ({ length }) => length === 0)
    return seen.length
  })

const isAtRest = ({ state }: { readonly state: string }) => state === "idle"

/** To be called when the load has ended; closes the pool. */
export const check = (stage: Stage, { surplus: mayHaveSurplus = false, ...limits }: Case): Effect.Effect<Aftermath> =>
  Effect.gen(function*() {
    const { admin, app, contender: { close, sockets }, ledger, load, size } = stage
    const faults: Array<string> = []
    const demand = (holds: boolean, fault: string) => holds || faults.push(fault)

    const equal = (all: ReadonlyArray<unknown>) => all.length === sockets.open
    const sessions = yield* within(2000 + slack, admin.sessions(app), (all) => equal(all) && all.every(isAtRest))
    const surplus = sessions.length - sockets.open
    // Sockets whose dial was swallowed end at `connectTimeout`, if nobody lacks their permit before.
    demand(surplus === 0 || mayHaveSurplus, `${sessions.length} sessions, ${sockets.open} sockets`)
    for (const { query, state } of mayHaveSurplus ? [] : sessions) {
      demand(state === "idle", `a session was left ${state}: ${query}`)
    }

    const permits = limits.isClosed === true ? size : yield* usable(stage)
    demand(permits === size, `${permits} of ${size} connections could be used`)
    demand(sockets.most <= size, `${sockets.most} sockets of ${size}`)
    demand(load.count("untyped") === 0, `untyped: ${load.calls.find(({ outcome }) => outcome === "untyped")?.error}`)
    demand(load.late <= 100 + pauses, `a caller was ${load.late.toFixed(0)} ms later than its deadline`)

    yield* Effect.timeoutOption(Effect.disconnect(close), 10_000)
    yield* Effect.sleep(300)
    const left = (yield* admin.sessions(app)).length
    demand(left <= Math.max(0, surplus), `${left} sessions were left after the close`)
    for (const fault of yield* ledger.faults) faults.push(fault)
    return { usable: permits, surplus, faults }
  })
