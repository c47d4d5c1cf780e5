/** The pools that are tried: those that were asked for, or a few around what the load needs. */
import type { Demand } from "./demand.js"
import type { Candidate } from "./model.js"
import { inOrder } from "./words/units.js"

/** The values of each limit, where they are given. */
export interface Limits {
  readonly maxsize?: ReadonlyArray<number> | undefined
  readonly maxwait?: ReadonlyArray<number | "auto"> | undefined
  readonly maxoverflow?: ReadonlyArray<number> | undefined
}

/** Callers do not come evenly: with so many connections few of them wait. */
const need = (inUse: number): number => Math.max(2, Math.ceil(inUse + 2 * Math.sqrt(inUse)))

/** What else is known before candidates are chosen. */
interface Known {
  /** What the server allows one process. */
  readonly most?: number
  /** A pool to compare the others with. */
  readonly present?: Pick<Candidate, "maxsize" | "maxoverflow"> | undefined
}

/** Empty if no limits go together. */
export const candidatesOf = (
  limits: Limits,
  demand: Demand,
  { most = Infinity, present }: Known = {}
): ReadonlyArray<Candidate> => {
  const allowed = (sizes: ReadonlyArray<number>, present: number | undefined) =>
    inOrder([...sizes, ...present === undefined ? [] : [present]].map((size) => Math.min(size, most)))
  const { maxoverflow, maxsize, maxwait = ["auto", 200] } = limits
  const sizes = maxsize ?? allowed(usualSizes(demand), present?.maxsize)
  const overflows = maxoverflow ?? allowed(usualOverflows(demand, sizes), present?.maxoverflow)
  return sizes.flatMap((maxsize) =>
    overflows.filter((maxoverflow) => maxoverflow >= maxsize).flatMap((maxoverflow) =>
      // Where nothing is beyond maxsize, nobody waits for it.
      (maxoverflow === maxsize ? maxwait.slice(0, 1) : maxwait).map((maxwait) => ({ maxsize, maxwait, maxoverflow }))
    )
  )
}

const usualSizes = ({ mean, worst }: Demand): ReadonlyArray<number> => [
  Math.max(1, Math.round(mean / 2)),
  need(mean / 2),
  need(mean),
  Math.ceil((need(mean) + need(worst)) / 2),
  need(worst),
  // Where the server is slow under load, holds are longer than they were said to be.
  2 * need(worst)
]

const usualOverflows = ({ worst }: Demand, sizes: ReadonlyArray<number>): ReadonlyArray<number> => {
  const least = Math.max(need(worst), ...sizes)
  return [need(worst), least, 2 * least]
}
