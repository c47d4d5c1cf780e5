/** @internal */
import type { EventLoopUtilization } from "node:perf_hooks"
import { performance } from "node:perf_hooks"

/** In milliseconds. What was measured for less time says nothing. */
const shortest = 1000

/**
 * Measures the part of the time in which the event loop was busy, from 0 to 1. `since` begins anew.
 *
 * @internal
 */
export class EventLoop {
  private begun: EventLoopUtilization = performance.eventLoopUtilization()

  /** The part since the last call. */
  since(): number {
    const now = performance.eventLoopUtilization()
    const { active, idle, utilization } = performance.eventLoopUtilization(now, this.begun)
    this.begun = now
    return active + idle < shortest ? 0 : utilization
  }
}
