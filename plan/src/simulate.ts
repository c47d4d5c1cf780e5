/** What becomes of a load with a candidate. */
import type { Candidate, Load, Simulate, Surroundings } from "./model.js"
import { play } from "./play.js"

/** Plays the load against the pool's own code, on a clock that jumps from event to event. */
export const simulate: Simulate = (load, candidate, around, seed, onProgress) => {
  const { held, ...figures } = play({
    ...around,
    load,
    seed,
    onProgress,
    connect: () => around.connect,
    pool: (time, connects) => {
      const pool = time.pool({ ...around.options, ...candidate, ...connects })
      for (const { at, ...limits } of around.resizes ?? []) time.after(at, () => pool.resize(limits))
      return pool
    }
  })
  const queueGrowth = refusesInTime(load, around) ? 0 : growthOf(load, candidate, around, held, figures.requests)
  return { candidate, ...figures, queueGrowth }
}

/** How long callers wait at most, in milliseconds, where the pool is not told otherwise. */
export const defaultAcquireTimeout = 30_000

/**
 * Callers that the pool was told to refuse, while the load lasts, leave the queue: it does not grow for ever. A limit as
 * long as the default is for emergencies, and no way to live with a load.
 */
export const refusesInTime = (
  { duration }: Load,
  { options: { acquireTimeout = defaultAcquireTimeout, whenFull } }: Pick<Surroundings, "options">
): boolean => whenFull === "fail" || acquireTimeout < Math.min(duration, defaultAcquireTimeout)

/**
 * A queue grows for ever where the holds take more connections, or the statements more cores, than there are, however the
 * load is spread over its time: a peak alone does not count. Those that can't be served are as many as come too much.
 */
const growthOf = (
  load: Load,
  { maxoverflow }: Candidate,
  { serverCores = Infinity, serverPart = 1 }: Surroundings,
  held: number,
  requests: number
): number => {
  const inUse = held / load.duration
  const worked = inUse * serverPart / serverCores
  const demand = Math.max(inUse / maxoverflow, worked)
  return demand <= 1 ? 0 : requests / load.duration * 1000 * (1 - 1 / demand)
}
