/** @internal */
import type { Port } from "./port.js"
import type { Slot } from "./slot.js"

/**
 * What the pool's connections prove of the server: that it answered a moment ago, or does so now.
 *
 * @internal
 */
export class Proof<A> {
  /** Told when the next check has ended. */
  private readonly listeners = new Set<() => void>()

  constructor(private readonly pool: Port<A, any>) {}

  /**
   * Whether a connection is known to have been well less than so long ago. One that is suspect (R19), or is being checked
   * or reset, proves nothing.
   */
  isYoungerThan(millis: number): boolean {
    const since = this.pool.env.now() - millis
    for (const slot of this.pool.connections.all) if (slot.provenAt > since && this.isWell(slot)) return true
    return false
  }

  private isWell(slot: Slot<A>): boolean {
    const { connections, resource } = this.pool
    return (slot.state === "idle" || slot.state === "busy") && !connections.isSuspect(slot) &&
      resource.isUsable(slot.value)
  }

  /**
   * Has an idle connection checked, unless a check is under way already, and calls `end` once when a check has ended. The
   * result calls that off. Gives nothing if no connection can be checked.
   *
   * A caller that comes meanwhile has the connection as soon as the check has ended: by default it would have had to
   * wait for one as well.
   */
  ask(end: () => void): (() => void) | undefined {
    const { env, tally } = this.pool
    return env.outbox.section(() => {
      if (tally.in.checking === 0 && !this.pool.checkLast(env.now())) return undefined
      this.listeners.add(end)
      return () => this.listeners.delete(end)
    })
  }

  /** A check has ended, well or not. */
  checked(): void {
    for (const listener of this.listeners) this.pool.env.outbox.post(listener)
    this.listeners.clear()
  }
}
