/** @internal */
import type { PoolError } from "../../PoolError.js"
import { PoolClosed, PoolExhausted, PoolQueueFull } from "../../PoolError.js"
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import { wordsOf } from "../words.js"
import { Connections } from "./connections.js"
import { ConnectWatch } from "./connectWatch.js"
import { Demand } from "./demand.js"
import { Evictor } from "./evictor.js"
import type { WaitPolicy } from "./forecast.js"
import { makeWaitPolicy } from "./forecast.js"
import { Leaks } from "./leaks.js"
import type { Owner } from "./life.js"
import { connectBrokenOff, life } from "./life.js"
import { Lifecycle } from "./lifecycle.js"
import type { Refusal } from "./limits.js"
import type { Attempts, Lender } from "./loan.js"
import { Loan } from "./loan.js"
import { classify, Outage } from "./outage.js"
import type { Outbox } from "./outbox.js"
import { PermitMissing, Permits } from "./permits.js"
import type { Borrower, Failure, Outcome } from "./runtime.js"
import { defect, failed, failure, succeeded } from "./runtime.js"
import type { Environment, Resource, Settings } from "./settings.js"
import { Sharing } from "./sharing.js"
import type { Command, State } from "./slot.js"
import { Slot } from "./slot.js"
import { Sweeper } from "./sweeper.js"
import { Tally } from "./tally.js"
import { Timekeeper } from "./timekeeper.js"
import type { End } from "./waiters.js"
import { Waiter, Waiters } from "./waiters.js"

/**
 * The state machine. Every method runs to its end without suspending, so each is a critical section; what it has to tell
 * the outside waits in the outbox until it has ended. They stand in the order of a request's life: take, wait, connect,
 * hand over, release, retire; then what time does: waiters' deadlines, the sweep; then what its owner does: resize, drain
 * and the like.
 *
 * @internal
 */
export class ElasticPoolState<A, E> implements Owner<A, E>, Lender<A> {
  /** The fiber of a connection calls from outside. */
  private readonly owner: Owner<A, E> = {
    opened: (slot, value) => this.outbox.section(() => this.opened(slot, value)),
    openFailed: (slot, failure) => this.outbox.section(() => this.openFailed(slot, failure)),
    ready: (slot) => this.outbox.section(() => this.ready(slot)),
    lost: (value) => this.outbox.section(() => this.lost(value)),
    closing: (slot) => this.outbox.section(() => this.closing(slot))
  }
  private readonly outbox: Outbox
  private readonly connections = new Connections<A>()
  private readonly idle = this.connections.idle
  private readonly waiters: Waiters<A, E | PoolError>
  private readonly sharing: Sharing<A, E | PoolError>
  private readonly tally = new Tally()
  private readonly count = this.tally.in
  private readonly permits: Permits
  readonly outage: Outage<E>
  private readonly demand: Demand<A, E | PoolError>
  private readonly waitPolicy: WaitPolicy
  private readonly timekeeper: Timekeeper<A, E | PoolError>
  readonly evictor: Evictor<A>
  private readonly sweeper: Sweeper<A>
  private readonly connectWatch: ConnectWatch<A>
  readonly lifecycle: Lifecycle
  readonly leaks: Leaks<A>
  /** The defect for which the pool had to close. */
  private diedOf: Failure<never> | undefined = undefined

  constructor(
    readonly settings: Settings,
    private readonly resource: Resource<A, E>,
    readonly env: Environment
  ) {
    this.outbox = env.outbox
    this.waiters = new Waiters(settings.share, this.outbox)
    const canShare = (slot: Slot<A>) => !this.connections.isSuspect(slot) && resource.canShare(slot.value)
    this.sharing = new Sharing(settings, this.waiters, canShare, () => this.demand.surplus)
    this.permits = new Permits(settings.maxsize, settings.maxoverflow)
    this.outage = new Outage(settings.connectRetry, env.io, env.log, () => this.serve(), () => this.giveUp())
    this.demand = new Demand(settings, this.waiters, this.tally, this.outage)
    this.waitPolicy = makeWaitPolicy(settings, env)
    this.timekeeper = new Timekeeper(this.waiters, this.outage, this.waitPolicy, settings, env, {
      serve: (now) => this.serve(now),
      owed: () => this.demand.owed,
      refuse: (waiter, now, why) => {
        this.tally.timeouts++
        this.refuse(waiter, now, why)
      }
    })
    this.evictor = new Evictor(env, this.connections, {
      retire: (slot, reason) => this.retire(slot, reason),
      retireLater: (slot) => this.sweeper.retireLater(slot),
      uncover: (slot) => this.demand.uncover(slot),
      recount: () => this.sweeper.count(),
      serve: () => this.serve(),
      isOpen: () => this.lifecycle.state === "open",
      keeps: () => this.keepsMore,
      lacksRoom: () => this.demand.lacksRoom,
      outage: this.outage
    })
    this.sweeper = new Sweeper(settings, this.waitPolicy, env, this.connections, this.evictor, {
      retire: (slot, reason) => this.retire(slot, reason),
      serve: (now) => this.serve(now),
      mayConnect: () => this.demand.mayConnect,
      lacksRoom: () => this.demand.lacksRoom,
      connect: (old) => this.connect(old)
    })
    this.connectWatch = new ConnectWatch(settings.connectTimeout, env.io, this.connections.opening, (slots) => {
      for (const slot of slots) this.demand.uncover(slot)
      this.serve()
    })
    this.leaks = new Leaks(settings.leakThreshold, env, env.log, resource.describe)
    const timers = [this.timekeeper, this.sweeper, this.connectWatch, this.outage, this.leaks]
    this.lifecycle = new Lifecycle(settings, env, {
      stats: () => this.stats(),
      suspend: () => this.suspend(),
      resume: (suspendedAt, now) => this.resume(suspendedAt, now),
      drain: () => this.drain(),
      stop: () => timers.forEach((timer) => timer.stop()),
      close: () => this.close(),
      closeBusy: () => this.closeBusy()
    })
  }

  // --- take ------------------------------------------------------------------------------------------------------

  /** Lends a connection that is ready (R2), or refuses; else nothing: then its caller is to `wait`. */
  take(borrower?: Borrower, attempts?: Attempts): Outcome<Loan<A>, PoolError> | undefined {
    return this.outbox.section(() => {
      const loan = this.takeNow(this.env.now(), false, borrower, attempts)
      if (loan !== undefined) return succeeded(loan)
      const refusal = this.refusal(attempts)
      return refusal === undefined ? undefined : failed(refusal)
    })
  }

  /**
   * The same for a caller that is no fiber, and so can use a connection in the moment in which it is handed over: `end` is
   * called as soon as no section runs, which is before this returns, unless the caller is being told something itself. A
   * caller that `shares` makes do with a connection that others use as well, of the kind.
   */
  request(
    shares: boolean,
    end: End<A, E | PoolError>,
    borrower?: Borrower,
    attempts?: Attempts
  ): Waiter<A, E | PoolError> {
    return this.outbox.section(() => {
      const now = this.env.now()
      const waiter = new Waiter(now, shares, end, borrower)
      const loan = this.takeNow(now, shares, borrower, attempts)
      const refusal = loan === undefined ? this.refusal(attempts) : undefined
      if (loan !== undefined) this.waiters.serve(waiter, loan)
      else if (refusal !== undefined) this.waiters.fail(waiter, refusal)
      else this.enqueue(waiter, now)
      return waiter
    })
  }

  private takeNow(
    now: number,
    shares: boolean,
    borrower: Borrower | undefined,
    attempts: Attempts | undefined
  ): Loan<A> | undefined {
    if (!this.admits(attempts)) return undefined
    this.waitPolicy.asked(now)
    // What others share is of no use to those who wait for one of their own: they are not passed (R11).
    const mayJoin = shares && this.waiters.sharer === undefined
    const ready = (mayJoin ? this.sharing.find(now) : undefined) ?? this.takeReady(now)
    return ready === undefined ? undefined : this.lend(ready, now, shares, borrower)
  }

  /** A caller that has lost a connection was let in before: it is still served where newcomers are not. */
  private admits(attempts: Attempts | undefined): boolean {
    return attempts?.hasFailed === true ? !this.lifecycle.isClosing : this.lifecycle.admits
  }

  /** Why a caller for whom nothing is ready may not wait. */
  private refusal(attempts: Attempts | undefined): Failure<PoolError> | undefined {
    const { maxWaiting, maxsize } = this.settings
    if (!this.admits(attempts)) return this.diedOf ?? failure(new PoolClosed({ stats: this.stats() }))
    if (attempts?.hasFailed === true || this.demand.unserved(this.demand.room(maxsize)) < maxWaiting) return undefined
    return failure(new PoolQueueFull({ stats: this.stats(), maxWaiting }))
  }

  /** The idle connection that was used last and needs no check. Expired and dead ones met on the way are retired. */
  private takeReady(now: number): Slot<A> | undefined {
    // R11: nobody barges.
    if (this.waiters.size > 0) return undefined
    let last = this.idle.last
    for (; last !== undefined && this.isOver(last, now); last = this.idle.last) this.retire(last, this.endOf(last))
    // No other one was known to be well later.
    return last === undefined || this.needsCheck(last, now) ? undefined : last
  }

  private isOver(slot: Slot<A>, now: number): boolean {
    return slot.expiresAt <= now || !this.resource.isUsable(slot.value)
  }

  private endOf(slot: Slot<A>): CloseReason {
    return this.resource.isUsable(slot.value) ? slot.expiry : "invalidated"
  }

  private needsCheck(slot: Slot<A>, now: number): boolean {
    return this.resource.canCheck &&
      (this.connections.isSuspect(slot) || now - slot.provenAt > this.settings.validateAfterIdle)
  }

  private lend(slot: Slot<A>, now: number, shares: boolean, borrower: Borrower | undefined): Loan<A> {
    if (slot.borrowers === 0) this.enter(slot, "busy")
    slot.lent(shares)
    this.tally.lent()
    if (shares) this.sharing.changed(slot)
    const loan = new Loan(this, slot, now)
    this.waitPolicy.lent(loan)
    if (borrower !== undefined) this.leaks.watch(loan, borrower)
    return loan
  }

  /** Asked by a loan, until it ends. */
  isUsable(slot: Slot<A>): boolean {
    return slot.state === "busy" && !slot.invalid && this.resource.isUsable(slot.value)
  }

  /** What a borrower fails with that was handed one dead connection after the other. */
  lostTooOften({ since }: Loan<A>): PoolExhausted {
    const why = { limit: "handOver", limitMillis: undefined, wasOwed: true, cause: this.outage.reason } as const
    return new PoolExhausted({ stats: this.stats(), waited: this.env.now() - since, ...why })
  }

  // --- wait ------------------------------------------------------------------------------------------------------

  /** A place in the queue. `end` tells how the wait has ended; a caller that gives up before that is to `leave`. */
  wait(end: End<A, E | PoolError>, borrower?: Borrower): Waiter<A, E | PoolError> {
    return this.outbox.section(() => {
      const now = this.env.now()
      const waiter = new Waiter(now, false, end, borrower)
      this.enqueue(waiter, now)
      return waiter
    })
  }

  private enqueue(waiter: Waiter<A, E | PoolError>, now: number): void {
    this.waiters.push(waiter)
    this.serve(now)
    if (waiter.queued && this.lifecycle.serves) this.timekeeper.watch(waiter)
  }

  /** Ends a wait that was interrupted or failed. A connection that it was handed meanwhile goes back (R12). */
  leave(waiter: Waiter<A, E | PoolError>): void {
    this.outbox.section(() => {
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
  private serve(now = this.env.now()): void {
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

  /** Places on connections that others use. */
  private share(now: number): void {
    while (this.waiters.sharer !== undefined) {
      const slot = this.sharing.find(now)
      if (slot === undefined) return
      this.handTo(this.waiters.sharer, slot, now)
    }
  }

  /** Checks of idle connections: a ready one is never idle while somebody waits. */
  private check(now: number): void {
    while (this.waiters.needed > this.count.checking && this.idle.last !== undefined) {
      const { last } = this.idle
      if (this.isOver(last, now)) this.retire(last, this.endOf(last))
      else this.instruct(last, "check")
    }
  }

  private connectDue(now: number): void {
    if (this.outage.verdict !== undefined && this.tally.open === 0) this.waiters.failAll(this.outage.verdict)
    const { checking } = this.count
    const waiting = this.waiters.size - checking * this.settings.share
    this.waiters.makeDue(this.waitPolicy.due(waiting, checking, now))
    this.demand.markDue()
    while (this.demand.wantsConnect && this.demand.mayConnect) {
      this.connect()
      // Another waiter may be due now, beside the one that this connect covers.
      this.demand.markDue()
    }
    if (!this.demand.lacksPermit) return
    this.giveUpConnect()
    this.share(now)
  }

  private handTo(waiter: Waiter<A, E | PoolError>, slot: Slot<A>, now: number): void {
    this.waiters.serve(waiter, this.lend(slot, now, waiter.shares, waiter.borrower))
  }

  // --- connect ---------------------------------------------------------------------------------------------------

  private connect(successorOf?: Slot<A>): Slot<A> {
    const { io, reach } = this.env
    const slot = new Slot<A>(successorOf, reach.youngFor, io.now(), this.evictor.generation)
    this.connections.begin(slot)
    if (successorOf === undefined) this.waiters.cover(slot)
    this.tally.added(slot)
    this.connectWatch.watch(slot)
    this.demand.dialled()
    this.waitPolicy.dialled(slot)
    const connection = life(slot, this.resource, { ioClock: io.clock, reach }, this.owner)
    const held = this.permits.hold(
      connection,
      () => new PermitMissing(this.tally.size, this.settings.maxoverflow),
      (defect) => this.outbox.section(() => this.gone(slot, defect))
    )
    this.outbox.post(() => slot.runsIn(this.env.fork(held)))
    return slot
  }

  opened(slot: Slot<A>, value: A): void {
    const now = this.env.now()
    const lifetime = this.settings.expires * (1 - this.settings.expiresJitter * this.env.chance())
    const took = this.env.io.now() - slot.dialledAt
    this.demand.uncover(slot)
    slot.opened(value, now, lifetime)
    this.connections.opened(slot, took)
    this.env.reach.connected(took)
    this.tally.opened++
    this.outage.healed(now)
    this.waitPolicy.opened(slot, now)
    this.sweeper.opened(slot)
    this.ready(slot)
    this.demand.opened()
  }

  openFailed(slot: Slot<A>, cause: Failure<E>): void {
    this.demand.uncover(slot)
    if (slot.state === "closing" || this.lifecycle.isClosing) return
    const { failure, kind } = classify(cause, this.resource)
    this.outage.lastFailure = failure
    if (kind !== "transient") this.demand.stopWarming()
    const waiter = kind === "other" ? slot.causer : undefined
    if (waiter !== undefined) this.waiters.fail(waiter, failure)
    const { successorOf: old } = slot
    const isToBeRenewed = old !== undefined && this.sweeper.triesAgain(old)
    if (old !== undefined) this.sweeper.failed(old)
    if (kind !== "other" || isToBeRenewed) this.outage.begin(failure, kind === "permanent")
    this.enter(slot, "closing")
    this.serve()
  }

  /** Connects that hang must not be in the way of the next one (R18). */
  private giveUpConnect(): void {
    const slot = this.connections.hopeless(this.env.io.now())
    if (slot === undefined) return
    this.enter(slot, "closing")
    this.interrupt(slot)
  }

  private interrupt(slot: Slot<A>): void {
    this.outbox.post(() => slot.fiber === undefined ? undefined : this.env.interrupt(slot.fiber))
  }

  // --- release ---------------------------------------------------------------------------------------------------

  /** R7; first match wins. Called by the loan, once. */
  release(loan: Loan<A>): void {
    this.outbox.section(() => {
      if (loan.leakWatch !== undefined) this.leaks.end(loan.leakWatch)
      // It was closed under its borrower (R13).
      if (loan.slot.state !== "busy") return
      const now = this.env.now()
      const isAwaited = this.waiters.size > 0
      this.waitPolicy.returned(loan, now)
      this.giveBack(loan.slot, now)
      if (isAwaited) this.serve(now)
    })
  }

  private giveBack(slot: Slot<A>, now: number): void {
    slot.returned(now)
    if (slot.borrowers > 0) return this.sharing.changed(slot)
    const unfit = this.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else if (this.resource.needsReset(slot.value)) this.instruct(slot, "reset")
    else if (this.connections.isSuspect(slot)) this.instruct(slot, "check")
    else this.keep(slot, now)
  }

  /** A connect, a check or a reset has succeeded: the connection serves again. */
  ready(slot: Slot<A>): void {
    const now = this.env.now()
    this.connections.proven(slot, now)
    const unfit = this.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else this.keep(slot, now)
    this.serve(now)
  }

  private unfit(slot: Slot<A>, now: number): CloseReason | undefined {
    if (this.lifecycle.isClosing) return "closed"
    const spent = slot.spent(now, this.settings.maxUses) ?? (this.demand.surplus > 0 ? "surplus" : undefined)
    return spent ?? (this.evictor.claims(slot) ? "evicted" : undefined)
  }

  private keep(slot: Slot<A>, now: number): void {
    if (!this.resource.isUsable(slot.value)) this.retire(slot, "invalidated")
    else if (this.waiters.head !== undefined) this.handTo(this.waiters.head, slot, now)
    else if (this.lifecycle.state === "draining") this.retire(slot, "closed")
    else if (this.keepsMore) this.rest(slot)
    else this.retire(slot, "surplus")
  }

  private get keepsMore(): boolean {
    return this.idle.size < this.settings.maxsize || this.waitPolicy.linger > 0
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

  /** `canShare` would be true again. */
  shareable(value: A): void {
    const slot = this.connections.of(value)
    if (slot?.isShared !== true) return
    this.outbox.section(() => {
      this.sharing.changed(slot)
      this.serve()
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

  private retire(slot: Slot<A>, reason: CloseReason): void {
    this.enter(slot, "closing", reason)
    this.outbox.post(() => slot.give("retire"))
    // The other side is not waited for: nobody needs its permit.
    if (this.lifecycle.isClosing) this.interrupt(slot)
  }

  /** Whatever has ended its fiber. */
  closing(slot: Slot<A>): void {
    this.demand.uncover(slot)
    this.connections.closing(slot)
    this.sweeper.closing(slot)
    if (slot.state === "closing") return
    const isClosing = this.lifecycle.isClosing
    // Nobody fails for that, but the next one is not to follow it on the heels.
    if (slot.state === "opening" && !isClosing) this.outage.begin(this.outage.lastFailure = connectBrokenOff, false)
    this.enter(slot, "closing", isClosing ? "closed" : slot.state === "checking" ? "dirty" : "failed")
    this.serve()
  }

  /** The permit is back (R8). */
  private gone(slot: Slot<A>, diedOf: unknown): void {
    if (diedOf !== undefined) this.died(diedOf)
    // It may have had no permit, and so no life.
    this.closing(slot)
    this.connections.all.delete(slot)
    this.tally.removed(slot)
    this.serve()
  }

  /** The fiber of a connection has died: that costs the connection. But without permits the pool can't go on. */
  private died(why: unknown): void {
    this.env.log.error(`The fiber of a connection has died: ${wordsOf(why)}`)
    if (!(why instanceof PermitMissing) || this.lifecycle.isClosing) return
    this.diedOf = defect(why)
    this.waiters.failAll(this.diedOf)
    this.demand.stopWarming()
    this.lifecycle.close()
  }

  /** Nothing else takes a connection out of the books of those in its state. */
  private enter(slot: Slot<A>, next: State, why?: CloseReason): void {
    const { isOpen: wasOpen, isShared: wasShared, state: was } = slot
    slot.enter(next, why)
    if (was === "idle") this.idle.remove(slot)
    else if (wasShared) this.sharing.remove(slot)
    else if (was === "opening") this.connections.opening.delete(slot)
    this.tally.moved(was, next)
    if (!wasOpen && slot.isOpen) this.sweeper.joins(slot)
    else if (wasOpen && !slot.isOpen) this.sweeper.leaves(slot)
  }

  /** A waiter has waited for as long as it may. */
  private refuse(waiter: Waiter<A, E | PoolError>, now: number, why: Refusal): void {
    const refusal = { stats: this.stats(), waited: now - waiter.since, cause: this.outage.reason, ...why }
    this.waiters.fail(waiter, failure(new PoolExhausted(refusal)))
  }

  /** `connectRetry` has come to its end: nobody is made to wait for another try. */
  private giveUp(): void {
    const now = this.env.now()
    const why = { limit: "connectRetry", limitMillis: undefined, wasOwed: true } as const
    while (this.lifecycle.serves && this.waiters.head?.due === true) this.refuse(this.waiters.head, now, why)
    this.sweeper.giveUp()
    this.demand.stopWarming()
    this.outage.end(-Infinity)
    this.serve(now)
  }

  // --- resize, suspend, drain, close -----------------------------------------------------------------------------

  /** Growing serves waiters at once; shrinking retires what is idle and lets the busy ones finish. */
  resize(maxsize: number, maxoverflow: number): void {
    this.outbox.section(() => {
      this.settings.maxsize = maxsize
      this.settings.maxoverflow = maxoverflow
      // A connection that is to begin has its permit before that, and one that this makes room for has it after that.
      this.outbox.post(() => this.permits.resize(maxsize, maxoverflow))
      while (this.idle.first !== undefined && (this.idle.size > maxsize || this.demand.surplus > 0)) {
        this.retire(this.idle.first, "surplus")
      }
      this.timekeeper.lookAgain()
      this.serve()
    })
  }

  private suspend(): void {
    this.timekeeper.stop()
    this.evictor.evictNow()
  }

  private resume(suspendedAt: number, now: number): void {
    this.waiters.stoodStill(suspendedAt, now)
    this.outage.stoodStill(suspendedAt, now)
    this.timekeeper.start(now)
    this.serve(now)
  }

  private drain(): void {
    this.demand.stopWarming()
    this.evictor.stop()
    while (this.idle.first !== undefined) this.retire(this.idle.first, "closed")
  }

  private close(): void {
    this.waiters.failAll(failure(new PoolClosed({ stats: this.stats() })))
    for (const slot of this.connections.all) {
      if (slot.state === "idle") this.retire(slot, "closed")
      else if (slot.state !== "busy") this.interrupt(slot)
    }
    this.serve()
  }

  private closeBusy(): void {
    for (const slot of this.connections.all) if (slot.state === "busy") this.retire(slot, "closed")
  }

  stats(): PoolStats {
    const { maxoverflow, maxsize } = this.settings
    return { state: this.lifecycle.state, maxsize, maxoverflow, waiting: this.waiters.size, ...this.tally.stats() }
  }
}
