/** @internal */
import { LinkedList } from "./linkedList.js"
import type { Slot } from "./slot.js"

/**
 * The pool's books of its connections: all that hold a permit, those that are ready, and which value is whose.
 *
 * @internal
 */
export class Connections<A> {
  readonly all = new Set<Slot<A>>()
  /** Those that are being opened, in the order in which they were begun. */
  readonly opening = new Set<Slot<A>>()
  /** Those that are ready: the last one was used last. */
  readonly idle = new LinkedList<Slot<A>>()
  private readonly byValue = new Map<A, Slot<A>>()
  /** Values that were called broken before their connects were known to have succeeded. */
  private readonly stillborn = new WeakSet<object>()
  /** Of the last connect that succeeded. Milliseconds by the clock of I/O. */
  private success = { dialledAt: -Infinity, took: Infinity }
  /** How many have been begun. */
  begun = 0
  /** How often all have become suspect. */
  private suspicions = 0
  /** When a connect, a check or a reset has succeeded last. */
  provenAt = -Infinity

  begin(slot: Slot<A>): void {
    this.begun++
    this.all.add(slot)
    this.opening.add(slot)
  }

  /** `took`: milliseconds by the clock of I/O. */
  opened(slot: Slot<A>, took: number): void {
    const { value } = slot
    this.success = { dialledAt: slot.dialledAt, took }
    if (isObject(value) && this.stillborn.delete(value)) slot.invalidate()
    this.byValue.set(value, slot)
  }

  /** The connection that has this value. */
  of(value: A): Slot<A> | undefined {
    return this.byValue.get(value)
  }

  closing(slot: Slot<A>): void {
    if (this.byValue.get(slot.value) === slot) this.byValue.delete(slot.value)
  }

  /** Whether it is open, and not known to be broken. */
  seemsWell(value: A): boolean {
    return this.byValue.get(value)?.invalid === false
  }

  /** Marks a connection as broken. */
  invalidate(value: A): void {
    const slot = this.byValue.get(value)
    if (slot !== undefined) slot.invalidate()
    else if (this.opening.size > 0 && isObject(value)) this.stillborn.add(value)
  }

  /**
   * A connect that hangs, and is to be given up for its permit: one that began later has succeeded in half the time, or
   * there is an older one, and it has taken twice as long as a caller relies on it. The oldest is left alone: a server
   * that is slow, and not away, has until `connectTimeout`.
   */
  hopeless(ioNow: number): Slot<A> | undefined {
    // The stale ones, on which no caller relies any more, are always the oldest.
    const [oldest, second] = this.opening
    const age = (slot: Slot<A>) => ioNow - slot.dialledAt
    const { dialledAt, took } = this.success
    if (oldest?.stale && oldest.dialledAt < dialledAt && age(oldest) > 2 * took) return oldest
    if (second?.stale && age(second) >= 2 * second.youngFor) return second
  }

  /** All that are open are to be checked before their next use (R19). */
  suspect(): void {
    this.suspicions++
  }

  isSuspect(slot: Slot<A>): boolean {
    return slot.suspicions < this.suspicions
  }

  /** It is known to be well at `now`. */
  proven(slot: Slot<A>, now: number): void {
    this.provenAt = now
    slot.proven(now, this.suspicions)
  }
}

/** Whether it can be told apart from all others. */
const isObject = (value: unknown): value is object =>
  typeof value === "function" || (typeof value === "object" && value !== null)
