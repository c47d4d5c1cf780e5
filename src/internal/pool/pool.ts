/** @internal */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type { PoolError } from "../../PoolError.js"
import { PoolClosed, PoolExhausted, PoolQueueFull } from "../../PoolError.js"
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import { Alarm } from "./alarm.js"
import { leaveAfter } from "./deadlines.js"
import { Outage } from "./outage.js"
import type { Settings } from "./settings.js"
import type { Actions, Deadlines, Order, Owner, State } from "./slot.js"
import { connectTimedOut, life, Slot } from "./slot.js"
import { Waiter, Waiters } from "./waiters.js"

/** What the pool is given by the place where it is built. @internal */
export interface Environment {
  readonly clock: Clock.Clock
  readonly ioClock: Clock.Clock
  /** Starts a fiber on the spot. */
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>
  /** A number from 0 to 1, of the `Random` in force. */
  readonly random: () => number
}

/** What the pool must know of its resources. @internal */
export interface Resource<A, E> extends Actions<A, E> {
  readonly canCheck: boolean
  readonly needsReset: (a: A) => boolean
  readonly isTransient: (error: E) => boolean
}

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
  /** Ready connections; the last was used last. */
  private readonly idle: Array<Slot<A>> = []
  private readonly waiters = new Waiters<A, E | PoolError>()
  private readonly count = { opening: 0, idle: 0, busy: 0, checking: 0, closing: 0 } satisfies Record<State, number>
  /** Permits in use. It rises before a connection's fiber starts and falls after its permit is back. */
  private size = 0
  /** Connects in flight that a due waiter can rely on. */
  private cover = 0
  /** Connections at the end of their life that are to be kept, each with the successor that is opening, if any. */
  private readonly renewals = new Map<Slot<A>, Slot<A> | undefined>()
  /** Connects still owed to `warm`. */
  private cold: number
  private lastFailure: Cause.Cause<E> | undefined = undefined
  private isClosing = false
  private readonly emptied = Deferred.unsafeMake<void>(FiberId.none)
  private readonly kept: Effect.Semaphore
  private readonly overflow: Effect.Semaphore
  private readonly deadlines: Deadlines
  private readonly outage: Outage
  private readonly timekeeper: Alarm
  private readonly sweeper: Alarm
  private acquired = 0
  private connected = 0
  private timeouts = 0
  private readonly closed: { [reason in CloseReason]: number } = {
    expired: 0,
    renewed: 0,
    idle: 0,
    used: 0,
    surplus: 0,
    invalidated: 0,
    dirty: 0,
    closed: 0,
    failed: 0
  }

  constructor(
    readonly settings: Settings,
    private readonly resource: Resource<A, E>,
    private readonly env: Environment
  ) {
    this.kept = Effect.unsafeMakeSemaphore(settings.maxsize)
    this.overflow = Effect.unsafeMakeSemaphore(settings.maxoverflow - settings.maxsize)
    this.cold = settings.warm
    this.deadlines = { ...settings, ioClock: env.ioClock }
    this.outage = new Outage(settings.connectRetry, env.ioClock, env.fork, () => this.serve(), () => this.giveUp())
    this.timekeeper = new Alarm(env.clock, env.fork, () => this.keepTime())
    this.sweeper = new Alarm(env.clock, env.fork, () => this.sweep())
  }

  // --- take ------------------------------------------------------------------------------------------------------

  /**
   * Lends a connection, at once where one is ready (R2), else by a place in the queue. Must run uninterruptibly:
   * only the wait is restored, and what was handed over is given back if the wait was interrupted all the same (R12).
   */
  take(restore: <B, E2>(effect: Effect.Effect<B, E2>) => Effect.Effect<B, E2>): Effect.Effect<Slot<A>, E | PoolError> {
    if (this.isClosing) return Effect.fail(new PoolClosed({ stats: this.stats() }))
    const now = this.env.clock.unsafeCurrentTimeMillis()
    // R11: nobody barges.
    const ready = this.waiters.size === 0 ? this.takeReady(now) : undefined
    if (ready !== undefined) {
      this.lend(ready)
      return Effect.succeed(ready)
    }
    if (this.waiters.size >= this.settings.maxWaiting) {
      return Effect.fail(new PoolQueueFull({ stats: this.stats(), maxWaiting: this.settings.maxWaiting }))
    }
    const waiter = this.enqueue(now)
    return Effect.onError(restore(waiter.await), () => Effect.sync(() => this.leave(waiter)))
  }

  /** The idle connection that was used last and needs no check. Expired ones met on the way are retired. */
  private takeReady(now: number): Slot<A> | undefined {
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

  private lend(slot: Slot<A>): void {
    this.enter(slot, "busy")
    this.acquired++
  }

  // --- wait ------------------------------------------------------------------------------------------------------

  private enqueue(now: number): Waiter<A, E | PoolError> {
    const waiter = new Waiter<A, E | PoolError>(now)
    this.waiters.push(waiter)
    this.serve(now)
    if (waiter.queued) {
      const { acquireTimeout, maxwait } = this.settings
      this.timekeeper.arm(now + (waiter.due ? acquireTimeout : Math.min(maxwait, acquireTimeout)))
    }
    return waiter
  }

  /** Ends a wait that was interrupted or failed. What it was handed meanwhile goes back. */
  private leave(waiter: Waiter<A, E | PoolError>): void {
    this.waiters.remove(waiter)
    if (waiter.slot !== undefined) this.release(waiter.slot)
  }

  private fail(waiter: Waiter<A, E | PoolError>, cause: Cause.Cause<E | PoolError>): void {
    this.waiters.remove(waiter)
    waiter.end(Exit.failCause(cause))
  }

  /**
   * Gives the waiters what there is: ready connections, else checks of idle ones, else connects. Whatever changes
   * supply or demand ends here.
   */
  private serve(now = this.env.clock.unsafeCurrentTimeMillis()): void {
    if (this.isClosing) return
    while (this.waiters.size > 0) {
      const slot = this.takeReady(now)
      if (slot === undefined) break
      this.handOver(slot)
    }
    while (this.waiters.size > this.count.checking && this.idle.length > 0) {
      this.instruct(this.idle.pop()!, "check")
    }
    // zero: due at once (R4)
    if (this.settings.maxwait === 0) { while (this.waiters.patient !== undefined) this.waiters.makeNextDue() }
    while (this.wantsConnect() && this.mayConnect()) this.connect(this.waiters.uncovered())
    this.renew()
  }

  /** Hands a connection to the oldest waiter (R5, R11). */
  private handOver(slot: Slot<A>): void {
    const waiter = this.waiters.shift()!
    this.lend(slot)
    waiter.slot = slot
    waiter.end(Exit.succeed(slot))
  }

  // --- connect ---------------------------------------------------------------------------------------------------

  /**
   * Whether due waiters outnumber the connects that cover them (R6). Below `maxsize` a waiter is due at once (R3),
   * unless a check is under way that will have a connection ready sooner than a connect would: then only `maxwait`
   * makes it due. Else each check of a lone caller's connection would open a second one.
   */
  private wantsConnect(): boolean {
    const { count, settings, waiters } = this
    while (waiters.due <= this.cover && this.size < settings.maxsize && waiters.size - waiters.due > count.checking) {
      waiters.makeNextDue()
    }
    return waiters.due > this.cover || (this.cold > 0 && this.size < settings.maxsize)
  }

  private mayConnect(): boolean {
    if (this.size >= this.settings.maxoverflow) return false
    if (this.outage.active) return this.outage.mayRetry && this.cover === 0
    return this.cover < this.settings.connectConcurrency
  }

  private connect(waiter: Waiter<A, E | PoolError> | undefined, successorOf?: Slot<A>): void {
    const purpose = waiter !== undefined ? "demand" : successorOf !== undefined ? "renewal" : "warmth"
    const slot = new Slot<A>(purpose, successorOf)
    if (waiter !== undefined) waiter.connect = slot
    else if (successorOf !== undefined) this.renewals.set(successorOf, slot)
    else this.cold--
    this.slots.add(slot)
    this.size++
    this.cover++
    this.count.opening++
    slot.fiber = this.env.fork(this.holdingPermit(slot))
  }

  /** Which of the semaphores the permit comes from never shows. */
  private holdingPermit(slot: Slot<A>): Effect.Effect<void> {
    const connection = life(slot, this.resource, this.deadlines, this)
    return this.kept.withPermitsIfAvailable(1)(connection).pipe(
      Effect.flatMap((held) => Option.isSome(held) ? Effect.void : this.overflow.withPermitsIfAvailable(1)(connection)),
      Effect.ensuring(Effect.sync(() => this.gone(slot)))
    )
  }

  opened(slot: Slot<A>, value: A): void {
    const now = this.env.clock.unsafeCurrentTimeMillis()
    const lifetime = this.settings.expires * (1 - this.settings.expiresJitter * this.env.random())
    slot.value = value
    slot.provenAt = slot.lastUsedAt = now
    slot.expiresAt = now + lifetime
    slot.renewAt = now + lifetime * renewedAfter
    this.byValue.set(value, slot)
    this.connected++
    this.lastFailure = undefined
    this.outage.end(now)
    this.uncover(slot)
    if (slot.successorOf !== undefined) {
      this.renewals.delete(slot.successorOf)
      if (slot.successorOf.state === "idle") this.retire(slot.successorOf, "renewed")
    }
    this.ready(slot)
    this.serve(now)
  }

  openFailed(slot: Slot<A>, cause: Cause.Cause<E>): void {
    this.uncover(slot)
    if (this.isClosing) return
    const failure = withoutInterrupts(cause)
    const error = Cause.failureOption(failure)
    this.lastFailure = failure
    if (failure === connectTimedOut || (Option.isSome(error) && this.resource.isTransient(error.value))) {
      if (slot.purpose === "warmth") this.cold++
      this.outage.begin(failure)
    } else {
      const waiter = this.causeOf(slot)
      if (waiter !== undefined) this.fail(waiter, failure)
    }
    if (slot.successorOf !== undefined && this.renewals.has(slot.successorOf)) {
      this.renewals.set(slot.successorOf, undefined)
      this.outage.begin(failure)
    }
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
    const now = this.env.clock.unsafeCurrentTimeMillis()
    slot.provenAt = slot.lastUsedAt = now
    slot.uses++
    const unfit = this.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else if (this.resource.needsReset(slot.value)) this.instruct(slot, "reset")
    else this.place(slot)
  }

  /** A connect, a check or a reset has succeeded: the connection serves again. */
  ready(slot: Slot<A>): void {
    const now = this.env.clock.unsafeCurrentTimeMillis()
    slot.suspect = false
    slot.provenAt = now
    const unfit = this.unfit(slot, now)
    if (unfit !== undefined) this.retire(slot, unfit)
    else this.place(slot)
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
    return this.size - this.count.closing > this.settings.maxoverflow
  }

  private place(slot: Slot<A>): void {
    if (this.waiters.size > 0) this.handOver(slot)
    else if (this.idle.length < this.settings.maxsize) this.rest(slot)
    else this.retire(slot, "surplus")
  }

  private rest(slot: Slot<A>): void {
    this.enter(slot, "idle")
    this.idle.push(slot)
    const displaced = this.idle[this.idle.length - 1 - this.settings.minsize] ?? slot
    this.sweeper.arm(Math.min(slot.renewAt, this.unusedAt(slot), this.unusedAt(displaced)))
  }

  private instruct(slot: Slot<A>, order: Exclude<Order, "retire">): void {
    this.enter(slot, "checking")
    slot.give(order)
  }

  // --- retire ----------------------------------------------------------------------------------------------------

  invalidate(value: A): void {
    const slot = this.byValue.get(value)
    if (slot === undefined) return
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
    this.size--
    this.count[slot.state]--
    this.closed[slot.closeReason]++
    if (this.isClosing && this.size === 0) Deferred.unsafeDone(this.emptied, Exit.void)
    this.serve()
  }

  private enter(slot: Slot<A>, state: State): void {
    this.count[slot.state]--
    this.count[state]++
    slot.state = state
  }

  // --- what time does --------------------------------------------------------------------------------------------

  /** Waiters past `maxwait` become due, and those that have waited for as long as they may fail (R4). */
  private keepTime(): number {
    const now = this.env.clock.unsafeCurrentTimeMillis()
    const { waiters } = this
    const { acquireTimeout, maxoverflow, maxwait, outageTimeout, owedTimeout } = this.settings
    while (waiters.patient !== undefined && waiters.patient.since + maxwait <= now) waiters.makeNextDue()
    this.serve(now)
    let next = waiters.patient === undefined ? Infinity : waiters.patient.since + maxwait
    // Connects under way and free permits are for the oldest.
    let owed = this.count.opening + Math.max(0, maxoverflow - this.size)
    for (let waiter = waiters.head; waiter !== undefined; waiter = waiter.next) {
      const limit = waiter.since <= this.outage.until ? outageTimeout : owed-- > 0 ? owedTimeout : acquireTimeout
      if (waiter.since + limit <= now) this.refuse(waiter, now)
      else {
        next = Math.min(next, waiter.since + limit)
        // All behind it are younger.
        if (limit === acquireTimeout || this.outage.active) break
      }
    }
    return next
  }

  private refuse(waiter: Waiter<A, E | PoolError>, now: number): void {
    this.timeouts++
    const failure = this.lastFailure
    if (this.outage.active && failure !== undefined && failure !== connectTimedOut) return this.fail(waiter, failure)
    const cause = failure === undefined ? undefined : Cause.squash(failure)
    this.fail(waiter, Cause.fail(new PoolExhausted({ stats: this.stats(), waited: now - waiter.since, cause })))
  }

  /** `connectRetry` has come to its end: nobody is made to wait for another try. */
  private giveUp(): void {
    for (let waiter = this.waiters.head; waiter?.due === true; waiter = waiter.next) {
      this.fail(waiter, this.lastFailure!)
    }
    this.renewals.clear()
    this.serve()
  }

  /**
   * R9, R10: retires idle connections that have expired or were unused for too long. The `minsize` that were used last
   * stay, and are renewed when their time comes; busy ones count as used last.
   */
  private sweep(): number {
    const now = this.env.clock.unsafeCurrentTimeMillis()
    let keep = this.settings.minsize - this.count.busy - this.count.checking
    let next = Infinity
    for (let i = this.idle.length - 1; i >= 0; i--) {
      const slot = this.idle[i]
      const isKept = keep-- > 0
      if (isKept && slot.renewAt <= now && !this.renewals.has(slot)) this.renewals.set(slot, undefined)
      if (slot.expiresAt <= now) this.retire(slot, "expired")
      else if (!isKept && this.unusedAt(slot) <= now) this.retire(slot, "idle")
      else if (!isKept) next = Math.min(next, slot.expiresAt, this.unusedAt(slot))
      else next = Math.min(next, this.renewals.has(slot) ? slot.expiresAt : slot.renewAt)
    }
    this.serve(now)
    return next
  }

  /** When it has been idle for `idleTimeout`. */
  private unusedAt(slot: Slot<A>): number {
    return slot.lastUsedAt + this.settings.idleTimeout
  }

  /** Opens successors, as far as they are still needed. Where no permit is free the old connection goes first. */
  private renew(): void {
    if (this.renewals.size === 0) return
    for (const [old, successor] of this.renewals) {
      if (old.state === "busy" || this.lasting() >= this.settings.minsize) this.renewals.delete(old)
      else if (successor !== undefined) continue
      else if (this.size >= this.settings.maxoverflow) {
        if (old.state === "idle") this.retire(old, "renewed")
      } else if (this.mayConnect()) this.connect(undefined, old)
    }
  }

  /** How many connections are in service and not about to be renewed. */
  private lasting(): number {
    const { busy, checking } = this.count
    return busy + checking + this.idle.filter((slot) => !this.renewals.has(slot)).length
  }

  // --- resize, close ---------------------------------------------------------------------------------------------

  /** Growing serves waiters at once; shrinking retires what is idle and lets the busy ones finish. */
  resize(maxsize: number, maxoverflow: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.settings.maxsize = maxsize
      this.settings.maxoverflow = maxoverflow
      while (this.idle.length > maxsize || (this.isOversize && this.idle.length > 0)) {
        this.retire(this.idle[0], "surplus")
      }
      return Effect.all([this.kept.resize(maxsize), this.overflow.resize(maxoverflow - maxsize)])
    }).pipe(Effect.zipRight(Effect.sync(() => this.serve())))
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
    if (this.size === 0) return Effect.void
    const emptied = Deferred.await(this.emptied)
    return Effect.flatMap(leaveAfter(emptied, this.settings.closeTimeout, this.env.ioClock), (inTime) => {
      if (inTime) return Effect.void
      for (const slot of this.slots) if (slot.state === "busy") this.retire(slot, "closed")
      return emptied
    })
  })

  /** Opens what `warm` asks for. */
  start(): void {
    this.serve()
  }

  stats(): PoolStats {
    return {
      maxsize: this.settings.maxsize,
      maxoverflow: this.settings.maxoverflow,
      size: this.size,
      ...this.count,
      waiting: this.waiters.size,
      acquired: this.acquired,
      opened: this.connected,
      closed: { ...this.closed },
      timeouts: this.timeouts
    }
  }
}

/** The part of a connection's life after which a successor is opened (R9). */
const renewedAfter = 0.975

/** An `acquire` that interrupts itself must not look like an interrupt of the caller. */
const withoutInterrupts = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.isInterruptedOnly(cause) ? Cause.die(new Cause.InterruptedException("acquire interrupted itself")) : cause
