/** @internal */
import type { CloseReason, PoolStats, RefusalReason } from "../../PoolStats.js"
import { Recent } from "./recent.js"
import type { Slot, State } from "./slot.js"

/** Why a caller got no connection: it was refused, or interrupted while it waited, or its connect failed. @internal */
export type NoLoan = RefusalReason | "interrupted" | "failed"

/**
 * Is told of each change of the counters, within a section: it must not call the pool. Times are in milliseconds.
 *
 * @internal
 */
export interface Meter {
  /** A connection has changed its state. It has none before its connect begins, and when its permit is back. */
  readonly moved: (from: State | undefined, to: State | undefined) => void
  /** A caller has joined or left the queue. */
  readonly queued: (by: 1 | -1) => void
  readonly lent: (waited: number) => void
  readonly returned: (held: number) => void
  readonly opened: (took: number) => void
  readonly connectFailed: () => void
  readonly closed: (reason: CloseReason) => void
  /** A caller got no connection. */
  readonly ended: (why: NoLoan) => void
  /** A connect begins for a connection beyond `maxsize`. */
  readonly overflowed: () => void
  /** A connection is held for longer than `leakThreshold`. */
  readonly leaked: () => void
  /** The limits have changed. */
  readonly limited: (maxsize: number, maxoverflow: number) => void
  /** The pool has closed. */
  readonly end: () => void
}

/** @internal */
export const noneClosed: { readonly [reason in CloseReason]: number } = {
  expired: 0,
  evicted: 0,
  renewed: 0,
  idle: 0,
  used: 0,
  surplus: 0,
  invalidated: 0,
  dirty: 0,
  closed: 0,
  failed: 0,
  abandoned: 0
}

/** @internal */
export const noneRefused: { readonly [reason in RefusalReason]: number } = {
  acquireTimeout: 0,
  outageTimeout: 0,
  maxwait: 0,
  connectTimeout: 0,
  connectRetry: 0,
  handOver: 0,
  queueFull: 0,
  closed: 0
}

/**
 * The pool's counters: its connections by state, and the events so far.
 *
 * @internal
 */
export class Tally {
  readonly in = { opening: 0, idle: 0, busy: 0, checking: 0, closing: 0 } satisfies Record<State, number>
  /** Permits in use. It rises before a connection's fiber starts and falls after its permit is back. */
  size = 0
  opened = 0
  rolledBack = 0
  cancelled = 0
  private peakBusy = 0
  /** The same since the last `takeHighest`. */
  private highest = 0
  private peakSize = 0
  private acquired = 0
  private waited = 0
  private waitedTotal = 0
  private heldTotal = 0
  private leaks = 0
  private connectFailures = 0
  private lastConnectError: unknown = undefined
  private readonly waitTimes = new Recent()
  private readonly holdTimes = new Recent()
  private readonly connectTimes = new Recent()
  private readonly closed: { [reason in CloseReason]: number } = { ...noneClosed }
  private readonly refusals: { [reason in RefusalReason]: number } = { ...noneRefused }

  constructor(readonly meter: Meter | undefined) {}

  /** How many are in service, or will be again after a check. */
  get open(): number {
    return this.in.idle + this.in.busy + this.in.checking
  }

  added(slot: Slot<unknown>): void {
    this.size++
    this.peakSize = Math.max(this.peakSize, this.size)
    this.count(slot.state, 1)
    this.meter?.moved(undefined, slot.state)
  }

  moved(from: State, to: State): void {
    this.count(from, -1)
    this.count(to, 1)
    if (to === "busy" && this.in.busy > this.highest) this.highest = this.in.busy
    this.meter?.moved(from, to)
  }

  /** The most connections that were lent at the same time since the last call. */
  takeHighest(): number {
    const { highest } = this
    this.peakBusy = Math.max(this.peakBusy, highest)
    this.highest = this.in.busy
    return highest
  }

  /** Each loan counts four times; a key that is not written out is several times as slow. */
  private count(state: State, by: number): void {
    switch (state) {
      case "opening":
        this.in.opening += by
        break
      case "idle":
        this.in.idle += by
        break
      case "busy":
        this.in.busy += by
        break
      case "checking":
        this.in.checking += by
        break
      case "closing":
        this.in.closing += by
    }
  }

  /** `waited` is `undefined` where the caller did not have to. */
  lent(waited: number | undefined, now: number): void {
    this.acquired++
    if (waited !== undefined) {
      this.waited++
      this.waitedTotal += waited
    }
    this.waitTimes.add(waited ?? 0, now)
    this.meter?.lent(waited ?? 0)
  }

  returned(held: number, now: number): void {
    this.heldTotal += held
    this.holdTimes.add(held, now)
    this.meter?.returned(held)
  }

  connected(took: number, now: number): void {
    this.opened++
    this.connectTimes.add(took, now)
    this.meter?.opened(took)
  }

  connectFailed(why: unknown): void {
    this.connectFailures++
    this.lastConnectError = why
    this.meter?.connectFailed()
  }

  /** A connection is held for longer than `leakThreshold`. */
  leaked(): void {
    this.leaks++
    this.meter?.leaked()
  }

  /** A caller got no connection. */
  ended(why: NoLoan): void {
    if (why !== "interrupted" && why !== "failed") this.refusals[why]++
    this.meter?.ended(why)
  }

  removed({ closeReason, state }: Slot<unknown>): void {
    this.size--
    this.count(state, -1)
    this.closed[closeReason]++
    this.meter?.moved(state, undefined)
    this.meter?.closed(closeReason)
  }

  stats(now: number): Omit<PoolStats, "name" | "state" | "maxsize" | "maxoverflow" | "waiting" | "oldestWait"> {
    const { closed, refusals } = this
    const { acquireTimeout, connectTimeout, maxwait, outageTimeout } = refusals
    return {
      size: this.size,
      ...this.in,
      peakBusy: Math.max(this.peakBusy, this.highest),
      peakSize: this.peakSize,
      acquired: this.acquired,
      waited: this.waited,
      waitedTotal: this.waitedTotal,
      heldTotal: this.heldTotal,
      opened: this.opened,
      connectFailures: this.connectFailures,
      lastConnectError: this.lastConnectError,
      closed: { ...closed },
      timeouts: acquireTimeout + outageTimeout + maxwait + connectTimeout,
      refused: { ...refusals },
      leaked: this.leaks,
      rolledBack: this.rolledBack,
      cancelled: this.cancelled,
      waitTimes: this.waitTimes.percentiles(now),
      holdTimes: this.holdTimes.percentiles(now),
      connectTimes: this.connectTimes.percentiles(now)
    }
  }
}
