/** What must hold when a storm is over. */
import { Effect } from "effect"
import type { PoolStats } from "effect-pgpool"
import { within } from "../server.js"
import type { Subject } from "./subject.js"
import { connections } from "./subject.js"
import type { Witness } from "./witness.js"

const patience = 10_000

/** At every instant. */
export const checkStats = (witness: Witness, stats: PoolStats.PoolStats): void => {
  const { busy, checking, closed, closing, idle, opened, opening, size } = stats
  if (size !== opening + idle + busy + checking + closing) {
    witness.fault("the states of the pool don't add up to its size")
  }
  if (size > connections) witness.fault("the pool was larger than maxoverflow")
  const ended = Object.values(closed).reduce((sum, n) => sum + n, 0) - closed.failed - closed.abandoned
  // Each that was opened is still there or was closed; one that is closing may never have opened.
  if (opened - ended > size - opening || opened - ended < size - opening - closing) {
    witness.fault("the counters of the pool don't add up")
  }
}

const isQuiet = ({ idle, size, waiting }: PoolStats.PoolStats) => idle === size && waiting === 0

/** Permits that could be used at the same time. */
export const check = (subject: Subject): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { app, server, stage: { ledger, pool }, table, witness } = subject
    const stats = pool === undefined ? undefined : yield* within(patience, pool.stats, isQuiet)
    if (stats !== undefined) {
      checkStats(witness, stats)
      if (!isQuiet(stats)) witness.fault(`the pool did not come to rest: ${JSON.stringify(stats)}`)
    }
    // The pool's connections, and nothing else: no session that listens either.
    const isLeft = (count: number) => stats === undefined ? count <= connections : count === stats.size
    const sessions = yield* within(
      patience,
      server.sessions(app),
      (all) => isLeft(all.length) && all.every(({ state }) => state === "idle")
    )
    if (!isLeft(sessions.length)) {
      witness.fault(`${sessions.length} sessions were left on the server (the pool: ${stats?.size ?? "unknown"})`)
    }
    for (const { query, state } of sessions) {
      if (state !== "idle") witness.fault(`a session was left ${state}: ${query}`)
    }
    const usable = yield* countUsable(subject)
    if (usable !== connections) witness.fault(`${usable} of ${connections} permits could be used`)
    ledger.check(yield* server.query(`SELECT id, part FROM ${table}`) as Effect.Effect<Array<any>>)
    return usable
  })

/** R13 */
export const checkClose = ({ app, close, server, witness }: Subject): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Effect.timeoutOption(Effect.disconnect(close), patience)
    const left = yield* within(patience, server.sessions(app), (sessions) => sessions.length === 0)
    if (left.length > 0) witness.fault(`${left.length} sessions were left after the close`)
  })

/** How many sessions can be seen to sleep at the same time. */
const countUsable = ({ app, server, stage: { sql } }: Subject): Effect.Effect<number> =>
  Effect.gen(function*() {
    const sleepers = yield* Effect.forEach(
      Array.from({ length: connections }),
      // In a transaction each has a connection to itself.
      () => Effect.forkDaemon(sql.withTransaction(sql`SELECT pg_sleep(60) AS permit`))
    )
    const asleep = Effect.map(
      server.sessions(app),
      (all) => all.filter(({ query, state }) => state === "active" && query.includes("AS permit")).length
    )
    const count = yield* within(patience, asleep, (count) => count === connections)
    for (const sleeper of sleepers) sleeper.unsafeInterruptAsFork(sleeper.id())
    yield* within(patience, asleep, (count) => count === 0)
    return count
  })
