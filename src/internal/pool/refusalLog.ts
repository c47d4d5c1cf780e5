/** @internal */
import { oneLine } from "../words.js"
import { Alarm } from "./alarm.js"
import { LineLimit } from "./lineLimit.js"
import type { Log, Timers } from "./runtime.js"

/**
 * Logs that callers got no connection: at most one line a minute. It tells of the first of those that are in no line,
 * with the holders of that moment, and counts the others.
 *
 * @internal
 */
export class RefusalLog {
  private readonly limit = new LineLimit(1)
  private readonly alarm: Alarm
  /** The first one that is in no line, and how many there are. */
  private first: string | undefined = undefined
  private untold = 0

  constructor(private readonly timers: Timers, private readonly log: Log) {
    this.alarm = new Alarm(timers, () => this.ring())
  }

  /** `words` cost something: they are asked for once in a line. */
  refused(words: () => string): void {
    this.first ??= words()
    this.untold++
    const now = this.timers.now()
    if (this.limit.take(now)) this.say()
    else this.alarm.arm(this.limit.renewedAt(now))
  }

  /** The pool closes. */
  stop(): void {
    this.alarm.stop()
    this.say()
  }

  private ring(): number {
    if (this.untold > 0 && this.limit.take(this.timers.now())) this.say()
    return Infinity
  }

  private say(): void {
    if (this.first === undefined) return
    const others = this.untold === 1 ? "" : ` (and ${this.untold - 1} more since the last line)`
    this.log.warn(`A caller was refused${others}. ${oneLine(this.first)}`)
    this.first = undefined
    this.untold = 0
  }
}
