/** @internal */
import type { PoolError } from "../../PoolError.js"
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import { Connections } from "./connections.js"
import { ConnectWatch } from "./connectWatch.js"
import { Demand } from "./demand.js"
import { Evictor } from "./evictor.js"
import { Fitness } from "./fitness.js"
import type { WaitPolicy } from "./forecast.js"
import { makeWaitPolicy } from "./forecast.js"
import { Holders } from "./holders.js"
import { Leaks } from "./leaks.js"
import { Lifecycle } from "./lifecycle.js"
import type { Attempts, Lender, LoanState } from "./loan.js"
import { Loan } from "./loan.js"
import { News } from "./news.js"
import { Operator } from "./operator.js"
import { Outage } from "./outage.js"
import type { Outbox } from "./outbox.js"
import { Permits } from "./permits.js"
import type { Port } from "./port.js"
import { Proof } from "./proof.js"
import { askedFor, Refusals } from "./refusals.js"
import { Rounds } from "./rounds.js"
import type { Borrower, Failure } from "./runtime.js"
import { succeeded } from "./runtime.js"
import type { Environment, Resource, Settings } from "./settings.js"
import { Sharing } from "./sharing.js"
import type { Command, Slot, State } from "./slot.js"
import { Supply } from "./supply.js"
import { Sweeper } from "./sweeper.js"
import { Tally } from "./tally.js"
import { Timekeeper } from "./timekeeper.js"
import type { End } from "./waiters.js"
import { Waiter, Waiters } from "./waiters.js"

/**
 * The state machine. Every method runs to its end without suspending, so each is a critical section; what it has to
 * tell the outside waits in the outbox until it has ended. They stand in the order of a request's life: take, wait,
 * release, retire. Connects, and what becomes of them, are in `Supply`; which connections serve, in `Fitness`; what time
 * does, in `Timekeeper`, `Sweeper` and `ConnectWatch`; what its operator does to all, in `Evictor` and `Operator`.
 *
 * @internal
 */
export class ElasticPoolState<A, E> implements Port<A, E>, Lender<A> {
  // The books.
  readonly connections = new Connections<A>()
  private readonly idle = this.connections.idle
  readonly waiters: Waiters<A, E | PoolError>
  readonly sharing: Sharing<A, E | PoolError>
  readonly tally: Tally
  readonly permits: Permits
  readonly demand: Demand<A, E | PoolError>
  readonly waitPolicy: WaitPolicy
  readonly fitness: Fitness<A> = new Fitness(this)
  readonly refusals: Refusals<A, E> = new Refusals(this)
  private readonly outbox: Outbox

  // The parts that act on them.
  readonly supply: Supply<A, E> = new Supply(this)
  readonly outage: Outage<E>
  readonly timekeeper: Timekeeper<A, E>
  readonly evictor: Evictor<A>
  readonly sweeper: Sweeper<A>
  readonly connectWatch: ConnectWatch<A>
  readonly leaks: Leaks<A>
  readonly holders: Holders<A> = new Holders(this)
  readonly news: News<A>
  readonly proof: Proof<A> = new Proof(this)
  readonly rounds: Rounds
  readonly operator: Operator<A, E> = new Operator(this)
  readonly lifecycle: Lifecycle

  constructor(
    readonly settings: Settings,
    readonly resource: Resource<A, E>,
    readonly env: Environment
  ) {
    this.outbox = env.outbox
    this.tally = new Tally(env.makeMeter?.(this))
    this.waiters = new Waiters(settings.share, this.outbox, this.tally)
    this.sharing = new Sharing(settings, this.waiters, this)
    this.permits = new Permits(settings.maxsize, settings.maxoverflow)
    this.outage = new Outage(settings.connectRetry, env.io, env.log, this)
    this.demand = new Demand(settings, this.waiters, this.tally, this.outage)
    this.waitPolicy = makeWaitPolicy(settings, env)
    this.timekeeper = new Timekeeper(this.waiters, this.outage, this.waitPolicy, settings, env, this)
    this.evictor = new Evictor(env, this.connections, this)
    this.sweeper = new Sweeper(settings, this.waitPolicy, env, this.connections, this.evictor, this)
    this.connectWatch = new ConnectWatch(settings.connectTimeout, env.io, this.connections.opening, this)
    this.leaks = new Leaks(settings.leakThreshold, env, env.log, this)
    this.news = new News(this)
    this.rounds = new Rounds(this)
    this.lifecycle = new Lifecycle(settings, env, this)
  }

  // --- take ------------------------------------------------------------------------------------------------------

  /** Lends a connection that is ready (R2), or refuses; else nothing: then its caller is to `wait`. */
  take(borrower?: Borrower, attempts?: Attempts): Loan<A> | Failure<PoolError> | undefined {
    this.outbox.enter()
    try {
      return this.takeNow(this.env.now(), false, borrower, attempts) ?? this.refusals.of(attempts, borrower)
    } finally {
      this.outbox.leave()
    }
  }

  /**
   * The same for a caller that is no fiber, and so can use a connection in the moment in which it is handed over: `end`
   * is called as soon as no section runs, which is before this returns, unless the caller is being told something
   * itself. A caller that `shares` also takes a place on a connection that others share.
   *
   * Gives nothing where a connection was ready and the caller has been told so.
   */
  request(
    shares: boolean,
    end: End<A, E | PoolError>,
    borrower?: Borrower,
    attempts?: Attempts
  ): Waiter<A, E | PoolError> | undefined {
    const { isAtRest } = this.outbox
    const taken = this.outbox.section(() => {
      const now = this.env.now()
      const loan = this.takeNow(now, shares, borrower, attempts)
      // It is told at once, so it needs no way to leave.
      if (loan !== undefined && isAtRest) return loan
      const waiter = new Waiter(now, shares, end, borrower)
      const refusal = loan === undefined ? this.refusals.of(attempts, borrower) : undefined
      if (loan !== undefined) this.waiters.serve(waiter, loan)
      else if (refusal !== undefined) this.waiters.fail(waiter, refusal)
      else this.enqueue(waiter, now)
      return waiter
    })
    if (taken instanceof Waiter) return taken
    this.outbox.tellNow(end, succeeded(taken))
    return undefined
  }

  private takeNow(
    now: number,
    shares: boolean,
    borrower: Borrower | undefined,
    attempts: Attempts | undefined
  ): Loan<A> | undefined {
    if (!this.refusals.admits(attempts)) return undefined
    this.waitPolicy.asked(now)
    this.rounds.asked(now)
    // Sharers ahead in the queue are not passed (R11). Waiters that want a connection for themselves can't use this
    // one.
    const mayJoin = shares && this.waiters.sharer === undefined
    const ready = (mayJoin ? this.sharing.find(now) : undefined) ?? this.takeReady(now)
    return ready === undefined ? undefined : this.lend(ready, now, shares, borrower)
  }

  /** The idle connection that was used last and needs no check. Expired and dead ones met on the way are retired. */
  private takeReady(now: number): Slot<A> | undefined {
    // R11: no newcomer passes a waiter.
    if (this.waiters.size > 0) return undefined
    while (this.idle.last !== undefined) {
      const { last } = this.idle
      const over = this.fitness.over(last, now)
      // No other one was known to be well later.
      if (over === undefined) return this.fitness.needsCheck(last, now) ? undefined : last
      this.retire(last, over)
    }
  }

  private lend(
    slot: Slot<A>,
    now: number,
    shares: boolean,
    borrower: Borrower | undefined,
    waiter?: Waiter<A, E | PoolError>
  ): Loan<A> {
    if (slot.borrowers === 0) this.enter(slot, "busy")
    const waited = waiter === undefined ? undefined : now - waiter.since
    const loan = new Loan(this, slot, now, borrower, shares, waited, waiter?.asked)
    slot.lent(loan)
    this.holders.changed()
    if (shares) this.sharing.changed(slot)
    this.waitPolicy.lent(loan)
    this.leaks.watch(loan)
    return loan
  }

  /** A caller that had lost another connection before is counted once. */
  begins(loan: Loan<A>, wasServed: boolean): boolean {
    const isUsable = this.fitness.isUsable(loan.slot)
    if (isUsable && !wasServed) this.tally.lent(loan.waited, loan.since)
    return isUsable
  }

  // --- wait ------------------------------------------------------------------------------------------------------

  /** A place in the queue. `end` tells how the wait has ended; a caller that gives up before that is to `leave`. */
  wait(end: End<A, E | PoolError>, borrower?: Borrower): Waiter<A, E | PoolError> {
    return this.outbox.section(() => {
      const now = this.env.now()
      return this.enqueue(new Waiter(now, false, end, borrower), now)
    })
  }

  private enqueue(waiter: Waiter<A, E | PoolError>, now: number): Waiter<A, E | PoolError> {
    this.waiters.push(waiter)
    this.serve(now)
    if (waiter.queued && this.lifecycle.serves) this.timekeeper.watch(waiter)
    return waiter
  }

  /** Ends a wait that was interrupted or failed. A connection that it was handed meanwhile goes back (R12). */
  leave(waiter: Waiter<A, E | PoolError>): void {
    this.outbox.section(() => {
      if (waiter.queued) this.refusals.left(waiter)
      this.waiters.leave(waiter)
      waiter.loan?.end()
      this.serve()
    })
  }

  /** The pool is made: `warm` is demand. */
  start(): void {
    this.outbox.section(() => this.serve())
  }

  /** Whatever changes supply or demand ends here. Gives the waiters what there is. */
  serve(now = this.env.now()): void {
    if (this.lifecycle.serves) {
      do {
        this.share(now)
        this.check(now)
        this.connectDue(now)
      } while (this.timekeeper.refuseLate(now))
      if (this.lifecycle.state === "open") this.sweeper.renew()
    }
    this.lifecycle.look()
  }

  /** Gives sharers places on connections that others use. */
  private share(now: number): void {
    while (this.waiters.sharer !== undefined) {
      const slot = this.sharing.find(now)
      if (slot === undefined) return
      this.handTo(this.waiters.sharer, slot, now)
    }
  }

  /** Checks idle connections: those that need no check are never idle while a caller waits. */
  private check(now: number): void {
    while (this.waiters.needed > this.tally.in.checking && this.checkLast(now));
  }

  /** Has the idle connection that was used last checked. Returns whether there is one. */
  checkLast(now: number): boolean {
    while (this.idle.last !== undefined) {
      const { last } = this.idle
      const over = this.fitness.over(last, now)
      if (over === undefined) {
        this.instruct(last, "check")
        return true
      }
      this.retire(last, over)
    }
    return false
  }

  private connectDue(now: number): void {
    if (this.outage.verdict !== undefined && this.tally.open === 0) this.refusals.allFailed(this.outage.verdict)
    const { checking } = this.tally.in
    const waiting = this.waiters.size - checking * this.settings.share
    this.timekeeper.markDue(now)
    this.waiters.makeDue(this.waitPolicy.due(waiting, checking, now))
    this.demand.markDue()
    while (this.demand.wantsConnect && this.demand.mayConnect) {
      this.supply.connect()
      // Another waiter may be due now, beside the one that this connect covers.
      this.demand.markDue()
    }
    if (!this.demand.lacksPermit) return
    this.supply.giveUpHopeless()
    this.share(now)
  }

  private handTo(waiter: Waiter<A, E | PoolError>, slot: Slot<A>, now: number): void {
    this.waiters.serve(waiter, this.lend(slot, now, waiter.shares, waiter.borrower, waiter))
  }

  // --- release ---------------------------------------------------------------------------------------------------

  /** R7; first match wins. Called by the loan, once. */
  release(loan: Loan<A>, was: LoanState): void {
    this.outbox.enter()
    try {
      const now = this.env.now()
      if (loan.leakWatch !== undefined) this.leaks.end(loan.leakWatch)
      if (was === "inUse") this.wasUsed(loan, now)
      // Its caller was interrupted after the hand-over.
      else if (was === "handedOver") this.refusals.left(askedFor(loan))
      this.holders.changed()
      const { slot } = loan
      slot.returned(loan, now)
      // It was closed under its borrower (R13).
      if (slot.state !== "busy") return
      const isAwaited = this.waiters.size > 0
      this.waitPolicy.returned(loan, now)
      this.giveBack(slot, now)
      if (isAwaited) this.serve(now)
    } finally {
      this.outbox.leave()
    }
  }

  private wasUsed(loan: Loan<A>, now: number): void {
    this.tally.returned(now - loan.since, now)
    if (!loan.isCutOff) this.news.loanEnded(loan, "returned", now)
  }

  private giveBack(slot: Slot<A>, now: number): void {
    if (slot.borrowers > 0) return this.sharing.changed(slot)
    const unfit = this.fitness.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else if (this.resource.needsReset(slot.value)) this.instruct(slot, "reset")
    else if (this.connections.isSuspect(slot)) this.instruct(slot, "check")
    else this.keep(slot, now)
  }

  /** A connect, a check or a reset has succeeded: the connection serves again. */
  ready(slot: Slot<A>): void {
    const now = this.env.now()
    this.connections.proven(slot, now)
    const unfit = this.fitness.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else this.keep(slot, now)
    this.serve(now)
  }

  private keep(slot: Slot<A>, now: number): void {
    if (!this.resource.isUsable(slot.value)) this.retire(slot, "invalidated")
    else if (this.waiters.first !== undefined) this.handTo(this.waiters.first, slot, now)
    else if (this.lifecycle.state === "draining") this.retire(slot, "closed")
    else if (this.fitness.keepsMore) this.rest(slot)
    else this.retire(slot, "surplus")
  }

  private rest(slot: Slot<A>): void {
    this.enter(slot, "idle")
    this.idle.push(slot)
    this.sweeper.watch(slot)
  }

  private instruct(slot: Slot<A>, command: Exclude<Command, "retire">): void {
    this.enter(slot, "checking")
    this.outbox.post(() => slot.give(command))
  }

  // --- retire ----------------------------------------------------------------------------------------------------

  /** It is broken: it goes, now or when it is given back. */
  invalidate(value: A): void {
    this.outbox.section(() => {
      this.connections.invalidate(value)
      const slot = this.connections.of(value)
      if (slot?.state === "idle") this.retire(slot, "invalidated")
    })
  }

  /** A connection was lost: what ended it may have ended others (R19). */
  lost(value: A): void {
    this.outbox.section(() => {
      const isNews = this.connections.seemsWell(value)
      this.invalidate(value)
      if (isNews && this.resource.canCheck) this.connections.suspect()
    })
  }

  retire(slot: Slot<A>, reason: CloseReason): void {
    this.enter(slot, "closing", reason)
    this.outbox.post(() => slot.give("retire"))
    // A pool that closes does not wait for the other side: no connect needs the permit.
    if (this.lifecycle.isClosing) this.interrupt(slot)
  }

  interrupt(slot: Slot<A>): void {
    this.outbox.post(() => slot.fiber === undefined ? undefined : this.env.interrupt(slot.fiber))
  }

  /** Nothing else takes a connection out of the books of those in its state. */
  enter(slot: Slot<A>, next: State, why?: CloseReason): void {
    const { isOpen: wasOpen, isShared: wasShared, state: was } = slot
    slot.enter(next, why)
    if (was === "idle") this.idle.remove(slot)
    else if (wasShared) this.sharing.remove(slot)
    else if (was === "opening") this.connections.opening.delete(slot)
    else if (was === "checking") this.proof.checked()
    this.tally.moved(was, next)
    if (was === "busy" && next === "closing") this.news.cutOff(slot)
    if (!wasOpen && slot.isOpen) this.sweeper.joins(slot)
    else if (wasOpen && !slot.isOpen) this.sweeper.leaves(slot)
  }

  stats(): PoolStats {
    const { maxoverflow, maxsize, name } = this.settings
    const { lifecycle, waiters: { first, size: waiting } } = this
    const now = this.env.now()
    const oldestWait = first === undefined ? 0 : lifecycle.waitOf(first, now)
    return { name, state: lifecycle.state, maxsize, maxoverflow, waiting, oldestWait, ...this.tally.stats(now) }
  }
}
