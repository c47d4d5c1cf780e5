/** @internal */
import { formatMillis, oneLine } from "../words.js"
import { Alarm } from "./alarm.js"
import { LineLimit } from "./lineLimit.js"
import type { Log, Timers } from "./runtime.js"

/** The limit of the warnings. */
const linesPerMinute = 5

/** The time in milliseconds without a failure after which an incident is over, at first and at most. */
const steadyFor = { least: 5000, most: 60_000 }

/** The time in milliseconds between two lines about an incident that lasts. */
const perReminder = 60_000

/** The number of reasons that are remembered as logged. */
const mostReasons = 20

/** The words of the log for an action that fails. @internal */
export interface Words {
  readonly fails: string
  readonly stillFails: string
  readonly worksAgain: string
}

/**
 * Logs that an action fails, and that it works again. Each new reason is logged at once. If a reason repeats, only the
 * number of failures is logged, once a minute and at the end. Each of these messages is one line.
 *
 * Two reasons are the same if their words are the same but for the numbers: ports, addresses and process ids differ
 * each time.
 *
 * An action that works and fails by turns, such as connects to a full server, is one incident. The incident is over
 * when nothing has failed for some seconds. That time doubles each time that the next incident follows within a minute.
 *
 * @internal
 */
export class Incidents {
  /** The start of the incident, if there is one, and the number of its failures. */
  private since = 0
  private failures = 0
  /** The time since when nothing has failed, while the incident is not over. */
  private wellSince: number | undefined = undefined
  private steadyFor = steadyFor.least
  private overAt = -Infinity
  /** The reasons of the incident that are in the log. */
  private readonly told = new Set<string>()
  private toldAt = -Infinity
  /** The number of failures since the last line. */
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

  /** Ends the incident if it is over. Returns the time of the next look. */
  private look(): number {
    if (this.wellSince === undefined) return Infinity
    const now = this.timers.now()
    const over = this.wellSince + this.steadyFor
    if (now < over) return over
    this.end(this.wellSince, now)
    return Infinity
  }

  private end(wellSince: number, now: number): void {
    // Failures that are in no line yet are counted in the line of the next incident.
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
