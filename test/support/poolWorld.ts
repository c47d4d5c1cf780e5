import { Effect, Exit, FiberId, Schedule, Scope } from "effect"
import type { Fiber } from "effect"
import type { ElasticPool } from "effect-pgpool"
import type { PoolStats } from "effect-pgpool/PoolStats"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { Simulation } from "./simulation.js"
import { Books } from "./world/books.js"
import { Chronicle } from "./world/chronicle.js"
import { Ending } from "./world/ending.js"
import { EveryInstant } from "./world/everyInstant.js"
import { Loans } from "./world/loans.js"
import { Mirror } from "./world/mirror.js"
import type { Conn, Refused, State, Take } from "./world/people.js"
import { Caller } from "./world/people.js"
import type { WorldOptions } from "./world/plans.js"
import { retryDelay } from "./world/plans.js"
import { Quiet } from "./world/quiet.js"
import { Requests } from "./world/requests.js"
import { Resources } from "./world/resources.js"
import { Seen } from "./world/seen.js"
import { shareOf } from "./world/sharing.js"

/**
 * A pool in a simulated world, the fake resources it opens and the callers that use it. It is the reference model too:
 * it keeps its own books of who waits, who holds what and what is really open, and compares them with what the pool
 * says: after each task what must hold at every instant, and when all is quiet what must hold between events.
 */
export class PoolWorld {
  readonly sim: Simulation
  readonly state: State
  readonly pool: ElasticPool.ElasticPool<Conn, Refused>
  readonly seen: Seen
  closeFiber: Fiber.RuntimeFiber<void> | undefined = undefined
  drainFiber: Fiber.RuntimeFiber<void> | undefined = undefined
  readonly chronicle: Chronicle
  private readonly books: Books
  private readonly resources: Resources
  private readonly loans: Loans
  private readonly requests: Requests
  private readonly everyInstant: EveryInstant
  private readonly quiet: Quiet
  private readonly ending: Ending
  private readonly scope = Effect.runSync(Scope.make())

  constructor(readonly options: WorldOptions) {
    this.sim = new Simulation(options.seed, () => this.atEveryTask(), () => this.whenQuiet())
    this.books = new Books(this.sim, options)
    this.seen = new Seen(this.books)
    this.resources = new Resources(this.books, this.seen)
    this.loans = new Loans(this.books, this.seen)
    this.everyInstant = new EveryInstant(this.books, this.seen)
    this.quiet = new Quiet(this.books)
    this.ending = new Ending(this, this.books)
    this.state = this.make()
    this.pool = fromState(this.state)
    this.requests = new Requests(this.books, this.loans)
    this.books.begin(this.state)
    this.chronicle = new Chronicle(this.books)
    this.seen.begun()
    this.settle()
  }

  private make(): State {
    const { canCheck, isAuto, reset, retries, share: _, ...rest } = this.options
    const make = makeState<Conn, Refused, never>({
      ...rest,
      maxwait: isAuto ? "auto" : rest.maxwait,
      connectRetry: Schedule.spaced(retryDelay).pipe(Schedule.intersect(Schedule.recurs(retries))),
      acquire: this.resources.acquire,
      isTransient: ({ kind }) => kind === "transient",
      isPermanent: ({ kind }) => kind === "permanent",
      check: canCheck ? this.resources.check : undefined,
      reset: reset === "none" ? undefined : this.resources.reset,
      needsReset: reset === "odd" ? (conn) => conn.id % 2 === 1 : undefined
    }, {
      share: shareOf(this.options),
      canShare: ({ cancels }) => cancels === 0,
      makeMeter: ({ settings }) => this.books.mirror = new Mirror(settings)
    })
    const exit = this.sim.fork(Scope.extend(make, this.scope)).unsafePoll()
    if (exit === null || Exit.isFailure(exit)) throw new Error(`the pool was not made: ${JSON.stringify(exit)}`)
    return exit.value
  }

  get now(): number {
    return this.sim.now
  }

  get conns(): ReadonlyArray<Conn> {
    return this.books.conns
  }

  get callers(): ReadonlyArray<Caller> {
    return this.books.callers
  }

  get stats(): PoolStats {
    return this.books.stats
  }

  // --- what callers do -------------------------------------------------------------------------------------------

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
    this.books.callers.push(caller)
    const body = (conn: Conn) => this.loans.hold(caller, conn, how)
    const getting = Effect.flatMap(this.pool.get, body)
    const lingering = Effect.addFinalizer(() => {
      caller.state = "lingering"
      return Effect.sleep(how.linger ?? 0)
    })
    const effect = how.by === "use" ? this.pool.use(body) : Effect.scoped(
      how.linger === undefined ? getting : Effect.zipRight(lingering, getting)
    )
    caller.fiber = this.sim.fork(effect)
    caller.hadToWait = caller.state === "waiting"
    caller.fiber.addObserver((exit) => this.loans.ended(caller, exit, wasFull))
    this.books.throwWrongs()
    return caller
  }

  interrupt(caller: Caller): void {
    if (caller.state === "done") return
    caller.interrupted = true
    if (caller.fiber === undefined) {
      this.requests.interrupt(caller)
      return this.look()
    }
    this.books.lastInterruptAt = this.now
    caller.fiber.unsafeInterruptAsFork(FiberId.none)
  }

  finish(caller: Caller): void {
    caller.finish()
    this.look()
  }

  // --- what happens to resources ---------------------------------------------------------------------------------

  /** Its owner hears that it was lost, as a session's socket tells: others may have been, too (R19). */
  lose(conn: Conn): void {
    this.seen.did("lose")
    const isKnown = !conn.mayBeInvalid && conn.openedAt < this.now && conn.holders.size > 0
    this.invalidated(conn)
    this.books.suspectAt(this.now)
    this.state.lost(conn)
    if (isKnown && this.options.canCheck) {
      for (const other of this.conns) other.suspect = other.phase === "open" && other.holders.size > 0
    }
    this.look()
  }

  invalidate(conn: Conn): void {
    this.seen.did("invalidate")
    this.invalidated(conn)
    this.byUser(this.pool.invalidate(conn))
  }

  private invalidated(conn: Conn): void {
    this.books.displaced += this.books.waiting.length - this.stats.waiting
    conn.mayBeInvalid = true
    // At the instant at which it opens the pool may not know it yet, and what it doesn't know is ignored.
    if (conn.openedAt < this.now) conn.invalidatedAt = Math.min(conn.invalidatedAt, this.now)
  }

  // --- what the pool's owner does --------------------------------------------------------------------------------

  resize(maxsize: number, maxoverflow: number): Fiber.RuntimeFiber<void> {
    this.seen.did("resize")
    this.books.hasResized = true
    return this.byUser(this.pool.resize({ maxsize, maxoverflow }))
  }

  /** In one step, so that it is known which connections it means. */
  evict(how: { readonly over: number } | { readonly now: true }): void {
    const isNow = "now" in how
    this.seen.did(isNow ? "evictNow" : "evict")
    this.byUser(Effect.sync(() => {
      if (isNow) this.books.evicted(0, false)
      // Else none is to be replaced.
      else if (this.stats.state === "open") this.books.evicted(how.over, true)
      Effect.runSync(this.pool.evict(how))
    }))
  }

  suspend(): void {
    this.seen.did("suspend")
    const fiber = this.byUser(Effect.flatMap(this.pool.suspend, (isEmpty) =>
      Effect.sync(() => {
        if (!isEmpty || this.stats.state !== "suspended") return
        this.books.expect(this.stats.size === 0, "suspend", () => "it says that no connection is left")
      })))
    fiber.addObserver(() => this.books.throwWrongs())
  }

  resume(): void {
    this.byUser(this.pool.resume)
  }

  drain(within?: number): void {
    this.seen.did("drain")
    if (within !== undefined) this.books.cutAt = Math.min(this.books.cutAt, this.now + within)
    this.drainFiber = this.byUser(within === undefined ? this.pool.drain : Effect.asVoid(this.pool.drain({ within })))
  }

  close(): void {
    this.seen.did("close")
    this.books.closingAt = this.now
    this.closeFiber = this.byUser(Scope.close(this.scope, Exit.void))
  }

  /** A fiber that may yield at any operation, as that of a user who has done much else before. */
  private byUser(effect: Effect.Effect<void>): Fiber.RuntimeFiber<void> {
    const fiber = this.sim.fork(Effect.zipRight(this.books.mayYield, effect))
    this.books.throwWrongs()
    return fiber
  }

  // --- time ------------------------------------------------------------------------------------------------------

  step(times: number): void {
    for (let i = 0; i < times && this.sim.step(); i++) this.books.throwWrongs()
  }

  settle(): void {
    this.sim.settle()
    this.books.throwWrongs()
  }

  advance(millis: number): void {
    this.sim.advance(millis)
    this.books.throwWrongs()
  }

  private look(): void {
    this.atEveryTask()
    this.books.throwWrongs()
  }

  private atEveryTask(): void {
    if (this.books.hasBegun) this.everyInstant.look()
  }

  private whenQuiet(): void {
    if (!this.books.hasBegun) return
    this.quiet.look()
    if (this.closeFiber !== undefined && this.closeFiber.unsafePoll() !== null) this.ending.nothingIsLeft()
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** All users finish, what is ill is well again, and the pool comes to rest. */
  calmsDown(): void {
    this.ending.finishAll()
    this.ending.servesMaxoverflow()
    this.ending.comesToRest()
  }

  /** R13, I5: closes, and nothing is left of the pool; nor of its users' resources, in the end. */
  closes(): void {
    this.ending.closes()
    this.books.expect(this.chronicle.wrong === undefined, "R39", () => this.chronicle.wrong!)
    this.books.throwWrongs()
  }
}
