import { Effect } from "effect"
import type { PoolStats } from "effect-pgpool/PoolStats"
import type { Simulation } from "../simulation.js"
import { Account } from "./account.js"
import type { Mirror } from "./mirror.js"
import type { Caller, Conn, Eviction, State } from "./people.js"
import { Violation } from "./people.js"
import type { WorldOptions } from "./plans.js"
import { leastTrust, quietTime } from "./plans.js"

/** No forecast takes a connect for longer than this, in milliseconds. */
const longestConnect = 200

/** The forecast goes by the median of so many connects. */
const connectsRemembered = 9

/**
 * What is known, from outside the pool, of the callers, of the resources and of what happened to the pool; and which rules
 * did not hold.
 */
export class Books {
  readonly conns: Array<Conn> = []
  readonly callers: Array<Caller> = []
  readonly account = new Account()
  /** From now on all connects, checks and resets are well. */
  isHealed = false
  /** What the pool said of itself after the last task. */
  last!: PoolStats
  /** What the pool's meter was told. */
  mirror!: Mirror
  private poolState: State | undefined = undefined
  private readonly wrongs: Array<string> = []

  // What its owner did:
  closingAt: number | undefined = undefined
  /** A drain ends then, also for callers that still use a connection. */
  cutAt = Infinity
  hasResized = false
  readonly evictions: Array<Eviction> = []
  /** When the pool was suspended, and when it went on. */
  readonly suspensions: Array<{ readonly from: number; to: number }> = []

  // What connects did:
  /** Those whose success came in time for the pool. */
  successes = 0
  /** Those that failed for good, but not as a refused login. */
  hardFailures = 0
  /** The last one that failed in a way that may mean an outage, and the last that was well. */
  badAt = -Infinity
  goodAt = -Infinity
  /** The last permanent failure, the last other one, and until when no connect is tried because of the permanent one. */
  permanentAt = -Infinity
  otherBadAt = -Infinity
  quietUntil = -Infinity
  /** Of connects that succeeded, the latest first. */
  readonly connectTimes: Array<number> = []
  /** When last no permit was free. */
  fullAt = -Infinity

  // What callers and sockets did:
  lastInterruptAt = -Infinity
  /** How many may have lost a resource that they had not begun to use: they have asked anew, behind all others. */
  displaced = 0
  /** When last a check failed, or a check or a reset took too long: what was open has to be proven anew (R19). */
  suspectedAt = -Infinity

  constructor(readonly sim: Simulation, readonly options: WorldOptions) {}

  /** The pool is made. */
  begin(state: State): void {
    this.poolState = state
    this.last = this.stats
  }

  get hasBegun(): boolean {
    return this.poolState !== undefined
  }

  get state(): State {
    return this.poolState!
  }

  get now(): number {
    return this.sim.now
  }

  get stats(): PoolStats {
    return this.state.stats()
  }

  count(is: (conn: Conn) => boolean): number {
    return this.conns.filter(is).length
  }

  // --- rules -----------------------------------------------------------------------------------------------------

  wrong(rule: string, what: string): void {
    this.wrongs.push(`${rule}: at ${this.now} ms ${what}`)
  }

  expect(holds: boolean, rule: string, what: () => string): void {
    if (!holds) this.wrong(rule, `${what()} (${JSON.stringify(this.stats)})`)
  }

  /** Throws what was found wrong so far. */
  throwWrongs(): void {
    if (this.wrongs.length > 0) throw new Violation(this.wrongs.join("\n"))
  }

  // --- callers ---------------------------------------------------------------------------------------------------

  get waiting(): ReadonlyArray<Caller> {
    return this.callers.filter(({ state }) => state === "waiting")
  }

  /** How long a caller has waited, without the time in which the pool was suspended. */
  waited({ since }: Caller): number {
    const stoodStill = this.suspensions.map(({ from, to }) => Math.min(to, this.now) - Math.max(from, since))
    return this.now - since - stoodStill.reduce((sum, millis) => sum + Math.max(0, millis), 0)
  }

  /** After so long a caller is due, whatever comes back (R4): with "auto" after the time of a connect. */
  get maxwait(): number {
    if (!this.options.isAuto) return this.options.maxwait
    if (this.connectTimes.length === 0) return 0
    const known = this.connectTimes.slice(0, connectsRemembered).sort((a, b) => a - b)
    return Math.max(1, Math.min(known[known.length >> 1], longestConnect))
  }

  /** A fiber that may yield at any operation, as that of a user who has done much else before. */
  readonly mayYield = Effect.withFiberRuntime<void>((fiber) => {
    this.sim.yielding.set(fiber, this.options.yieldAfter)
    fiber.addObserver(() => this.sim.yielding.delete(fiber))
    return Effect.void
  })

  // --- connects --------------------------------------------------------------------------------------------------

  /** Connects that the pool has begun. */
  get dialled(): number {
    const { closed, size } = this.stats
    return Object.values(closed).reduce((sum, n) => sum + n, size)
  }

  get isOutage(): boolean {
    return this.badAt >= this.goodAt && this.badAt > -Infinity
  }

  suspectAt(time: number): void {
    this.suspectedAt = Math.max(this.suspectedAt, time)
  }

  isOpening({ askedAt, phase }: Conn): boolean {
    return phase === "connecting" && this.now < askedAt
  }

  /** Where connects take longer the next ones are relied on for longer, by the quickest of the last few. */
  get youngFor(): number {
    return Math.max(
      leastTrust,
      ...this.connectTimes.length === 0 ? [] : [1.5 * Math.min(...this.connectTimes.slice(0, 4))]
    )
  }

  isHopeless(conn: Conn): boolean {
    return conn.isOutdated || this.now - conn.startedAt >= conn.youngFor
  }

  isLeftBehind(conn: Conn): boolean {
    return conn.askedAt + this.options.cleanupTimeout <= this.now
  }

  /** A connect failed in time for the pool. */
  failed(conn: Conn): void {
    if (conn.plan.end !== "permanent") this.otherBadAt = this.now
    if (conn.plan.end === "transient") this.badAt = this.now
    else if (conn.plan.end === "permanent") {
      this.badAt = this.permanentAt = this.now
      this.quietUntil = Math.max(this.quietUntil, this.now) + quietTime
    } else {
      this.hardFailures++
      // A successor that can't be opened is tried again like after a transient failure (R9, R19).
      if (this.options.minsize > 0 || this.evictions.length > 0) this.badAt = this.now
    }
  }

  /** A connect succeeded in time for the pool. */
  succeeded(conn: Conn): void {
    this.connectTimes.unshift(this.now - conn.startedAt)
    this.successes++
    this.goodAt = this.now
    conn.askedAt = Infinity
  }

  /** It hung, and its permit was lacking (R18). */
  givenUp(conn: Conn): void {
    if (!this.isHopeless(conn)) this.wrong("R6", `#${conn.id} is given up though it may still be of use`)
    conn.askedAt = Math.min(conn.askedAt, this.now)
  }

  /** A connect that can't be interrupted shows that it was given up only by the number of those that are opening. */
  noticeGivenUp(): void {
    if (this.closingAt !== undefined) return
    const isOpening = (conn: Conn) => this.isOpening(conn)
    while (this.stats.opening < this.count(isOpening)) {
      const stale = this.conns.filter((conn) => isOpening(conn) && this.isHopeless(conn))
      const isOvertaken = (conn: Conn) => this.conns.some((other) => other.id > conn.id && other.openedAt <= this.now)
      const mayBe = (conn: Conn, n: number) => conn.plan.uninterruptible && (n > 0 || isOvertaken(conn))
      const conn = stale.find(mayBe)
      if (conn === undefined) return
      this.givenUp(conn)
    }
  }

  /** All that there is, or is being opened, is to be replaced (`isSoft`), or to go at once. */
  evicted(over: number, isSoft: boolean): void {
    // Some may not have begun to dial yet.
    const eviction = { before: this.dialled, from: this.now, at: this.now + over, isSoft }
    this.evictions.push(eviction)
    for (const conn of this.conns) if (conn.phase !== "closed") conn.evict(eviction)
  }
}
