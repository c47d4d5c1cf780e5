/** @internal */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { CloseReason } from "../../PoolStats.js"
import { awaitAtMost, leaveAfter } from "./deadlines.js"
import type { Reach } from "./reach.js"
import type { Waiter } from "./waiters.js"

/** The part of a connection's life after which a successor is opened (R9). */
const renewedAfter = 0.975

/** @internal */
export type State = "opening" | "idle" | "busy" | "checking" | "closing"

/** What a connection's own fiber can be told to do. @internal */
export type Order = "check" | "reset" | "retire"

/**
 * The pool's record of one connection, from the moment a connect is due until its permit is back.
 *
 * @internal
 */
export class Slot<A> {
  state: State = "opening"
  fiber: Fiber.RuntimeFiber<unknown> | undefined = undefined
  value: A = undefined as A
  closeReason: CloseReason = "failed"
  /** Opening for longer than a caller should have to rely on (R6). */
  stale = false
  /** The waiter that caused its connect. */
  cause: Waiter<A, any> | undefined = undefined
  /** When its connect began, or a loan last began or ended. Only a forecast keeps this and what follows. */
  since = 0
  /** How long it was lent by then, since a loan last ended: all borrowers' time together. */
  heldFor = 0
  /** Whether it is in use, but not for so long that nobody expects it back soon. */
  isYoung = false
  expiresAt = Infinity
  /** When it was told to go because of an `evict` (R19). It may still be opening. */
  evictedAt = Infinity
  /** The number of evictions before its connect began. */
  generation = 0
  /** When a successor is opened, if this one is to be kept (R9). */
  renewAt = Infinity
  lastUsedAt = 0
  /** When it was last known to be alive. */
  provenAt = 0
  /** How often it was lent. */
  uses = 0
  /** How many use it now: more than one only where they share it. */
  borrowers = 0
  /** How often all had become suspect when it was last known to be well (R19). */
  suspicions = 0
  isShared = false
  /** Where `Sharing` keeps it. */
  pile: Array<Slot<A>> | undefined = undefined
  at = 0
  invalid = false
  /** Those before and after it in its list. */
  earlier: Slot<A> | undefined = undefined
  later: Slot<A> | undefined = undefined
  private timedOut: ConnectTimedOut | undefined = undefined
  private endOfWait: ((why: ConnectTimedOut) => void) | undefined = undefined
  private order = Deferred.unsafeMake<Order>(FiberId.none)

  constructor(
    /** The connection that this one was opened to renew. */
    readonly successorOf: Slot<A> | undefined,
    /** A caller relies on its connect for so long (R6), in milliseconds. */
    readonly youngFor: number,
    /** When its connect began, by the clock of I/O. */
    readonly dialledAt: number
  ) {}

  /** It opened at `now`. */
  expire(now: number, lifetime: number): void {
    this.expiresAt = Math.min(now + lifetime, this.evictedAt)
    this.renewAt = now + (this.expiresAt - now) * renewedAfter
  }

  /** It is lent no more. */
  evict(now: number): void {
    this.evictedAt = Math.min(this.evictedAt, now)
    if (this.evictedAt < this.expiresAt) this.expire(now, Infinity)
  }

  /** Why it goes at `expiresAt`. */
  get expiry(): CloseReason {
    return this.expiresAt < this.evictedAt ? "expired" : "evicted"
  }

  /** Why it is lent no more, though it may be well. */
  spent(now: number, maxUses: number): CloseReason | undefined {
    if (this.invalid) return "invalidated"
    if (this.expiresAt <= now) return this.expiry
    if (this.uses >= maxUses) return "used"
  }

  /** The waiter that caused its connect, if it still waits, and caused no other since. */
  get causer(): Waiter<A, any> | undefined {
    return this.cause?.queued === true && this.cause.connect === this ? this.cause : undefined
  }

  /** In service, or about to be again. */
  get isOpen(): boolean {
    return this.state !== "opening" && this.state !== "closing"
  }

  /** Its connect has taken as long as it may: nobody waits for that any longer. */
  timeOut(connectTimeout: number): void {
    this.timedOut = new ConnectTimedOut(connectTimeout)
    this.endOfWait?.(this.timedOut)
  }

  /** Calls `end` when that happens, or has happened. */
  onTimeOut(end: (why: ConnectTimedOut) => void): void {
    this.endOfWait = end
    if (this.timedOut !== undefined) end(this.timedOut)
  }

  give(order: Order): void {
    Deferred.unsafeDone(this.order, Exit.succeed(order))
  }

  readonly nextOrder: Effect.Effect<Order> = Effect.suspend(() =>
    Effect.map(Deferred.await(this.order), (order) => {
      this.order = Deferred.unsafeMake(FiberId.none)
      return order
    })
  )
}

/**
 * What a connection's fiber does to the connection. The effects need nothing: their services are provided.
 *
 * @internal
 */
export interface Actions<A, E> {
  readonly acquire: Effect.Effect<A, E, Scope.Scope>
  readonly check: (a: A) => Effect.Effect<unknown, unknown>
  readonly reset: (a: A) => Effect.Effect<unknown, unknown>
  /**
   * Waits until the other side has let go of what was closed, or as long as is right: until then its permit is in use.
   * Where the pool closes, what of it can be interrupted is.
   */
  readonly released: (a: A) => Effect.Effect<unknown, unknown>
}

/**
 * What a connection's fiber tells the pool.
 *
 * @internal
 */
export interface Owner<A, E> {
  readonly opened: (slot: Slot<A>, value: A) => void
  readonly openFailed: (slot: Slot<A>, cause: Cause.Cause<E>) => void
  /** A check or a reset has succeeded. */
  readonly ready: (slot: Slot<A>) => void
  /** It was found dead or silent: others may be so too (R19). */
  readonly lost: (value: A) => void
  /** Always told, once, before it is closed. */
  readonly closing: (slot: Slot<A>) => void
}

/** What the life of a connection needs of its pool. @internal */
export interface Surroundings {
  readonly ioClock: Clock.Clock
  readonly reach: Reach
}

/** A connect took as long as it may. @internal */
export class ConnectTimedOut extends Cause.TimeoutException {
  constructor(connectTimeout: number) {
    super(`the connect took longer than connectTimeout (${connectTimeout} ms)`)
  }
}

/** @internal */
export const connectBrokenOff: Cause.Cause<never> = Cause.die(
  new Cause.RuntimeException("the fiber of a connection ended before it was open")
)

/**
 * The life of one connection: open it, follow the pool's orders, close it. It runs in a fiber of its own, which holds
 * the permit, so that a permit is in use exactly as long as its connection. An interrupt or a defect ends it as an order
 * to retire would, wherever it has come to: it is closed.
 *
 * What the user gave us runs in fibers below. They are waited for with a deadline, so that effects which can't be
 * interrupted hold up neither an answer nor the permit: `cleanupTimeout` after their end was asked for they are left
 * behind (R13, R14).
 *
 * @internal
 */
export const life = <A, E>(
  slot: Slot<A>,
  actions: Actions<A, E>,
  surroundings: Surroundings,
  owner: Owner<A, E>
): Effect.Effect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) => {
      let connect: Fiber.RuntimeFiber<A, E> | undefined = undefined
      const service = Effect.gen(function*() {
        connect = yield* Effect.forkDaemon(restore(Scope.extend(actions.acquire, scope)))
        const opened = yield* restore(awaitConnect(slot, connect))
        if (Exit.isFailure(opened)) return owner.openFailed(slot, opened.cause)
        // Between its end and this step the pool may have given it up.
        if (slot.state !== "opening") return
        owner.opened(slot, opened.value)
        yield* restore(follow(slot, actions, surroundings, owner))
      })
      return service.pipe(
        Effect.ensuring(Effect.sync(() => owner.closing(slot))),
        Effect.ensuring(Effect.suspend(() => close(slot, scope, connect, actions, surroundings)))
      )
    })
  )

const close = <A, E>(
  slot: Slot<A>,
  scope: Scope.CloseableScope,
  connect: Fiber.RuntimeFiber<A, E> | undefined,
  actions: Actions<A, E>,
  { ioClock, reach: { cleanupTimeout } }: Surroundings
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const close = Scope.close(scope, Exit.void)
    const end = connect?.unsafePoll() === null ? Fiber.interrupt(connect) : Effect.void
    const closed = yield* leaveAfter(Effect.zipRight(end, close), cleanupTimeout, ioClock)
    const exit = connect?.unsafePoll()
    // A step of `acquire` that hangs may have opened something before: that goes, whatever becomes of the step.
    if (exit === null) yield* leaveAfter(close, cleanupTimeout, ioClock)
    else if (exit?._tag === "Success") yield* Effect.exit(actions.released(exit.value))
    if (Option.isNone(closed)) yield* leftBehind(slot, cleanupTimeout)
  })

const leftBehind = <A>({ closeReason }: Slot<A>, cleanupTimeout: number): Effect.Effect<void> =>
  Effect.logWarning(
    `A connection (${closeReason}) could not be closed within cleanupTimeout (${Math.round(cleanupTimeout)} ms) ` +
      "and was left behind"
  )

/** How it ended. What ends the wait itself does not. */
const awaitConnect = <A, E>(slot: Slot<A>, connect: Fiber.RuntimeFiber<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.async((resume) => {
    slot.onTimeOut((why) => resume(Effect.succeed(Exit.die(why))))
    connect.addObserver((exit) => resume(Effect.succeed(exit)))
  })

/** Ends when the connection is to be closed. */
const follow = <A, E>(
  slot: Slot<A>,
  actions: Actions<A, E>,
  { ioClock, reach }: Surroundings,
  owner: Owner<A, E>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (true) {
      const order = yield* slot.nextOrder
      if (order === "retire") return
      const work = yield* Effect.forkDaemon(actions[order](slot.value))
      const exit = yield* Effect.onError(
        awaitAtMost(work, reach.cleanupTimeout, ioClock),
        () => Fiber.interruptFork(work)
      )
      const isInTime = Option.isSome(exit)
      if (isInTime && Exit.isSuccess(exit.value)) owner.ready(slot)
      else {
        // A reset that fails may be due to what its borrower did.
        if (!isInTime || order === "check") owner.lost(slot.value)
        return yield* Fiber.interruptFork(work)
      }
    }
  })
