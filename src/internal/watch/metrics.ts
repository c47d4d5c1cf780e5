/** @internal */
import type { CloseReason } from "../../PoolStats.js"
import type { Port } from "../pool/port.js"
import type { State } from "../pool/slot.js"
import type { Meter, NoLoan } from "../pool/tally.js"
import { noneClosed, noneRefused } from "../pool/tally.js"
import * as Catalogue from "./catalogue.js"
import type { Instruments, Note } from "./instruments.js"
import { OldestWait } from "./oldestWait.js"

/** OpenTelemetry knows the states `idle` and `used` only. */
const states: Readonly<Record<State, string>> = {
  opening: "opening",
  idle: "idle",
  busy: "used",
  checking: "checking",
  closing: "closing"
}

type Outcome = "served" | NoLoan

const outcomes: ReadonlyArray<Outcome> = ["served", ...keysOf(noneRefused), "interrupted", "failed"]

/** Those that `PoolStats.timeouts` counts. */
const timeouts: ReadonlySet<Outcome> = new Set<Outcome>([
  "acquireTimeout",
  "outageTimeout",
  "maxwait",
  "connectTimeout"
])

/**
 * The metrics of a pool. The registry forgets none of them, so what counts something that is there now is 0 once the
 * pool has closed.
 *
 * @internal
 */
export class PoolMetrics implements Meter {
  private readonly states: Readonly<Record<State, Note>>
  private readonly max: Note
  private readonly idleMax: Note
  private readonly idleMin: Note
  private readonly pendingRequests: Note
  private readonly timeouts: Note
  private readonly createTime: Note
  private readonly waitTime: Note
  private readonly useTime: Note
  private readonly closes: Readonly<Record<CloseReason, Note>>
  private readonly connectFailures: Note
  private readonly overflow: Note
  private readonly leaks: Note
  private readonly oldestWait: OldestWait
  private readonly outcomes: Readonly<Record<Outcome, Note>>
  /** The limits as they were noted. */
  private maxsize = 0
  private maxoverflow = 0
  private hasEnded = false

  constructor(
    private readonly pool: Pick<Port<any, any>, "env" | "lifecycle" | "settings" | "waiters">,
    instruments: Instruments
  ) {
    const { bounds, outcomeName, reasonName, stateName } = Catalogue
    const by = <Key extends string>(keys: ReadonlyArray<Key>, make: (key: Key) => Note) =>
      Object.fromEntries(keys.map((key) => [key, make(key)])) as Record<Key, Note>
    this.states = by(
      keysOf(states),
      (state) => instruments.with({ [stateName]: states[state] }).upDownCounter(Catalogue.count)
    )
    this.max = instruments.upDownCounter(Catalogue.max)
    this.idleMax = instruments.upDownCounter(Catalogue.idleMax)
    this.idleMin = instruments.upDownCounter(Catalogue.idleMin)
    this.pendingRequests = instruments.upDownCounter(Catalogue.pendingRequests)
    this.timeouts = instruments.counter(Catalogue.timeouts)
    this.createTime = instruments.histogram(Catalogue.createTime, bounds)
    this.waitTime = instruments.histogram(Catalogue.waitTime, bounds)
    this.useTime = instruments.histogram(Catalogue.useTime, bounds)
    this.closes = by(
      keysOf(noneClosed),
      (reason) => instruments.with({ [reasonName]: reason }).counter(Catalogue.closed)
    )
    this.connectFailures = instruments.counter(Catalogue.connectFailures)
    this.overflow = instruments.counter(Catalogue.overflow)
    this.leaks = instruments.counter(Catalogue.leaked)
    this.oldestWait = new OldestWait(pool, instruments.gauge(Catalogue.oldestWait))
    this.outcomes = by(
      outcomes,
      (outcome) => instruments.with({ [outcomeName]: outcome }).counter(Catalogue.requests)
    )
    const { maxoverflow, maxsize, minsize } = pool.settings
    this.idleMin(minsize)
    this.limited(maxsize, maxoverflow)
  }

  moved(from: State | undefined, to: State | undefined): void {
    if (from === to) return
    if (from !== undefined) this.states[from](-1)
    if (to !== undefined) this.states[to](1)
  }

  queued(by: 1 | -1): void {
    this.pendingRequests(by)
    this.oldestWait.changed()
  }

  lent(waited: number): void {
    this.outcomes.served(1)
    this.waitTime(waited / 1000)
  }

  returned(held: number): void {
    this.useTime(held / 1000)
  }

  opened(took: number): void {
    this.createTime(took / 1000)
  }

  connectFailed(): void {
    this.connectFailures(1)
  }

  closed(reason: CloseReason): void {
    this.closes[reason](1)
  }

  ended(why: NoLoan): void {
    this.outcomes[why](1)
    if (timeouts.has(why)) this.timeouts(1)
  }

  overflowed(): void {
    this.overflow(1)
  }

  leaked(): void {
    this.leaks(1)
  }

  limited(maxsize: number, maxoverflow: number): void {
    // A pool that has closed may still be resized.
    if (this.hasEnded) return
    this.idleMax(maxsize - this.maxsize)
    this.max(maxoverflow - this.maxoverflow)
    this.maxsize = maxsize
    this.maxoverflow = maxoverflow
  }

  end(): void {
    this.oldestWait.stop()
    this.idleMin(-this.pool.settings.minsize)
    this.limited(0, 0)
    this.hasEnded = true
  }
}

function keysOf<Key extends string>(record: { readonly [key in Key]: unknown }): ReadonlyArray<Key> {
  return Object.keys(record) as Array<Key>
}
