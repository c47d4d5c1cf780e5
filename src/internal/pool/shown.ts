/** @internal */
import { formatMillis } from "../words.js"
import type { DecodedPool } from "./options.js"

/** An option and its value in words. @internal */
export type Shown = readonly [option: string, value: string]

/** A time in words, of which `Infinity` means off. @internal */
export const timeInWords = (millis: number): string => millis === Infinity ? "off" : formatMillis(millis)

const limitInWords = (n: number): string => n === Infinity ? "off" : `${n}`

/** The options of a pool that are in force, in words. @internal */
export const shownPool = (pool: DecodedPool): ReadonlyArray<Shown> => {
  const { full, outage } = pool.limits
  return [
    ["maxsize", `${pool.maxsize}`],
    ["maxoverflow", `${pool.maxoverflow}`],
    ["maxwait", pool.maxwait === "auto" ? "auto" : timeInWords(pool.maxwait)],
    ["whenFull", full.limit === "maxwait" ? "fail" : "wait"],
    ["acquireTimeout", timeInWords(pool.acquireTimeout)],
    ...(outage.limit === "outageTimeout" ? [["outageTimeout", timeInWords(outage.limitMillis)] as const] : []),
    ["maxWaiting", limitInWords(pool.maxWaiting)],
    ["expires", timeInWords(pool.expires)],
    ["expiresJitter", `${pool.expiresJitter}`],
    ["minsize", `${pool.minsize}`],
    ["idleTimeout", timeInWords(pool.idleTimeout)],
    ["maxUses", limitInWords(pool.maxUses)],
    ["warm", `${pool.warm}`],
    ["connectTimeout", timeInWords(pool.connectTimeout)],
    ["connectConcurrency", limitInWords(pool.connectConcurrency)],
    ["validateAfterIdle", timeInWords(pool.validateAfterIdle)],
    ["cleanupTimeout", timeInWords(pool.cleanupTimeout)],
    ["closeTimeout", timeInWords(pool.closeTimeout)],
    ["suspendTimeout", timeInWords(pool.suspendTimeout)],
    ["leakThreshold", timeInWords(pool.leakThreshold)]
  ]
}
