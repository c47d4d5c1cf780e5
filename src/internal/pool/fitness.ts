/** @internal */
import type { CloseReason } from "../../PoolStats.js"
import type { Port } from "./port.js"
import type { Slot } from "./slot.js"

/**
 * Whether a connection may be lent, is to be checked before that, or goes.
 *
 * @internal
 */
export class Fitness<A> {
  constructor(private readonly pool: Port<A, any>) {}

  /** Asked by a loan, until it ends. */
  isUsable(slot: Slot<A>): boolean {
    return slot.state === "busy" && !slot.invalid && this.pool.resource.isUsable(slot.value)
  }

  /** Why an idle connection goes instead of being lent or checked. */
  over(slot: Slot<A>, now: number): CloseReason | undefined {
    if (!this.pool.resource.isUsable(slot.value)) return "invalidated"
    return slot.expiresAt <= now ? slot.expiry : undefined
  }

  /** Whether too much time has passed since an idle connection was known to be well. */
  needsCheck(slot: Slot<A>, now: number): boolean {
    const { connections, resource, settings } = this.pool
    return resource.canCheck && (connections.isSuspect(slot) || now - slot.provenAt > settings.validateAfterIdle)
  }

  /** Why a connection that has been given back, or has opened, goes instead of serving (R7). */
  unfit(slot: Slot<A>, now: number): CloseReason | undefined {
    const { demand, evictor, lifecycle, settings } = this.pool
    if (lifecycle.isClosing) return "closed"
    const spent = slot.spent(now, settings.maxUses) ?? (demand.surplus > 0 ? "surplus" : undefined)
    return spent ?? (evictor.claims(slot) ? "evicted" : undefined)
  }

  /** Whether a connection that comes back is kept if no caller waits for it. */
  get keepsMore(): boolean {
    const { connections: { idle }, settings, waitPolicy } = this.pool
    return idle.size < settings.maxsize || waitPolicy.linger > 0
  }
}
