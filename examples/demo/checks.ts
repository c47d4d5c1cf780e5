/** Compares what was promised with what the pool says and with what the server says. */
import { Clock, Context, Effect } from "effect"
import { PgPool } from "effect-pgpool"
import type { Holder } from "./callers.js"
import { Observer } from "./observer.js"
import type { ObserverError } from "./observer.js"
import type { Check } from "./report.js"
import { Report } from "./report.js"

/** How many milliseconds a difference may last: the server ends a session a moment after its socket. */
export class Patience extends Context.Reference<Patience>()("demo/Patience", { defaultValue: () => 2000 }) {}

/** A wait that takes longer is none of the pool's, on the slowest machine. In milliseconds. */
const nonsense = 15_000

export type Finding = Pick<Check, "pool" | "server" | "holds">

type Services = PgPool.PgPool | Observer | Report

export const report = (subject: string, promised: string, finding: Finding): Effect.Effect<void, never, Report> =>
  Effect.flatMap(Report, ({ check }) => check({ subject, promised, ...finding }))

/** Looks until it is as promised, or has not been for too long. */
const compare = <E, R>(
  subject: string,
  promised: string,
  look: Effect.Effect<Finding, E, R>
): Effect.Effect<void, E, R | Report> =>
  Effect.gen(function*() {
    const end = (yield* Clock.currentTimeMillis) + (yield* Patience)
    let finding = yield* look
    while (!finding.holds && (yield* Clock.currentTimeMillis) < end) {
      yield* Effect.sleep("20 millis")
      finding = yield* look
    }
    yield* report(subject, promised, finding)
  })

const bothSay = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  const observer = yield* Observer
  return { sessions: yield* observer.sessions, stats: yield* pool.stats }
})

/** So many connections are busy and idle and no others open, and the server has as many sessions. */
export const expectOpen = (
  subject: string,
  expected: { readonly busy: number; readonly idle: number }
): Effect.Effect<void, ObserverError, Services> =>
  compare(
    subject,
    open(expected),
    Effect.map(bothSay, ({ sessions, stats }) => ({
      pool: open(stats),
      server: plural(sessions.length, "session"),
      holds: stats.busy === expected.busy && stats.idle === expected.idle &&
        stats.size === expected.busy + expected.idle && sessions.length === stats.size
    }))
  )

/** The sessions of these holders are idle, and there is no other. */
export const expectKept = (
  subject: string,
  holders: ReadonlyArray<Holder>
): Effect.Effect<void, ObserverError, Services> => {
  const kept = holders.map(({ pid }) => pid)
  return compare(
    subject,
    `kept: ${pids(kept)}`,
    Effect.map(bothSay, ({ sessions, stats }) => ({
      pool: open(stats),
      server: pids(sessions),
      holds: stats.idle === kept.length && stats.size === kept.length && isSame(sessions, kept)
    }))
  )
}

/** The holder's session is of the kind that was promised, given all sessions of the server. */
export const expectSession = (
  { pid }: Holder,
  promised: string,
  isAsPromised: (sessions: ReadonlyArray<number>) => boolean
): Effect.Effect<void, ObserverError, Services> =>
  compare(
    "that caller's session",
    promised,
    Effect.map(bothSay, ({ sessions }) => ({
      pool: pids([pid]),
      server: pids(sessions),
      holds: sessions.includes(pid) && isAsPromised(sessions)
    }))
  )

/** They waited at least so long. In milliseconds. */
export const expectWait = (
  subject: string,
  least: number,
  waits: ReadonlyArray<number>
): Effect.Effect<void, never, Report> =>
  report(subject, `${seconds(least)} or a little more`, {
    pool: range(waits),
    server: "-",
    holds: waits.length > 0 && waits.every((wait) => wait >= least && wait < nonsense)
  })

export const seconds = (millis: number): string => `${millis / 1000} s`

export const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`

export const isSame = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length === b.length && a.every((pid) => b.includes(pid))

const open = ({ busy, idle }: { readonly busy: number; readonly idle: number }): string =>
  busy === 0 && idle === 0 ? "none open" : busy === 0 ? `${idle} idle` : `${busy} busy, ${idle} idle`

export const pids = (pids: ReadonlyArray<number>): string =>
  pids.length === 0 ?
    "none" :
    pids.length > 3
    ? plural(pids.length, "session")
    : `pid ${[...pids].sort((a, b) => a - b).join(", ")}`

const range = (millis: ReadonlyArray<number>): string => {
  if (millis.length === 0) return "nobody waited"
  const [least, most] = [Math.min(...millis), Math.max(...millis)].map((n) => (n / 1000).toFixed(3))
  return least === most ? `${least} s` : `${least} to ${most} s`
}
