import type { PoolStats } from "effect-pgpool/PoolStats"
import type { Caller } from "./people.js"

/** What the loans that the callers have seen come to. */
export class Account {
  private acquired = 0
  private waited = 0
  private waitedTotal = 0
  private heldTotal = 0
  /** Callers that were served in the step in which they asked, maybe by way of the queue. */
  private hasty = 0
  /** Callers that were interrupted in the step in which they got a resource: only the pool knows of these. */
  private readonly unseen: Array<number> = []

  began(caller: Caller, now: number, waited: number): void {
    caller.heldSince = now
    this.acquired++
    if (!caller.hadToWait) return
    this.waited++
    this.waitedTotal += waited
  }

  /** A caller that is no fiber was not lent a resource on the spot, and does not wait either. */
  wasHasty(): void {
    this.hasty++
  }

  ended({ heldSince }: Caller, now: number): void {
    this.heldTotal += now - heldSince
  }

  /** A caller was interrupted that has held nothing. */
  left(waited: number): void {
    this.unseen.push(waited)
  }

  /** What `stats` says otherwise. */
  differsFrom(stats: PoolStats): string | undefined {
    const { acquired, hasty, heldTotal, unseen, waited, waitedTotal } = this
    const most = unseen.reduce((sum, waited) => sum + waited, 0)
    const differs = (name: "acquired" | "waited" | "waitedTotal" | "heldTotal", least: number, unseen: number) =>
      stats[name] < least || stats[name] > least + unseen
        ? `${name} is ${stats[name]}, and really ${least}${unseen > 0 ? ` to ${least + unseen}` : ""}`
        : undefined
    return differs("acquired", acquired, unseen.length) ?? differs("waited", waited, unseen.length + hasty) ??
      differs("waitedTotal", waitedTotal, most) ?? differs("heldTotal", heldTotal, 0)
  }
}
