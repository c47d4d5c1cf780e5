import type { Caller, Conn } from "./people.js"
import type { WorldOptions } from "./plans.js"

/** How many may really use one resource at the same time: none is ever lent more often than `maxUses`. */
export const shareOf = ({ maxUses = Infinity, share }: WorldOptions): number => Math.min(share, maxUses)

/** How many resources it takes to serve them all. */
export const neededBy = (callers: ReadonlyArray<Caller>, share: number): number => {
  const sharers = callers.filter(({ shares }) => shares).length
  return callers.length - sharers + Math.ceil(sharers / share)
}

/** What is wrong with the lending of a resource that others have: `undefined` if nothing is. */
export const wrongShare = (caller: Caller, conn: Conn, share: number): string | undefined => {
  if (!caller.shares || !conn.isShared) return "not all of them share"
  if (conn.holders.size >= share) return `it has room for ${share}`
  if (conn.cancels > 0) return "a cancel is under way"
  if (conn.suspect) return "it is suspect"
}

/** Who was there before, and is passed, if one that shares is served now. */
export const passedBySharer = (caller: Caller, callers: ReadonlyArray<Caller>): Caller | undefined =>
  callers.find(({ isQueued, number, shares }) => shares && isQueued && number < caller.number)

/**
 * Whether those who want one for themselves are starved, if one more joins those who share `conn`: as many others have to
 * be left to run dry as wait for it.
 */
export const starves = (caller: Caller, conn: Conn, callers: ReadonlyArray<Caller>, conns: ReadonlyArray<Conn>) => {
  const older = callers.filter(({ isQueued, number, shares }) => !shares && isQueued && number < caller.number)
  return conns.filter((other) => other !== conn && other.isShared).length < older.length
}

/** Whether one more may join those who share it, as far as can be said for sure. */
export const hasRoom = (conn: Conn, options: WorldOptions, { now, suspectedAt, usedUnseenAt }: {
  readonly now: number
  readonly suspectedAt: number
  /** When last somebody was interrupted who may have been lent one. */
  readonly usedUnseenAt: number
}): boolean => {
  const { canCheck, expires, expiresJitter, maxUses = Infinity } = options
  return conn.phase === "open" && conn.isShared && conn.holders.size < shareOf(options) && conn.cancels === 0 &&
    conn.openedAt + expires * (1 - expiresJitter) > now && !conn.mayBeInvalid &&
    conn.evictedAt === Infinity && conn.replacedFrom === Infinity && (!canCheck || conn.checkedAt > suspectedAt) &&
    (maxUses === Infinity || (conn.leases < maxUses && usedUnseenAt < conn.openedAt))
}
