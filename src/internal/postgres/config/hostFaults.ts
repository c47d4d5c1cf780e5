/** @internal */

/** How a place has failed when it was last tried: its server had the wrong role, or did not let us in. @internal */
export type Fault = "wrong role" | "failed"

/** Milliseconds. The recheck interval of other drivers too, such as pgjdbc's `hostRecheckSeconds`. */
const rememberedFor = 10_000

/**
 * The places that failed when they were last tried. For a while they are tried last. They are not skipped: when all others
 * fail too, one of them may have become the right one.
 *
 * @internal
 */
export class HostFaults {
  private readonly faults = new Map<string, { readonly fault: Fault; readonly until: number }>()

  note(place: string, fault: Fault, now: number): void {
    // A name may get new addresses again and again: what is out of date must go.
    for (const [other, { until }] of this.faults) if (until <= now) this.faults.delete(other)
    this.faults.set(place, { fault, until: now + rememberedFor })
  }

  forget(place: string): void {
    this.faults.delete(place)
  }

  isGood(place: string, now: number): boolean {
    return this.rank(place, now) === 0
  }

  /**
   * In the order given, but the good ones first and the failed ones last. A wrong role is found out quickly; a place that
   * failed may be silent, and the last one that is tried has all the time that is left.
   */
  sort<A>(places: ReadonlyArray<A>, nameOf: (place: A) => string, now: number): ReadonlyArray<A> {
    return [...places].sort((one, other) => this.rank(nameOf(one), now) - this.rank(nameOf(other), now))
  }

  private rank(place: string, now: number): number {
    const known = this.faults.get(place)
    if (known === undefined || known.until <= now) return 0
    return known.fault === "wrong role" ? 1 : 2
  }
}
