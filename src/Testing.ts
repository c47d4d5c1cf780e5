/**
 * What the tests of a program need that uses the pool.
 *
 * It is not part of the index, so that no service loads it: `import * as Testing from "effect-pgpool/Testing"`.
 *
 * @since 0.1.0
 */
import * as internal from "./internal/testing/virtualTime.js"
import type { VirtualTime } from "./VirtualTime.js"

export type {
  VirtualCaller,
  VirtualConnections,
  VirtualLoan,
  VirtualPool,
  VirtualPoolOptions,
  VirtualTime
} from "./VirtualTime.js"

/**
 * A world in which a day of load takes some seconds: the pool's own code on a clock that jumps from event to event, asked
 * without a fiber for each request. It is there to find out what a pool of these numbers does under a load, and what
 * becomes of the callers.
 *
 * The same calls give the same result: what the pool decides by chance, such as `expiresJitter`, comes from `seed`, a whole
 * number. Default: 1. A seed or a time that is not allowed throws.
 *
 * @example
 * ```ts
 * import * as Testing from "effect-pgpool/Testing"
 *
 * // How long the longest wait is if four callers come every 10 ms, and each has a connection for 15 ms.
 * const time = Testing.virtualTime()
 * const pool = time.pool({ maxsize: 2, maxoverflow: 8, connect: 20 })
 *
 * function* arrivals() {
 *   for (let i = 0; i < 4000; i++) yield { at: Math.floor(i / 4) * 10 }
 * }
 *
 * let longest = 0
 * time.each(arrivals(), ({ at }) =>
 *   pool.request({
 *     lent: (loan) => {
 *       longest = Math.max(longest, time.now - at)
 *       time.after(15, () => loan.end())
 *     }
 *   }))
 * time.runUntil(20_000)
 * console.log(longest, pool.connections().mean)
 * ```
 *
 * @since 0.1.0
 * @category virtual time
 */
export const virtualTime: (options?: { readonly seed?: number | undefined }) => VirtualTime = internal.virtualTime
