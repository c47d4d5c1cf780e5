/** @internal */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { CloseReason } from "../../PoolStats.js"
import type { Waiter } from "./waiters.js"

/** The part of a connection's life after which a successor is opened (R9). */
const renewedAfter = 0.975

/** @internal */
export type State = "opening" | "idle" | "busy" | "checking" | "closing"

/** What a connection's own fiber can be told to do. @internal */
export type Command = "check" | "reset" | "retire"

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
  /** The `connectTimeout` that its connect has taken. */
  private timedOutAfter: number | undefined = undefined
  private endOfWait: ((connectTimeout: number) => void) | undefined = undefined
  private command = Deferred.unsafeMake<Command>(FiberId.none)

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
    this.timedOutAfter = connectTimeout
    this.endOfWait?.(connectTimeout)
  }

  /** Calls `end` when that happens, or has happened. */
  onTimeOut(end: (connectTimeout: number) => void): void {
    this.endOfWait = end
    if (this.timedOutAfter !== undefined) end(this.timedOutAfter)
  }

  give(command: Command): void {
    Deferred.unsafeDone(this.command, Exit.succeed(command))
  }

  readonly nextCommand: Effect.Effect<Command> = Effect.suspend(() =>
    Effect.map(Deferred.await(this.command), (command) => {
      this.command = Deferred.unsafeMake(FiberId.none)
      return command
    })
  )
}
