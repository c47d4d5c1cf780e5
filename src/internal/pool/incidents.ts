/** @internal */
import { formatMillis, oneLine } from "../words.js"
import { Alarm } from "./alarm.js"
import { LineLimit } from "./lineLimit.js"
import type { Log, Timers } from "./runtime.js"

/** Of the warnings. */
const linesPerMinute = 5

/** In milliseconds: how long nothing may fail until an incident is over, at first and at most. */
const steadyFor = { least: 5000, most: 60_000 }

/** In milliseconds: how often an incident that lasts is told of. */
const perReminder = 60_000

/** So many reasons are remembered as told. */
const mostReasons = 20

/** How the log names what fails. @internal */
export interface Words {
  readonly fails: string
  readonly stillFails: string
  readonly worksAgain: string
}

/**
 * What the log says of something that fails, and works again: each new reason at once, and of the same one again only how
 * often it was, once a minute and in the end. All of these are one line each.
 *
 * Reasons are the same if their words are, but for their numbers: ports, addresses and process ids are others each time.
 *
 * What works and fails by turns, as connects to a full server do, is one incident: it is over when nothing has failed for
 * some seconds, and for twice as long each time that the next incident follows within a minute.
 *
 * @internal
 */
export class Incidents {
  /** Since when it lasts, if there is one, and what has failed in it. */
  private since = 0
  private failures = 0
  /** Since when all has gone well, while it is not over. */
  private wellSince: number | undefined = undefined
  private steadyFor = steadyFor.least
  private overAt = -Infinity
  /** The reasons that the log has of it. */
  private readonly told = new Set<string>()
  private toldAt = -Infinity
  /** What has failed since the last line. */
  private untold = 0
  private readonly limit = new LineLimit(linesPerMinute)
  private readonly alarm: Alarm
  private hasStopped = false

  constructor(private readonly words: Words, private readonly timers: Timers, private readonly log: Log) {
    this.alarm = new Alarm(timers, () => this.look())
  }

  failed(reason: string): void {
    const now = this.timers.now()
    if (this.failures === 0) this.begin(now)
    this.failures++
    this.untold++
    this.wellSince = undefined
    const words = oneLine(reason)
    const kind = words.replace(/\d+/g, "#")
    const isKnown = this.told.has(kind)
    if (isKnown && now - this.toldAt < perReminder || !this.limit.take(now)) return
    const more = this.untold - 1
    const line = isKnown
      ? `${this.words.stillFails} after ${lasted(now - this.since)}, ${more} more since the last line: ${words}`
      : `${this.words.fails}: ${words}${more > 0 ? ` (and ${more} more since the last line)` : ""}`
    if (this.told.size === mostReasons) this.told.clear()
    this.told.add(kind)
    this.toldAt = now
    this.untold = 0
    this.log.warn(line)
  }

  worked(): void {
    if (this.failures === 0 || this.wellSince !== undefined || this.hasStopped) return
    this.wellSince = this.timers.now()
    this.alarm.arm(this.wellSince + this.steadyFor)
  }

  stop(): void {
    this.hasStopped = true
    this.alarm.stop()
  }

  private begin(now: number): void {
    this.since = now
    const isSoon = now - this.overAt < steadyFor.most
    this.steadyFor = isSoon ? Math.min(2 * this.steadyFor, steadyFor.most) : steadyFor.least
  }

  /** Whether it is over, and when that is to be asked again. */
  private look(): number {
    if (this.wellSince === undefined) return Infinity
    const now = this.timers.now()
    const over = this.wellSince + this.steadyFor
    if (now < over) return over
    this.end(this.wellSince, now)
    return Infinity
  }

  private end(wellSince: number, now: number): void {
    // What the log knows nothing of is told with the next one.
    if (this.told.size > 0) {
      const line = `${this.words.worksAgain}: ${this.failures} had failed in ${lasted(wellSince - this.since)}`
      this.log.info(line)
      this.untold = 0
    }
    this.overAt = now
    this.failures = 0
    this.wellSince = undefined
    this.told.clear()
  }
}

const lasted = (millis: number): string => formatMillis(millis < 1000 ? millis : Math.round(millis / 1000) * 1000)
