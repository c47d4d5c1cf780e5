/** @internal */
import type { PoolStats } from "../../PoolStats.js"
import type { ElasticPoolState } from "../pool/pool.js"
import type { Watchman } from "../pool/rounds.js"
import { advice, perDay, perMinute } from "./advice.js"
import { EventLoop } from "./eventLoop.js"

/** A time that is looked back on: its beginning, and the most connections that were in use since. */
interface Period {
  readonly began: number
  readonly before: PoolStats
  peakBusy: number
}

/**
 * Logs what can be learnt from a minute, and from a day.
 *
 * @internal
 */
export class Adviser implements Watchman {
  private readonly loop = new EventLoop()
  private minute: Period
  private day: Period

  constructor(private readonly pool: ElasticPoolState<any, any>) {
    this.minute = this.period()
    this.day = this.period()
  }

  private period(): Period {
    return { began: this.pool.env.now(), before: this.pool.stats(), peakBusy: this.pool.tally.in.busy }
  }

  readonly begin = (): void => {
    this.loop.since()
    this.noteHighest()
    this.minute = this.period()
  }

  readonly look = (): void => {
    this.noteHighest()
    const loop = this.loop.since()
    const lines = this.advise(this.minute, loop, perMinute)
    this.minute = this.period()
    for (const line of lines) this.pool.env.log.warn(line)
    if (this.pool.env.now() - this.day.began < perDay) return
    for (const line of this.advise(this.day, loop, perDay)) this.pool.env.log.info(line)
    this.day = this.period()
  }

  private noteHighest(): void {
    const highest = this.pool.tally.takeHighest()
    for (const period of [this.minute, this.day]) period.peakBusy = Math.max(period.peakBusy, highest)
  }

  /** A machine that has slept makes a minute long, but no day of it. */
  private advise({ before, began, peakBusy }: Period, loop: number, atMost: number): ReadonlyArray<string> {
    const { env, holders } = this.pool
    const now = env.now()
    const lasted = Math.min(now - began, atMost)
    return advice(before, this.pool.stats(), { lasted, peakBusy, loop, holders: holders.at(now) })
  }
}
