import { Cause, Effect, Exit, FiberId, Schedule, Scope } from "effect"
import type { Fiber } from "effect"
import type { ElasticPool } from "effect-pgpool"
import type { PoolError, PoolExhausted } from "effect-pgpool/PoolError"
import type { PoolStats } from "effect-pgpool/PoolStats"
import { awaiting } from "../../src/internal/effects.js"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { Simulation } from "./simulation.js"
import type { Eviction, State, Take } from "./world/people.js"
import { Caller, Conn, Refused, Violation } from "./world/people.js"
import type { ConnectPlan, WorkPlan, WorldOptions } from "./world/plans.js"
import { fine, leastTrust, limitsOf, quietTime, retryDelay, well } from "./world/plans.js"
import { Requests } from "./world/requests.js"
import { hasRoom, neededBy, passedBySharer, shareOf, starves, wrongShare } from "./world/sharing.js"

/**
 * A pool in a simulated world, the fake resources it opens and the callers that use it. It is the reference model too:
 * it keeps its own books of who waits, who holds what and what is really open, and compares them with what the pool
 * says: after each task what must hold at every instant, and when all is quiet what must hold between events.
 */
export class PoolWorld {
  readonly sim: Simulation
  readonly conns: Array<Conn> = []
  readonly callers: Array<Caller> = []
  readonly state: State
  readonly pool: ElasticPool.ElasticPool<Conn, Refused>
  private readonly requests: Requests
  private readonly share: number
  closingAt: number | undefined = undefined
  closeFiber: Fiber.RuntimeFiber<void> | undefined = undefined
  /** From now on all connects, checks and resets are well. */
  isHealed = false
  private readonly scope = Effect.runSync(Scope.make())
  private readonly wrongs: Array<string> = []
  private checksRun = 0
  private resetsRun = 0
  private last: PoolStats
  private hasResized = false
  private readonly evictions: Array<Eviction> = []
  drainFiber: Fiber.RuntimeFiber<void> | undefined = undefined
  /** When a drain is over, whoever still uses a connection. */
  cutAt = Infinity
  /** When the pool was suspended, and when it went on. */
  private readonly suspensions: Array<{ readonly from: number; to: number }> = []
  /** The last permanent failure, and until when nobody dials because of it. */
  private permanentAt = -Infinity
  private otherBadAt = -Infinity
  private quietUntil = -Infinity
  private isReady = false
  /** The last connect that failed in a way that may mean an outage, and the last that was well. */
  private badAt = -Infinity
  private goodAt = -Infinity
  /** Connects whose success came in time for the pool. */
  private successes = 0
  private hardFailures = 0
  /** Of connects that succeeded, the latest first. */
  private readonly connectTimes: Array<number> = []
  private failedByConnect = 0
  /** When last no permit was free. */
  private fullAt = -Infinity
  /** How many were evicted for newer ones that were open. */
  private replaced = 0
  private lastInterruptAt = -Infinity
  /** When last a check failed, or a check or a reset took too long: what was open has to be proven anew (R19). */
  private suspectedAt = -Infinity

  constructor(readonly options: WorldOptions) {
    this.sim = new Simulation(options.seed, () => this.atEveryTask(), () => this.whenQuiet())
    const { canCheck, isAuto, reset, retries, share, ...rest } = options
    this.share = shareOf(options)
    const make = makeState<Conn, Refused, never>({
      ...rest,
      maxwait: isAuto ? "auto" : rest.maxwait,
      connectRetry: Schedule.spaced(retryDelay).pipe(Schedule.intersect(Schedule.recurs(retries))),
      acquire: this.acquire,
      isTransient: ({ kind }) => kind === "transient",
      isPermanent: ({ kind }) => kind === "permanent",
      check: canCheck ? this.check : undefined,
      reset: reset === "none" ? undefined : this.reset,
      needsReset: reset === "odd" ? (conn) => conn.id % 2 === 1 : undefined
    }, { share, canShare: ({ cancels }) => cancels === 0 })
    const fiber = this.sim.fork(Scope.extend(make, this.scope))
    const exit = fiber.unsafePoll()
    if (exit === null || Exit.isFailure(exit)) throw new Error(`the pool was not made: ${JSON.stringify(exit)}`)
    this.state = exit.value
    this.pool = fromState(this.state)
    this.requests = new Requests({
      sim: this.sim,
      state: this.state,
      callers: this.callers,
      begin: (caller, conn) => this.begin(caller, conn),
      end: (caller, conn) => this.end(caller, conn),
      ended: (caller, exit, wasFull) => this.ended(caller, exit, wasFull)
    })
    this.last = this.stats
    this.isReady = true
    this.settle()
  }

  get now(): number {
    return this.sim.now
  }

  get stats(): PoolStats {
    return Effect.runSync(this.pool.stats)
  }

  // --- what can be done ------------------------------------------------------------------------------------------

  take(how: Take = { by: "use" }): Caller {
    return how.by === "sharing" || how.by === "alone" ? this.request(how) : this.fork(how)
  }

  private request(how: Take): Caller {
    const caller = this.requests.ask(how)
    this.look()
    return caller
  }

  private fork(how: Take): Caller {
    const caller = new Caller(this.callers.length, this.now)
    const wasFull = this.stats.waiting >= (this.options.maxWaiting ?? Infinity)
    this.callers.push(caller)
    const body = (conn: Conn) => this.hold(caller, conn, how)
    const getting = Effect.flatMap(this.pool.get, body)
    const lingering = Effect.addFinalizer(() => {
      caller.state = "lingering"
      return Effect.sleep(how.linger ?? 0)
    })
    const effect = how.by === "use" ? this.pool.use(body) : Effect.scoped(
      how.linger === undefined ? getting : Effect.zipRight(lingering, getting)
    )
    caller.fiber = this.sim.fork(effect)
    caller.fiber.addObserver((exit) => this.ended(caller, exit, wasFull))
    this.throwWrongs()
    return caller
  }

  interrupt(caller: Caller): void {
    if (caller.state === "done") return
    caller.interrupted = true
    if (caller.fiber === undefined) {
      this.requests.interrupt(caller)
      return this.look()
    }
    this.lastInterruptAt = this.now
    caller.fiber!.unsafeInterruptAsFork(FiberId.none)
  }

  finish(caller: Caller): void {
    caller.finish()
    this.look()
  }

  /** Its owner hears that it was lost, as a session's socket tells: others may have been, too (R19). */
  lose(conn: Conn): void {
    const isKnown = !conn.mayBeInvalid && conn.openedAt < this.now && conn.holders.size > 0
    this.invalidated(conn)
    this.suspectAt(this.now)
    this.state.lost(conn)
    if (isKnown && this.options.canCheck) {
      for (const other of this.conns) other.suspect = other.phase === "open" && other.holders.size > 0
    }
    this.look()
  }

  invalidate(conn: Conn): void {
    this.invalidated(conn)
    this.byUser(this.pool.invalidate(conn))
  }

  private invalidated(conn: Conn): void {
    conn.mayBeInvalid = true
    // At the instant at which it opens the pool may not know it yet, and what it doesn't know is ignored.
    if (conn.openedAt < this.now) conn.invalidatedAt = Math.min(conn.invalidatedAt, this.now)
  }

  resize(maxsize: number, maxoverflow: number): Fiber.RuntimeFiber<void> {
    this.hasResized = true
    return this.byUser(this.pool.resize({ maxsize, maxoverflow }))
  }

  /** In one step, so that it is known which connections it means. */
  evict(how: { readonly over: number } | { readonly now: true }): void {
    this.byUser(Effect.sync(() => {
      if ("now" in how) this.evicted(0, false)
      // Else none is to be replaced.
      else if (this.stats.state === "open") this.evicted(how.over, true)
      Effect.runSync(this.pool.evict(how))
    }))
  }

  private evicted(over: number, isSoft: boolean): void {
    // Some may not have begun to dial yet.
    const eviction = { before: this.dialled, from: this.now, at: this.now + over, isSoft }
    this.evictions.push(eviction)
    for (const conn of this.conns) if (conn.phase !== "closed") conn.evict(eviction)
  }

  /** Connects that the pool has begun. */
  private get dialled(): number {
    const { closed, size } = this.stats
    return Object.values(closed).reduce((sum, n) => sum + n, size)
  }

  suspend(): void {
    const fiber = this.byUser(Effect.flatMap(this.pool.suspend, (isEmpty) =>
      Effect.sync(() => {
        if (!isEmpty || this.stats.state !== "suspended") return
        this.expect(this.stats.size === 0, "suspend", () => "it says that no connection is left")
      })))
    fiber.addObserver(() => this.throwWrongs())
  }

  resume(): void {
    this.byUser(this.pool.resume)
  }

  drain(within?: number): void {
    if (within !== undefined) this.cutAt = Math.min(this.cutAt, this.now + within)
    this.drainFiber = this.byUser(within === undefined ? this.pool.drain : Effect.asVoid(this.pool.drain({ within })))
  }

  close(): void {
    this.closingAt = this.now
    this.closeFiber = this.byUser(Scope.close(this.scope, Exit.void))
  }

  private look(): void {
    this.atEveryTask()
    this.throwWrongs()
  }

  step(times: number): void {
    for (let i = 0; i < times && this.sim.step(); i++) this.throwWrongs()
  }

  settle(): void {
    this.sim.settle()
    this.throwWrongs()
  }

  advance(millis: number): void {
    this.sim.advance(millis)
    this.throwWrongs()
  }

  /** A fiber that may yield at any operation, as that of a user who has done much else before. */
  private byUser(effect: Effect.Effect<void>): Fiber.RuntimeFiber<void> {
    const fiber = this.sim.fork(Effect.zipRight(this.mayYield, effect))
    this.throwWrongs()
    return fiber
  }

  private readonly mayYield = Effect.withFiberRuntime<void>((fiber) => {
    this.sim.yielding.set(fiber, this.options.yieldAfter)
    fiber.addObserver(() => this.sim.yielding.delete(fiber))
    return Effect.void
  })

  // --- callers ---------------------------------------------------------------------------------------------------

  private hold(caller: Caller, conn: Conn, how: Take): Effect.Effect<void, "body"> {
    this.begin(caller, conn)
    // `Effect.async` forgets its canceler if the fiber yields, and is interrupted, just when it has registered.
    const use = awaiting<void, never>((resume) => {
      if (how.hold === 0 || caller.isFinished) {
        resume(Effect.void)
        return
      }
      const cancel = how.hold === undefined ? () => {} : this.sim.schedule(how.hold, () => resume(Effect.void))
      caller.finish = () => {
        cancel()
        resume(Effect.void)
      }
      return cancel
    })
    return this.mayYield.pipe(
      Effect.zipRight(use),
      Effect.zipRight(how.fails === true ? Effect.fail("body" as const) : Effect.void),
      Effect.onExit(() => Effect.sync(() => this.end(caller, conn)))
    )
  }

  private begin(caller: Caller, conn: Conn): void {
    const { canCheck, expires, maxUses = Infinity, validateAfterIdle } = this.options
    const isJoining = conn.holders.size > 0
    const what = isJoining ? wrongShare(caller, conn, this.share) : undefined
    if (what !== undefined) this.wrong("I4", `#${conn.id} is lent to ${caller.number} while others have it: ${what}`)
    if (++conn.leases > maxUses) this.wrong("maxUses", `#${conn.id} is lent ${conn.leases} times`)
    if (conn.phase !== "open") this.wrong("I4", `#${conn.id} is lent while it is ${conn.phase}`)
    if (conn.work !== undefined) this.wrong("R11", `#${conn.id} is lent while it is checked or reset`)
    if (conn.openedAt + expires <= this.now) this.wrong("I7", `#${conn.id} is lent after it expired`)
    if (conn.invalidatedAt < this.now) this.wrong("I7", `#${conn.id} is lent after it was invalidated`)
    if (conn.evictedAt < this.now) this.wrong("R19", `#${conn.id} is lent after it was evicted`)
    // Those with whom it was handed over may have done with it on the spot.
    const isFirst = !isJoining && !(caller.shares && this.requests.hastyAt === this.now)
    if (isFirst && conn.dirty) this.wrong("I7", `#${conn.id} is lent dirty`)
    if (conn.dead) this.wrong("I7", `#${conn.id} is lent after a check or reset of it failed`)
    // A hand-over that was interrupted before it resumed counts as a use, which nobody outside can see.
    const isStale = canCheck && !isJoining && this.now - conn.provenAt > validateAfterIdle
    if (isStale && this.lastInterruptAt < conn.provenAt) this.wrong("I7", `#${conn.id} is lent without a check`)
    if (caller.shares) {
      const passed = passedBySharer(caller, this.callers)
      if (passed !== undefined) this.wrong("I3", `${caller.number} is served before ${passed.number}`)
    }
    if (isFirst) this.passesNobody(caller)
    if (isJoining && this.requests.hastyAt < this.now && starves(caller, conn, this.callers, this.conns)) {
      this.wrong("I3", `${caller.number} joins the holders of #${conn.id}, which has to run dry`)
    }
    caller.state = "holding"
    caller.conn = conn
    conn.holders.add(caller)
    conn.dirty = this.options.reset === "always" || (this.options.reset === "odd" && conn.id % 2 === 1)
  }

  private passesNobody(caller: Caller): void {
    // Who was handed a resource, or refused, and has not resumed yet is in the queue no more: only the pool knows.
    const newer = this.callers.filter(({ number, state }) => state === "waiting" && number > caller.number)
    const older = this.stats.waiting - newer.length
    if (older > 0) this.wrong("I3", `${caller.number} is served while ${older} wait that came before`)
  }

  private end(caller: Caller, conn: Conn): void {
    conn.holders.delete(caller)
    conn.provenAt = this.now
    caller.conn = undefined
  }

  private ended(caller: Caller, exit: Exit.Exit<unknown, PoolError | Refused | "body">, wasFull: boolean): void {
    const wasHolding = caller.state === "holding"
    caller.state = "done"
    caller.exit = exit
    if (Exit.isSuccess(exit)) return
    const waited = this.waited(caller)
    const who = `${caller.number}, which has waited ${waited} ms,`
    if (Cause.isInterruptedOnly(exit.cause)) {
      if (!caller.interrupted) this.wrong("R12", `${who} ends as if interrupted`)
      return
    }
    const failure = caller.failure
    if (failure === "body") return
    if (wasHolding) return this.wrong("R12", `${who} fails in its use: ${Cause.pretty(exit.cause)}`)
    if (failure === undefined) return this.failedHard(exit.cause)
    switch (failure._tag) {
      case "PoolClosed":
        if (this.closingAt === undefined && this.stats.state !== "draining") {
          this.wrong("R13", `${who} fails with PoolClosed`)
        }
        break
      case "PoolQueueFull":
        if (!wasFull || waited > 0) this.wrong("R4", `${who} fails with PoolQueueFull`)
        break
      case "PoolExhausted":
        return this.exhausted(failure, waited, who)
      case "Refused":
        if (failure.kind === "transient") this.wrong("R18", `${who} fails with a transient failure`)
        else if (failure.kind === "other") this.failedHard(exit.cause)
        else if (this.conns.some(({ holders, openedAt }) => holders.size > 0 && openedAt < this.now)) {
          this.wrong("R18", `${who} fails although there are good connections`)
        }
    }
  }

  private exhausted({ cause, limit, limitMillis, stats, wasOwed }: PoolExhausted, waited: number, who: string): void {
    const { acquireTimeout, connectTimeout, maxwait, outageTimeout, retries, whenFull } = this.options
    if (limit === "connectRetry") {
      if (retries === Infinity || cause === undefined) this.wrong("R18", `${who} is given up`)
      return
    }
    const { full, outage, owed } = limitsOf(this.options)
    const mayHave = wasOwed ? owed : full
    if (waited < mayHave) this.wrong("R4", `${who} fails with PoolExhausted, but may wait ${mayHave} ms`)
    // When `connectRetry` has come to its end the outage is taken for over.
    const isOutage = cause instanceof Refused && cause.kind === "transient" && retries === Infinity
    if (isOutage && waited < outage) this.wrong("R18", `${who} does not outlast the outage`)
    if (stats.waiting === 1 && wasOwed !== stats.busy < stats.maxoverflow) {
      this.wrong("R4", `${who} hears that it was ${wasOwed ? "" : "not "}owed a connection`)
    }
    // Nothing ends each connection that is opened here.
    if (limit === "handOver") return this.wrong("I7", `${who} was given dead connections only`)
    const millis = { acquireTimeout, outageTimeout, maxwait, connectTimeout: maxwait + connectTimeout }[limit]
    const mayBe = whenFull === "fail" || limit === "acquireTimeout" || limit === "outageTimeout"
    if (!mayBe || millis !== limitMillis || waited < millis) {
      this.wrong("R4", `${who} hears of ${limit} (${limitMillis} ms)`)
    }
  }

  private failedHard(cause: Cause.Cause<unknown>): void {
    this.failedByConnect++
    if (this.failedByConnect > this.hardFailures) {
      this.wrong("R6", `more callers than connects fail, the last with ${Cause.pretty(cause)}`)
    }
  }

  /** How long somebody has waited, but for the time in which the pool was suspended. */
  private waited({ since }: Caller): number {
    const stoodStill = this.suspensions.map(({ from, to }) => Math.min(to, this.now) - Math.max(from, since))
    return this.now - since - stoodStill.reduce((sum, millis) => sum + Math.max(0, millis), 0)
  }

  // --- resources -------------------------------------------------------------------------------------------------

  private readonly acquire = Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const plan = (this.isHealed ? undefined : this.options.connects[this.conns.length]) ?? well
      const conn = new Conn(this.conns.length, this.now, plan, this.youngFor)
      conn.askedAt = this.now + (this.last.state === "closing" ? 0 : this.options.connectTimeout)
      if (Math.min(this.closingAt ?? Infinity, this.cutAt) < this.now) {
        this.wrong("R13", `#${conn.id} is dialled after the close`)
      }
      for (const eviction of this.evictions) conn.evict(eviction)
      this.conns.push(conn)
      const mask = plan.uninterruptible ? <A, E, R>(effect: Effect.Effect<A, E, R>) => effect : restore
      return mask(Effect.zipRight(pause(plan), this.outcome(conn))).pipe(
        Effect.onExit((exit) => Effect.sync(() => this.connected(conn, exit))),
        Effect.zipRight(Effect.addFinalizer(() => this.finalise(conn))),
        Effect.as(conn)
      )
    })
  )

  private outcome(conn: Conn): Effect.Effect<void, Refused> {
    switch (conn.plan.end) {
      case "error":
        return new Refused({ id: conn.id, kind: "other" })
      case "transient":
        return new Refused({ id: conn.id, kind: "transient" })
      case "permanent":
        return new Refused({ id: conn.id, kind: "permanent" })
      case "die":
        return Effect.die(new Error(`#${conn.id} died`))
      case "selfInterrupt":
        return Effect.interrupt
      default:
        return Effect.void
    }
  }

  private connected(conn: Conn, exit: Exit.Exit<void, Refused>): void {
    // Maybe in this moment.
    if (conn.plan.uninterruptible && this.isHopeless(conn)) this.noticeGivenUp()
    const inTime = this.now < conn.askedAt
    if (!inTime) this.badAt = this.otherBadAt = Math.max(this.badAt, conn.askedAt)
    if (Exit.isSuccess(exit)) {
      conn.phase = "open"
      conn.openedAt = this.now
      conn.isWell(this.now)
      if (inTime) {
        this.connectTimes.unshift(this.now - conn.startedAt)
        this.successes++
        this.goodAt = this.now
        conn.askedAt = Infinity
      }
      return
    }
    conn.phase = "closed"
    if (!inTime) return
    if (Exit.isInterrupted(exit) && conn.plan.end !== "selfInterrupt") return this.givenUp(conn)
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

  private isOpening({ askedAt, phase }: Conn): boolean {
    return phase === "connecting" && this.now < askedAt
  }

  /** Where connects take longer the next ones are relied on for longer, by the quickest of the last few. */
  private get youngFor(): number {
    return Math.max(
      leastTrust,
      ...this.connectTimes.length === 0 ? [] : [1.5 * Math.min(...this.connectTimes.slice(0, 4))]
    )
  }

  private isHopeless(conn: Conn): boolean {
    return conn.isOutdated || this.now - conn.startedAt >= conn.youngFor
  }

  /** It hung, and its permit was lacking (R18). */
  private givenUp(conn: Conn): void {
    if (!this.isHopeless(conn)) this.wrong("R6", `#${conn.id} is given up though it may still be of use`)
    conn.askedAt = Math.min(conn.askedAt, this.now)
  }

  /** Of one that can't be interrupted it can only be seen that fewer are opening. */
  private noticeGivenUp(): void {
    if (this.closingAt !== undefined) return
    const isOpening = (conn: Conn) => this.isOpening(conn)
    while (this.stats.opening < this.conns.filter(isOpening).length) {
      const stale = this.conns.filter((conn) => isOpening(conn) && this.isHopeless(conn))
      const isOvertaken = (conn: Conn) => this.conns.some((other) => other.id > conn.id && other.openedAt <= this.now)
      const mayBe = (conn: Conn, n: number) => conn.plan.uninterruptible && (n > 0 || isOvertaken(conn))
      const conn = stale.find(mayBe)
      if (conn === undefined) return
      this.givenUp(conn)
    }
  }

  private finalise(conn: Conn): Effect.Effect<void> {
    return Effect.suspend(() => {
      conn.phase = "closing"
      conn.askedAt = Math.min(conn.askedAt, this.now)
      this.isReplaced(conn)
      if (++conn.closes > 1) this.wrong("I4", `#${conn.id} is closed twice`)
      const forcedAt = Math.min((this.closingAt ?? Infinity) + this.options.closeTimeout, this.cutAt)
      if (conn.holders.size > 0 && this.now < forcedAt) {
        this.wrong("I4", `#${conn.id} is closed while ${conn.holder?.number} has it`)
      }
      return conn.plan.closeDelay > 0 ? Effect.sleep(conn.plan.closeDelay) : Effect.void
    }).pipe(
      Effect.zipRight(Effect.sync(() => conn.phase = "closed")),
      Effect.zipRight(conn.plan.closeDies ? Effect.die(new Error(`the close of #${conn.id} died`)) : Effect.void)
    )
  }

  /** R19: what is evicted softly goes when a newer one has opened, or where no permit is free. */
  private isReplaced(conn: Conn): void {
    const reason = [...this.state["connections"].all].find(({ value }) => value === conn)?.closeReason
    if (reason !== "evicted" || conn.evictedAt <= this.now) return
    const means = ({ before, isSoft }: Eviction) => isSoft && conn.id < before
    const evictions = this.evictions.filter(means)
    this.expect(evictions.length > 0, "R19", () => `#${conn.id} is evicted, though nobody asked for that`)
    // One that is shared may have been told before.
    const toldAt = this.options.share === 1 ? this.now : Math.min(...evictions.map(({ from }) => from))
    if (this.fullAt >= toldAt) return
    const newer = (least: number) => this.conns.filter(({ id, openedAt }) => id >= least && openedAt <= this.now).length
    const isFollowed = evictions.some(({ before }) => newer(before) > 0)
    this.expect(isFollowed, "R19", () => `#${conn.id} is evicted before a newer one is open`)
    const first = Math.min(...this.evictions.filter(({ isSoft }) => isSoft).map(({ before }) => before))
    const opened = newer(first)
    this.expect(++this.replaced <= opened, "R19", () => `${this.replaced} are evicted for ${opened} that have opened`)
  }

  private readonly check = (conn: Conn) => this.work(conn, "check", this.options.checks[this.checksRun++], () => {})
  private readonly reset = (conn: Conn) =>
    this.work(conn, "reset", this.options.resets[this.resetsRun++], () => conn.dirty = false)

  private work(
    conn: Conn,
    kind: "check" | "reset",
    planned: WorkPlan | undefined,
    succeed: () => void
  ): Effect.Effect<void, string> {
    const plan = (this.isHealed ? undefined : planned) ?? fine
    const effect = Effect.suspend(() => {
      if (conn.phase !== "open") this.wrong("R11", `#${conn.id} is checked or reset while it is ${conn.phase}`)
      if (conn.holders.size > 0) this.wrong("R11", `#${conn.id} is checked or reset while somebody has it`)
      const since = this.now
      conn.work = { since }
      return pause(plan).pipe(
        Effect.zipRight(plan.end === "error" ? Effect.fail(`#${conn.id} is not well`) : Effect.void),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            conn.work = undefined
            const deadline = since + this.options.cleanupTimeout
            if (this.now >= deadline) this.suspectAt(deadline)
            else if (kind === "check" && Exit.isFailure(exit)) this.suspectAt(this.now)
            if (Exit.isFailure(exit) || this.now >= deadline) conn.dead = true
            else {
              conn.isWell(this.now)
              succeed()
            }
          })
        )
      )
    })
    return plan.uninterruptible ? Effect.uninterruptible(effect) : effect
  }

  private suspectAt(time: number): void {
    this.suspectedAt = Math.max(this.suspectedAt, time)
  }

  // --- the rules -------------------------------------------------------------------------------------------------

  private wrong(rule: string, what: string): void {
    this.wrongs.push(`${rule}: at ${this.now} ms ${what}`)
  }

  private expect(holds: boolean, rule: string, what: () => string): void {
    if (!holds) this.wrong(rule, `${what()} (${JSON.stringify(this.stats)})`)
  }

  /** Throws what was found wrong so far. */
  private throwWrongs(): void {
    if (this.wrongs.length > 0) throw new Violation(this.wrongs.join("\n"))
  }

  private isLeftBehind(conn: Conn): boolean {
    return conn.askedAt + this.options.cleanupTimeout <= this.now
  }

  /** What holds at every instant, whatever is under way. */
  private atEveryTask(): void {
    if (!this.isReady) return
    const { last, stats } = this
    const { busy, checking, closing, idle, maxoverflow, maxsize, opening, size, waiting } = stats
    if (stats.state === "suspended" && last.state !== "suspended") {
      this.suspensions.push({ from: this.now, to: Infinity })
      this.evicted(0, false)
    }
    if (stats.state !== "suspended" && last.state === "suspended") this.suspensions.at(-1)!.to = this.now
    // A close that was asked for in this moment may take some more steps until it comes to that.
    if ((stats.state === "closing" && last.state !== "closing") || this.cutAt <= this.now) {
      for (const conn of this.conns) if (conn.phase === "connecting") conn.askedAt = Math.min(conn.askedAt, this.now)
    }
    if (stats.state === "suspended") {
      this.expect(opening <= last.opening, "suspend", () => "a connect starts while the pool is suspended")
    }
    this.last = stats
    if (size >= maxoverflow) this.fullAt = this.now
    this.expect(opening + idle + busy + checking + closing === size, "I1", () => "the states don't add up to size")
    this.expect(Math.min(opening, idle, busy, checking, closing, waiting) >= 0, "I1", () => "a count is negative")
    this.expect(size <= maxoverflow || size <= last.size, "I1", () => `size is above maxoverflow and was ${last.size}`)
    this.expect(size <= maxoverflow || opening <= last.opening, "I1", () => "a connect starts above maxoverflow")
    const mayIdle = this.options.isAuto ? maxoverflow : maxsize
    this.expect(idle <= mayIdle, "I2", () => `more than ${mayIdle} are idle`)
    if (this.closingAt === undefined) {
      const excused = this.options.canCheck && checking * this.share >= waiting
      this.expect(waiting === 0 || idle === 0 || excused, "I2", () => "somebody waits while a connection is idle")
      this.expect(
        opening <= last.opening || this.mayOpen(last, stats),
        "R4",
        () => "a connect starts that nobody needs"
      )
    }
    const real = this.conns.filter((conn) => conn.phase !== "closed" && !this.isLeftBehind(conn)).length
    this.expect(real <= size, "I1", () => `${real} are really open`)
  }

  /** Whether somebody is due: below maxsize at once, else after maxwait (R3, R4). "auto" has to see somebody wait. */
  private mayOpen(last: PoolStats, { maxsize, size }: PoolStats): boolean {
    const { minsize, warm } = this.options
    if (
      minsize > 0 || warm > 0 || this.hasResized || this.evictions.length > 0 || this.badAt > -Infinity ||
      this.hardFailures > 0
    ) return true
    const isYoung = this.conns.every((conn) => conn.phase !== "connecting" || conn.startedAt + conn.youngFor > this.now)
    if (!isYoung || size <= maxsize) return true
    const least = this.options.isAuto ? 0 : this.options.maxwait
    return this.callers.some((caller) => caller.state === "waiting" && this.waited(caller) >= least)
  }

  /** What holds when all is quiet until time passes or somebody does something. */
  private whenQuiet(): void {
    if (!this.isReady) return
    const { conns, now, options, stats } = this
    const { cleanupTimeout, connectConcurrency, connectTimeout } = options
    const isOpening = (conn: Conn) => this.isOpening(conn)
    this.noticeGivenUp()
    const isWorking = (conn: Conn) =>
      conn.phase === "open" && conn.work !== undefined && conn.work.since + cleanupTimeout > now
    const count = (is: (conn: Conn) => boolean) => conns.filter(is).length
    const held = count((conn) => conn.holders.size > 0 && conn.phase === "open")
    const real = {
      opening: count(isOpening),
      busy: held,
      checking: count(isWorking),
      idle: count((conn) => conn.phase === "open" && conn.holders.size === 0 && !isWorking(conn)),
      closing: count((conn) =>
        (conn.phase === "closing" || (conn.phase === "connecting" && !isOpening(conn))) && !this.isLeftBehind(conn)
      ),
      waiting: this.callers.filter(({ state }) => state === "waiting").length
    }
    for (const [name, n] of Object.entries(real)) {
      this.expect(stats[name as keyof typeof real] === n, "I1", () => `${name} is really ${n}`)
    }
    const late = this.callers.find(({ interrupted, state }) => interrupted && state !== "done" && state !== "lingering")
    this.expect(late === undefined, "R12", () => `${late?.number} was interrupted and goes on`)
    this.expect(
      this.dialled === conns.length,
      "I4",
      () => `${this.dialled} are open or closed, ${conns.length} dialled`
    )
    if (this.closingAt !== undefined || this.cutAt <= now) {
      this.expect(stats.waiting === 0, "R13", () => "somebody waits while the pool closes")
      if (this.closeFiber !== undefined && this.closeFiber.unsafePoll() !== null) this.nothingIsLeft()
      return
    }
    const old = conns.find((conn) => conn.phase === "open" && conn.holders.size === 0 && conn.evictedAt <= now)
    // Its successor may be opening.
    const mayIdle = old === undefined || isWorking(old) || (options.minsize > 0 && stats.opening > 0)
    this.expect(mayIdle, "R19", () => `#${old?.id} was evicted and idles`)
    this.expect(stats.opened === this.successes, "I4", () => `${this.successes} were opened`)
    for (const conn of conns) {
      if (conn.phase === "connecting" && conn.askedAt === now) this.badAt = this.otherBadAt = now
    }

    this.evictionGoesOn(real.opening + real.closing > 0)

    // Promptness (I2, I6).
    const waiting = this.callers.filter(({ state }) => state === "waiting")
    const isYoung = (conn: Conn) => now - conn.startedAt < Math.min(conn.youngFor, connectTimeout) && !conn.isOutdated
    const cover = count((conn) => isOpening(conn) && isYoung(conn))
    this.expect(cover <= connectConcurrency, "R6", () => `${cover} connects are under way`)
    const isOutage = this.badAt >= this.goodAt && this.badAt > -Infinity
    const mayRetry = cover === 0 && now - Math.max(this.badAt, this.quietUntil) >= retryDelay
    const mayConnect = stats.size < stats.maxoverflow && stats.state !== "suspended" &&
      (isOutage ? mayRetry : cover < connectConcurrency)
    if (mayConnect) {
      const due = neededBy(waiting.filter((caller) => this.waited(caller) >= options.maxwait), this.share)
      this.expect(
        due <= cover,
        "I6",
        () => `for ${due} resources somebody has waited for maxwait, ${cover} connects are under way`
      )
      const stuck = stats.opening - cover
      const isShort = stats.size - stuck < stats.maxsize && neededBy(waiting, this.share) > cover + stats.checking
      this.expect(!isShort, "R3", () => `${cover} connects are under way`)
    }
    if (options.canCheck) {
      // What can't be interrupted goes on when the pool has long given it up.
      for (const { work } of conns) {
        if (work !== undefined && work.since + cleanupTimeout <= now) this.suspectAt(work.since + cleanupTimeout)
      }
      const ready = conns.filter((conn) =>
        conn.phase === "open" && conn.holders.size === 0 && conn.work === undefined &&
        conn.provenAt > this.suspectedAt && now - conn.provenAt <= options.validateAfterIdle
      )
      this.expect(waiting.length === 0 || ready.length === 0, "I2", () => `#${ready[0].id} needs no check`)
    }
    this.noPlaceIsLeftFree(waiting)
    const limits = limitsOf(options)
    let places = Math.max(0, stats.maxoverflow - stats.busy) * this.share
    const outageUntil = this.badAt === -Infinity ? -Infinity : isOutage ? Infinity : this.goodAt
    for (const caller of waiting) {
      const sawOutage = caller.since <= outageUntil || this.suspensions.length > 0
      const takes = caller.shares ? 1 : this.share
      const isOwed = places >= takes
      if (isOwed) places -= takes
      const limit = sawOutage ? limits.outage : isOwed ? limits.owed : limits.full
      const waited = this.waited(caller)
      this.expect(
        waited < limit || stats.state === "suspended",
        "I6",
        () => `${caller.number} waits for ${waited} ms, the limit is ${limit}`
      )
    }
    const isRefused = this.permanentAt > Math.max(this.goodAt, this.otherBadAt) &&
      now < this.permanentAt + quietTime && stats.size === stats.opening
    if (isRefused && stats.state !== "suspended") {
      this.expect(waiting.length === 0, "R18", () => "somebody waits for what was refused for good")
    }
  }

  /** R19: while connects succeed nothing that is to be replaced is at rest. */
  private evictionGoesOn(isUnderWay: boolean): void {
    const mayWait = isUnderWay || this.stats.state !== "open" || this.badAt >= this.goodAt && this.badAt > -Infinity ||
      this.options.retries < Infinity
    const old = this.conns.find(({ holders, phase, replacedFrom, work }) =>
      phase === "open" && holders.size === 0 && work === undefined && replacedFrom <= this.now
    )
    this.expect(mayWait || old === undefined, "R19", () => `#${old?.id} is not replaced`)
  }

  /** I2, for those who share: places are only kept from them for those who came before them. */
  private noPlaceIsLeftFree(waiting: ReadonlyArray<Caller>): void {
    const { closing, maxoverflow, size, state } = this.stats
    const sharer = waiting.find(({ shares }) => shares)
    if (sharer === undefined || state === "suspended") return
    const known = { now: this.now, suspectedAt: this.suspectedAt, usedUnseenAt: this.lastInterruptAt }
    const room = this.conns.filter((conn) => hasRoom(conn, this.options, known))
    const older = waiting.filter(({ number, shares }) => !shares && number < sharer.number).length
    const surplus = Math.max(0, size - closing - maxoverflow)
    this.expect(
      room.length <= older + surplus,
      "I2",
      () => `${sharer.number} waits while #${room.map(({ id }) => id).join()} have room, and ${older} came before`
    )
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** All users finish, and what is ill is well again. */
  finishAll(): void {
    this.isHealed = true
    for (const caller of this.callers) caller.finish()
    // Beyond all timeouts, a hundred times over, and the life of every connection that is slow to close.
    for (let i = 0; i < 130; i++) {
      for (const caller of this.callers) caller.finish()
      this.advance(500)
    }
    this.expect(this.callers.every(({ state }) => state === "done"), "I8", () => "somebody is left")
    this.throwWrongs()
  }

  /** I8: the pool can serve `maxoverflow` at once; a drained one has come to its end. */
  servesMaxoverflow(): void {
    const { maxoverflow, size, state } = this.stats
    if (state === "draining") {
      this.expect(size === 0 && this.drainFiber?.unsafePoll() !== null, "drain", () => "the drain does not end")
      return
    }
    // Nobody waits for so long that he is due above maxsize.
    if (this.options.acquireTimeout < this.options.maxwait) return
    const callers: Array<Caller> = []
    for (let i = 0; i < maxoverflow; i++) {
      callers.push(this.take({ by: i % 2 === 0 ? "use" : "get" }))
      this.advance(this.options.maxwait)
    }
    const serves = callers.filter(({ state }) => state === "holding").length
    this.expect(serves === maxoverflow, "I8", () => `it serves ${serves} at once`)
    for (const caller of callers) caller.finish()
    this.settle()
    this.servesSharers()
  }

  /** Every place is back, where none of them can have come to its end meanwhile. */
  private servesSharers(): void {
    const { expires, maxUses, maxwait } = this.options
    if (maxUses !== undefined || expires < 60_000 || this.share === 1) return
    // What is left of a longer life may be too short.
    this.evict({ now: true })
    this.settle()
    const callers: Array<Caller> = []
    while (callers.length < this.share * this.stats.maxoverflow) {
      callers.push(this.take({ by: "sharing" }))
      this.advance(maxwait)
    }
    const serves = callers.filter(({ state }) => state === "holding").length
    this.expect(serves === callers.length, "I8", () => `${serves} of ${callers.length} share what there is`)
    for (const caller of callers) caller.finish()
    this.settle()
  }

  /** R9: a quiet pool settles on its `minsize` latest connections; with none, nothing is left at all. */
  comesToRest(): void {
    const { expires, minsize } = this.options
    // It opens nothing by itself.
    const kept = Math.min(minsize, this.stats.idle)
    this.advance(expires + 50_000)
    this.expect(this.stats.size === kept, "R9", () => `a quiet pool has not settled on ${kept}`)
    if (minsize === 0) {
      this.expect(this.sim.timersSet === 0, "R9", () => `a pool at rest has ${this.sim.timersSet} timers`)
      this.expect(this.sim.alive.size === 0, "R9", () => `a pool at rest has ${this.sim.alive.size} fibers`)
    }
    this.throwWrongs()
  }

  /** R13, I5: closes, and nothing is left of the pool; nor of its users' resources, in the end. */
  closes(): void {
    if (this.closeFiber === undefined) this.close()
    this.settle()
    const late = this.take()
    this.expect(
      late.failure !== undefined && late.failure !== "body" && late.failure._tag === "PoolClosed",
      "R13",
      () => "a newcomer does not fail at once"
    )
    const { cleanupTimeout, closeTimeout } = this.options
    this.advance(Math.max(0, this.closingAt! + closeTimeout + cleanupTimeout - this.now))
    this.expect(this.closeFiber!.unsafePoll() !== null, "R13", () => "the close takes too long")
    for (const caller of this.callers) caller.finish()
    this.settle()
    // What could not be interrupted ends by itself.
    this.advance(60_000)
    for (const conn of this.conns) {
      this.expect(conn.phase === "closed", "I5", () => `#${conn.id} is ${conn.phase} after the close`)
      const isOnce = conn.closes === (Number.isNaN(conn.openedAt) ? 0 : 1)
      this.expect(isOnce, "I4", () => `#${conn.id} was closed ${conn.closes} times`)
    }
    this.nothingIsLeft()
    this.throwWrongs()
  }

  /** But for what users still have, and what could not be interrupted. */
  private nothingIsLeft(): void {
    this.expect(this.stats.size === 0, "I5", () => "permits are in use after the close")
    const isLeft = this.conns.some(({ cancels, holders, phase, work }) =>
      phase !== "closed" || work !== undefined || cancels > 0 || holders.size > 0
    )
    if (isLeft || this.callers.some(({ state }) => state !== "done")) return
    this.expect(this.sim.alive.size === 0, "I5", () => `${this.sim.alive.size} fibers are left after the close`)
    this.expect(this.sim.timersSet === 0, "I5", () => `${this.sim.timersSet} timers are left after the close`)
  }
}

/** What takes for ever but can't be interrupted takes long instead, so that it can be seen what comes after it. */
const pause = (plan: ConnectPlan | WorkPlan): Effect.Effect<void> =>
  plan.end === "never"
    ? plan.uninterruptible ? Effect.sleep(20_003) : Effect.never
    : plan.delay > 0
    ? Effect.sleep(plan.delay)
    : Effect.void
