/** @internal */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { PoolError } from "../../PoolError.js"
import { PoolClosed, PoolQueueFull } from "../../PoolError.js"
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import { leaveAfter } from "./deadlines.js"
import type { Patience } from "./forecast.js"
import { makePatience } from "./forecast.js"
import { classify, Outage } from "./outage.js"
import { Permits } from "./permits.js"
import type { Environment, Resource, Settings } from "./settings.js"
import { Sharing } from "./sharing.js"
import type { Deadlines, Order, Owner, State } from "./slot.js"
import { life, Slot } from "./slot.js"
import { renewedAfter, Sweeper } from "./sweeper.js"
import { Tally } from "./tally.js"
import { Timekeeper } from "./timekeeper.js"
import { Waiter, Waiters } from "./waiters.js"

/**
 * The state machine. Every method runs to its end without suspending, so each is a critical section. They stand in the
 * order of a request's life: take, wait, connect, hand over, release, retire; then what time does: waiters' deadlines,
 * the sweep; then close.
 *
 * @internal
 */
export class ElasticPoolState<A, E> implements Owner<A, E> {
  private readonly slots = new Set<Slot<A>>()
  private readonly byValue = new Map<A, Slot<A>>()
  /** What was said to be broken before its connect was known to have succeeded. */
  private readonly stillborn = new WeakSet<object>()
  /** Ready connections; the last was used last. */
  private readonly idle: Array<Slot<A>> = []
  private readonly waiters: Waiters<A, E | PoolError>
  private readonly sharing: Sharing<A>
  private readonly tally = new Tally()
  private readonly count = this.tally.in
  /** Connects in flight that a due waiter can rely on. */
  private cover = 0
  /** Whether connections are opened for `warm`. */
  private isWarming: boolean
  private isClosing = false
  private readonly emptied = Deferred.unsafeMake<void>(FiberId.none)
  private readonly permits: Permits
  private readonly deadlines: Deadlines
  readonly outage: Outage<E>
  private readonly patience: Patience
  private readonly timekeeper: Timekeeper<A, E | PoolError>
  private readonly sweeper: Sweeper<A>

  constructor(
    readonly settings: Settings,
    private readonly resource: Resource<A, E>,
    readonly env: Environment
  ) {
    this.waiters = new Waiters(settings.share)
    this.sharing = new Sharing(settings.share, (slot, now) => this.mayShare(slot, now))
    this.permits = new Permits(settings.maxsize, settings.maxoverflow)
    this.isWarming = settings.warm > 0
    this.deadlines = { ...settings, ioClock: env.ioClock }
    this.outage = new Outage(settings.connectRetry, env.ioClock, env.fork, () => this.serve(), () => this.giveUp())
    this.patience = makePatience(settings, env)
    this.timekeeper = new Timekeeper(this.waiters, this.outage, this.patience, settings, env, {
      serve: (now) => this.serve(now),
      owed: () => this.room(settings.maxoverflow),
      refuse: (waiter, now) => this.refuse(waiter, now)
    })
    this.sweeper = new Sweeper(settings, this.patience, env, {
      idle: this.idle,
      inUse: () => [...this.slots].filter(({ state }) => state === "busy" || state === "checking"),
      retire: (slot, reason) => this.retire(slot, reason),
      serve: (now) => this.serve(now),
      hasPermit: () => this.hasPermit,
      mayConnect: () => this.mayConnect,
      connect: (old) => this.connect(old)
    })
  }

  // --- take ------------------------------------------------------------------------------------------------------

  /**
   * Lends a connection, at once where one is ready (R2), else by a place in the queue. Must run uninterruptibly:
   * only the wait is restored, and what was handed over is given back if the wait was interrupted all the same (R12).
   */
  take(restore: <B, E2>(effect: Effect.Effect<B, E2>) => Effect.Effect<B, E2>): Effect.Effect<Slot<A>, E | PoolError> {
    const now = this.env.now()
    const taken = this.takeNow(now, false)
    if (taken !== undefined) return taken
    const outcome = Deferred.unsafeMake<Slot<A>, E | PoolError>(FiberId.none)
    const waiter = this.enqueue(now, false, (exit) => Deferred.unsafeDone(outcome, exit))
    // What `Effect.onError` does, without a mask of its own: ten thousand may wait here.
    const gaveUp = (cause: Cause.Cause<E | PoolError>) => (this.leave(waiter), Effect.failCause(cause))
    return Effect.catchAllCause(restore(Deferred.await(outcome)), gaveUp)
  }

  /**
   * The same for a borrower that is no fiber: it is told by `end`, maybe on the spot, so that it can use a connection in
   * the moment that this is handed over. A waiter is to `leave` if it gives up. One that `shares` makes do with a
   * connection that others use as well, of the kind.
   */
  request(shares: boolean, end: Waiter<A, E | PoolError>["end"]): Waiter<A, E | PoolError> | undefined {
    const now = this.env.now()
    const taken = this.takeNow(now, shares)
    if (taken === undefined) return this.enqueue(now, shares, end)
    end(taken)
  }

  /** A ready connection, a refusal, or nothing: then one has to wait. */
  private takeNow(now: number, shares: boolean): Exit.Exit<Slot<A>, PoolError> | undefined {
    if (this.isClosing) return Exit.fail(new PoolClosed({ stats: this.stats() }))
    this.patience.asked(now)
    // What others share is of no use to those who wait for one of their own: they are not passed (R11).
    const mayJoin = shares && this.waiters.sharer === undefined
    const ready = (mayJoin ? this.sharing.leastLoaded(this.waiters.alone, now) : undefined) ?? this.takeReady(now)
    if (ready !== undefined) {
      this.lend(ready, shares)
      return Exit.succeed(ready)
    }
    if (this.waiters.size - this.room(this.settings.maxsize) >= this.settings.maxWaiting) {
      return Exit.fail(new PoolQueueFull({ stats: this.stats(), maxWaiting: this.settings.maxWaiting }))
    }
  }

  /** For how many there will be a connection without a wait for others, if up to `limit` are opened. */
  private room(limit: number): number {
    const { checking, opening } = this.count
    return (opening + checking + Math.max(0, limit - this.tally.size)) * this.settings.share
  }

  /** The idle connection that was used last and needs no check. Expired ones met on the way are retired. */
  private takeReady(now: number): Slot<A> | undefined {
    // R11: nobody barges.
    if (this.waiters.size > 0) return undefined
    for (let i = this.idle.length - 1; i >= 0; i--) {
      const slot = this.idle[i]
      if (slot.expiresAt <= now) this.retire(slot, "expired")
      else if (!this.needsCheck(slot, now)) {
        this.idle.splice(i, 1)
        return slot
      }
    }
  }

  private needsCheck(slot: Slot<A>, now: number): boolean {
    return this.resource.canCheck && (slot.suspect || now - slot.provenAt > this.settings.validateAfterIdle)
  }

  private mayShare(slot: Slot<A>, now: number): boolean {
    return this.resource.canShare(slot.value) && this.unfit(slot, now) === undefined
  }

  private lend(slot: Slot<A>, shares: boolean): void {
    if (slot.borrowers === 0) {
      this.enter(slot, "busy")
      if (shares) this.sharing.add(slot)
    }
    this.tally.lend(slot)
    this.patience.lent(slot)
  }

  // --- wait ------------------------------------------------------------------------------------------------------

  private enqueue(now: number, shares: boolean, end: Waiter<A, E | PoolError>["end"]): Waiter<A, E | PoolError> {
    const waiter = new Waiter(now, shares, end)
    this.waiters.push(waiter)
    this.serve(now)
    if (waiter.queued) this.timekeeper.watch(waiter)
    return waiter
  }

  /** Ends a wait that was interrupted or failed. What it was handed meanwhile goes back. */
  leave(waiter: Waiter<A, E | PoolError>): void {
    this.waiters.remove(waiter)
    if (waiter.slot !== undefined) this.release(waiter.slot)
    this.serveSharers()
  }

  private fail(waiter: Waiter<A, E | PoolError>, cause: Cause.Cause<E | PoolError>): void {
    this.waiters.remove(waiter)
    waiter.end(Exit.failCause(cause))
  }

  /**
   * Gives the waiters what there is: checks of idle connections (a ready one is never idle while somebody waits), else
   * connects. Whatever changes supply or demand ends here, and so does the making of the pool: `warm` is demand.
   */
  serve(now = this.env.now()): void {
    if (this.isClosing) return
    while (this.waiters.needed > this.count.checking && this.idle.length > 0) {
      const slot = this.idle[this.idle.length - 1]
      if (slot.expiresAt <= now) this.retire(slot, "expired")
      else {
        this.idle.pop()
        this.instruct(slot, "check")
      }
    }
    const { checking } = this.count
    this.waiters.makeDue(this.patience.due(
      this.waiters.size - checking * this.settings.share,
      this.tally.borrowers + checking
    ))
    while (this.wantsConnect() && this.mayConnect) {
      const waiter = this.waiters.uncovered()
      const slot = this.connect()
      if (waiter !== undefined) waiter.connect = slot
    }
    this.sweeper.renew()
  }

  /** Hands a connection to the oldest waiter (R5, R11). Others may share it, or one that needs to run dry no more. */
  private handOver(slot: Slot<A>): void {
    this.handTo(this.waiters.head!, slot)
    this.serveSharers()
  }

  private handTo(waiter: Waiter<A, E | PoolError>, slot: Slot<A>): void {
    this.waiters.remove(waiter)
    this.lend(slot, waiter.shares)
    waiter.slot = slot
    waiter.end(Exit.succeed(slot))
  }

  private serveSharers(): void {
    const { waiters } = this
    while (waiters.sharer !== undefined) {
      // The oldest of all keeps nobody waiting.
      const slot = this.sharing.leastLoaded(waiters.head === waiters.sharer ? 0 : waiters.alone, this.env.now())
      if (slot === undefined) return
      this.handTo(waiters.sharer, slot)
    }
  }

  // --- connect ---------------------------------------------------------------------------------------------------

  /**
   * Whether due waiters outnumber the connects that cover them (R6). Below `maxsize` a waiter is due at once (R3),
   * unless a check is under way that will have a connection ready sooner than a connect would: then only `maxwait`
   * makes it due. Else each check of a lone caller's connection would open a second one.
   */
  private wantsConnect(): boolean {
    const { count, settings, waiters } = this
    while (
      waiters.neededByDue <= this.cover && this.tally.size < settings.maxsize &&
      waiters.needed - waiters.neededByDue > count.checking
    ) waiters.makeNextDue()
    return waiters.neededByDue > this.cover || (this.isWarming && this.tally.size < this.warm)
  }

  /** How many `warm` asks for. It can't be more than are kept, also after a shrink. */
  private get warm(): number {
    return Math.min(this.settings.warm, this.settings.maxsize)
  }

  private get hasPermit(): boolean {
    return this.tally.size < this.settings.maxoverflow
  }

  private get mayConnect(): boolean {
    if (!this.hasPermit) return false
    if (this.outage.active) return this.outage.mayRetry && this.cover === 0
    return this.cover < this.settings.connectConcurrency
  }

  private connect(successorOf?: Slot<A>): Slot<A> {
    const slot = new Slot<A>(successorOf)
    this.slots.add(slot)
    this.tally.add(slot)
    this.cover++
    this.patience.dialled(slot)
    const connection = this.permits.hold(life(slot, this.resource, this.deadlines, this))
    slot.fiber = this.env.fork(Effect.ensuring(connection, Effect.sync(() => this.gone(slot))))
    return slot
  }

  opened(slot: Slot<A>, value: A): void {
    const now = this.env.now()
    const lifetime = this.settings.expires * (1 - this.settings.expiresJitter * this.env.random())
    slot.value = value
    slot.invalid = Predicate.isObject(value) && this.stillborn.delete(value)
    slot.provenAt = slot.lastUsedAt = now
    slot.expiresAt = now + lifetime
    slot.renewAt = now + lifetime * renewedAfter
    this.byValue.set(value, slot)
    this.tally.opened++
    this.outage.healed(now)
    this.uncover(slot)
    this.patience.opened(slot, now)
    if (slot.successorOf !== undefined) this.sweeper.renewed(slot.successorOf)
    this.ready(slot)
    if (this.tally.size - this.count.opening - this.count.closing >= this.warm) this.isWarming = false
  }

  openFailed(slot: Slot<A>, cause: Cause.Cause<E>): void {
    this.uncover(slot)
    if (this.isClosing) return
    const { failure, isTransient } = classify(cause, this.resource)
    this.outage.lastFailure = failure
    if (isTransient) {
      this.outage.begin(failure)
    } else {
      this.isWarming = false
      const waiter = this.causeOf(slot)
      if (waiter !== undefined) this.fail(waiter, failure)
    }
    if (slot.successorOf !== undefined && this.sweeper.failed(slot.successorOf)) this.outage.begin(failure)
  }

  /** The waiter that caused this connect, if it still waits. */
  private causeOf(slot: Slot<A>): Waiter<A, E | PoolError> | undefined {
    for (let waiter = this.waiters.head; waiter?.due === true; waiter = waiter.next) {
      if (waiter.connect === slot) return waiter
    }
  }

  stale(slot: Slot<A>): void {
    this.uncover(slot)
    this.serve()
  }

  /** No waiter can rely on this connect any more. */
  private uncover(slot: Slot<A>): void {
    if (!slot.stale) this.cover--
    slot.stale = true
  }

  // --- release ---------------------------------------------------------------------------------------------------

  /** R7; first match wins. */
  release(slot: Slot<A>): void {
    // It was closed under its borrower (R13).
    if (slot.state !== "busy") return
    const now = this.env.now()
    slot.provenAt = slot.lastUsedAt = now
    this.tally.giveBack(slot)
    this.patience.returned(slot, now)
    if (slot.borrowers > 0) return this.serveSharers()
    const unfit = this.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else if (this.resource.needsReset(slot.value)) this.instruct(slot, "reset")
    else this.place(slot)
  }

  /** A connect, a check or a reset has succeeded: the connection serves again. */
  ready(slot: Slot<A>): void {
    const now = this.env.now()
    slot.suspect = false
    slot.provenAt = now
    const unfit = this.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else this.place(slot)
    this.serve(now)
  }

  private unfit(slot: Slot<A>, now: number): CloseReason | undefined {
    if (this.isClosing) return "closed"
    if (slot.invalid) return "invalidated"
    if (slot.expiresAt <= now) return "expired"
    if (slot.uses >= this.settings.maxUses) return "used"
    if (this.isOversize) return "surplus"
  }

  /** After a shrink: more connections are in service than the hard limit allows. */
  private get isOversize(): boolean {
    return this.tally.size - this.count.closing > this.settings.maxoverflow
  }

  private place(slot: Slot<A>): void {
    if (this.waiters.size > 0) this.handOver(slot)
    else if (this.idle.length < this.settings.maxsize || this.patience.linger > 0) this.rest(slot)
    else this.retire(slot, "surplus")
  }

  private rest(slot: Slot<A>): void {
    this.enter(slot, "idle")
    this.idle.push(slot)
    this.sweeper.watch(slot)
  }

  private instruct(slot: Slot<A>, order: Exclude<Order, "retire">): void {
    this.enter(slot, "checking")
    slot.give(order)
  }

  // --- retire ----------------------------------------------------------------------------------------------------

  invalidate(value: A): void {
    const slot = this.byValue.get(value)
    if (slot === undefined) {
      if (Predicate.isObject(value) && this.count.opening > 0) this.stillborn.add(value)
      return
    }
    slot.invalid = true
    if (slot.state === "idle") this.retire(slot, "invalidated")
  }

  private retire(slot: Slot<A>, reason: CloseReason): void {
    const at = slot.state === "idle" ? this.idle.indexOf(slot) : -1
    if (at >= 0) this.idle.splice(at, 1)
    slot.closeReason = reason
    this.enter(slot, "closing")
    slot.give("retire")
  }

  closing(slot: Slot<A>): void {
    if (this.byValue.get(slot.value) === slot) this.byValue.delete(slot.value)
    if (slot.state === "closing") return
    slot.closeReason = this.isClosing ? "closed" : slot.state === "checking" ? "dirty" : "failed"
    this.enter(slot, "closing")
    this.serve()
  }

  abandoned(slot: Slot<A>): Effect.Effect<void> {
    return Effect.logWarning(
      `A connection could not be closed within cleanupTimeout (${slot.closeReason}) and was left behind`
    )
  }

  /** The permit is back (R8). */
  private gone(slot: Slot<A>): void {
    this.slots.delete(slot)
    this.tally.remove(slot)
    if (this.isClosing && this.tally.size === 0) Deferred.unsafeDone(this.emptied, Exit.void)
    this.serve()
  }

  /** One that nobody uses any more is not shared either, or by others. */
  private enter(slot: Slot<A>, state: State): void {
    if (slot.state === "busy") this.sharing.remove(slot)
    this.tally.move(slot, state)
  }

  // --- refuse ----------------------------------------------------------------------------------------------------

  /** A waiter has waited for as long as it may. */
  private refuse(waiter: Waiter<A, E | PoolError>, now: number): void {
    this.tally.timeouts++
    this.fail(waiter, this.refusal(waiter, now))
  }

  private refusal({ since }: Waiter<A, E | PoolError>, now: number): Cause.Cause<E | PoolError> {
    return this.outage.refusal({ stats: this.stats(), waited: now - since })
  }

  /** `connectRetry` has come to its end: nobody is made to wait for another try. */
  private giveUp(): void {
    const now = this.env.now()
    while (this.waiters.head?.due === true) this.fail(this.waiters.head, this.refusal(this.waiters.head, now))
    this.sweeper.giveUp()
    this.isWarming = false
    this.outage.end(-Infinity)
    this.serve(now)
  }

  // --- resize, close ---------------------------------------------------------------------------------------------

  /** Growing serves waiters at once; shrinking retires what is idle and lets the busy ones finish. */
  resize(maxsize: number, maxoverflow: number): void {
    this.settings.maxsize = maxsize
    this.settings.maxoverflow = maxoverflow
    this.permits.resize(maxsize, maxoverflow)
    while (this.idle.length > maxsize || (this.isOversize && this.idle.length > 0)) {
      this.retire(this.idle[0], "surplus")
    }
    this.serve()
  }

  /** R13. Ends when nothing is left but what can't be ended. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.isClosing = true
    for (const timer of [this.timekeeper, this.sweeper, this.outage]) timer.stop()
    const refusal = Cause.fail(new PoolClosed({ stats: this.stats() }))
    while (this.waiters.head !== undefined) this.fail(this.waiters.head, refusal)
    for (const slot of this.slots) {
      if (slot.state === "idle") this.retire(slot, "closed")
      else if (slot.state === "opening" || slot.state === "checking") slot.fiber?.unsafeInterruptAsFork(FiberId.none)
    }
    if (this.tally.size === 0) return Effect.void
    const emptied = Deferred.await(this.emptied)
    return Effect.flatMap(leaveAfter(emptied, this.settings.closeTimeout, this.env.ioClock), (returned) => {
      if (Option.isSome(returned)) return Effect.void
      for (const slot of this.slots) if (slot.state === "busy") this.retire(slot, "closed")
      return emptied
    })
  })

  stats(): PoolStats {
    const { maxoverflow, maxsize } = this.settings
    return { maxsize, maxoverflow, waiting: this.waiters.size, ...this.tally.stats() }
  }
}
