/** @internal */
import type { Holder } from "../../PoolHolder.js"
import type { PoolStats } from "../../PoolStats.js"
import { formatMillis, oneLine } from "../words.js"

/** In milliseconds. @internal */
export const perMinute = 60_000

/** In milliseconds. @internal */
export const perDay = 86_400_000

/** What the statistics do not say of the time between two of them. @internal */
export interface Surroundings {
  /** How long it was, in milliseconds. */
  readonly lasted: number
  /** The most connections that were lent at the same time meanwhile. */
  readonly peakBusy: number
  /** The part of the time in which the event loop was busy, from 0 to 1. */
  readonly loop: number
  /** Who holds the connections at its end. */
  readonly holders: ReadonlyArray<Holder>
}

/** Fewer callers than that a minute are too few to judge by: one slow caller is no reason for advice. */
const fewestCallers = 100

/** In a pool of the right size nearly nobody waits: only those at the beginning of a rush. */
const manyWaited = 0.2

/** In milliseconds, on average. Below it is what a ping or a connect takes, which callers wait for in any pool. */
const longWait = 50

/** Beyond it timers and sockets are served late, so that each step of a caller takes longer, whatever the pool does. */
const busyLoop = 0.9

/** In milliseconds. Between two statements of a transaction there is less, unless it does something else meanwhile. */
const longHold = 1000

/** A pool that never used more than a fifth can be much smaller. One that has little to lose is left alone. */
const unused = { part: 1 / 5, fewest: 10 }

/** So many loans a day, one a minute, show that there was an ordinary day. */
const ordinaryDay = 1440

/**
 * What can be learnt from the statistics at the beginning and at the end of some time. For a minute that is why callers
 * wait, for a day whether the pool is larger than it need be. A pool that serves its callers well gets no advice.
 *
 * @internal
 */
export const advice = (before: PoolStats, after: PoolStats, surroundings: Surroundings): ReadonlyArray<string> => {
  if (surroundings.lasted >= perDay) return ofSize(before, after, surroundings)
  const waits = waitsIn(before, after)
  const isShort = waits !== undefined || after.waiting > 0 || refusedIn(before, after) > 0
  if (waits !== undefined && surroundings.loop >= busyLoop) return [ofLoop(surroundings)]
  const held = isShort ? ofHolders(after, surroundings) : []
  return held.length > 0 || waits === undefined ? held : ofLimits(waits, after, surroundings)
}

/** How many callers waited, if these are many and they waited long. */
const waitsIn = (before: PoolStats, after: PoolStats): string | undefined => {
  const callers = after.acquired - before.acquired
  const waited = after.waited - before.waited
  const average = (after.waitedTotal - before.waitedTotal) / waited
  if (callers < fewestCallers || waited < callers * manyWaited || average < longWait) return undefined
  const { p99 } = after.waitTimes
  // The percentiles forget what was in the first half of the minute.
  const long = p99 < average ? `${formatMillis(Math.round(average))} on average` : `p99 ${formatMillis(p99)}`
  return `${percent(waited / callers)} of callers waited in the last minute, ${long}`
}

/** How many waited for as long as they may, or found the queue full. */
const refusedIn = (before: PoolStats, after: PoolStats): number =>
  after.timeouts - before.timeouts + after.refused.queueFull - before.refused.queueFull

const ofLoop = ({ loop }: Surroundings): string =>
  `the event loop was busy ${percent(loop)} of the time: the pool is not what is slow`

/** Whether most connections are held by fibers that do something else. */
const ofHolders = ({ busy, maxsize }: PoolStats, { holders }: Surroundings): ReadonlyArray<string> => {
  const idle = holders.filter(({ heldFor, isRunning }) => isRunning === false && heldFor >= longHold)
  const isMost = busy >= maxsize && idle.length >= 2 && idle.length * 2 >= busy
  return isMost ? [`connections are held while nothing runs on them: ${oneLine(places(idle))}`] : []
}

const mostPlaces = 3

/** Where their fibers are now, such as `14 in http.client POST`. */
const places = (holders: ReadonlyArray<Holder>): string => {
  const counts = new Map<string, number>()
  for (const { nowIn: [now], takenIn: [taken] } of holders) {
    const span = (now ?? taken)?.name ?? "no span (Effect.withSpan around the work gives it a name)"
    counts.set(span, (counts.get(span) ?? 0) + 1)
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a)
  const rest = sorted.slice(mostPlaces).reduce((sum, [, count]) => sum + count, 0)
  return sorted.slice(0, mostPlaces).map(([span, count]) => `${count} in ${span}`).join(", ") +
    (rest === 0 ? "" : `, ${rest} elsewhere`)
}

/** Callers that wait for a ping or a connect while connections are left gain nothing by a higher limit. */
const ofLimits = (
  waits: string,
  { maxoverflow, maxsize }: PoolStats,
  { peakBusy }: Surroundings
): ReadonlyArray<string> => {
  if (peakBusy < maxsize) return []
  return peakBusy >= maxoverflow
    ? [`${waits}; maxoverflow ${maxoverflow} was reached: hold connections for a shorter time, or raise it`]
    : [`${waits}; maxsize ${maxsize} is low for this load`]
}

const ofSize = (
  before: PoolStats,
  { acquired, maxsize }: PoolStats,
  { peakBusy }: Surroundings
): ReadonlyArray<string> => {
  const isLarge = maxsize >= unused.fewest && peakBusy <= maxsize * unused.part
  return isLarge && acquired - before.acquired >= ordinaryDay
    ? [`never more than ${peakBusy} of ${maxsize} in use for a day: maxsize can be lower`]
    : []
}

const percent = (part: number): string => `${Math.round(part * 100)} %`
