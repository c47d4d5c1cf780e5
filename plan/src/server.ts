/** The server's side of a load: how long its statements take when they run together. */
import type { VirtualTime } from "effect-pgpool/Testing"

/** Something that takes time, and can be called off. */
export interface Server {
  /** Runs a statement that would take so many milliseconds if it were alone. The result calls it off. */
  readonly run: (millis: number, done: () => void) => () => void
}

/** With `cores` the statements that run share so many, else each runs at its full speed. */
export const makeServer = (time: VirtualTime, cores: number | undefined): Server =>
  cores === undefined ? { run: time.after } : new SharedCores(time, cores)

interface Statement {
  /** How far `progress` is when it ends. */
  readonly end: number
  readonly done: () => void
}

/**
 * Processor sharing: a statement has a core for itself as long as there are enough, else all have equal parts of them. So
 * all advance by the same, and it is enough to know how far one that had run since the beginning would have come.
 */
class SharedCores implements Server {
  private progress = 0
  private countedAt = 0
  /** The next one to end is the last. */
  private readonly running: Array<Statement> = []
  private callOff: () => void = () => {}

  constructor(private readonly time: VirtualTime, private readonly cores: number) {}

  readonly run = (millis: number, done: () => void): () => void => {
    this.advance()
    const statement = { end: this.progress + millis, done }
    this.running.splice(this.placeOf(statement), 0, statement)
    this.wait()
    return () => this.stop(statement)
  }

  /** Behind those that end later. Of those that end together the first one ends first. */
  private placeOf({ end }: Statement): number {
    let [from, to] = [0, this.running.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if (this.running[middle].end > end) from = middle + 1
      else to = middle
    }
    return from
  }

  private stop(statement: Statement): void {
    const place = this.running.indexOf(statement)
    if (place === -1) return
    this.advance()
    this.running.splice(place, 1)
    this.wait()
  }

  private get speed(): number {
    return Math.min(1, this.cores / this.running.length)
  }

  private advance(): void {
    this.progress += (this.time.now - this.countedAt) * this.speed
    this.countedAt = this.time.now
  }

  /** For the next one to end. */
  private wait(): void {
    this.callOff()
    const next = this.running.at(-1)
    if (next === undefined) return
    this.callOff = this.time.after(Math.max(0, next.end - this.progress) / this.speed, () => this.end(next))
  }

  private end(statement: Statement): void {
    this.advance()
    // Sums of fractions are not exact.
    this.progress = statement.end
    this.running.pop()
    this.wait()
    statement.done()
  }
}
