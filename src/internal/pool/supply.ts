/** @internal */
import { wordsOf } from "../words.js"
import type { Owner } from "./life.js"
import { connectBrokenOff, life } from "./life.js"
import type { ConnectFailure } from "./outage.js"
import { classify } from "./outage.js"
import { PermitMissing } from "./permits.js"
import type { Port } from "./port.js"
import type { Failure } from "./runtime.js"
import { defect } from "./runtime.js"
import { Slot } from "./slot.js"

/**
 * Opens connections, and is told by their fibers what becomes of them, until their permits are back.
 *
 * @internal
 */
export class Supply<A, E> {
  /** Called by the fibers: each call is a section. */
  private readonly owner: Owner<A, E> = {
    opened: (slot, value) => this.pool.env.outbox.section(() => this.opened(slot, value)),
    openFailed: (slot, failure) => this.pool.env.outbox.section(() => this.openFailed(slot, failure)),
    ready: (slot) => this.pool.env.outbox.section(() => this.pool.ready(slot)),
    lost: (value) => this.pool.env.outbox.section(() => this.pool.lost(value)),
    closing: (slot) => this.pool.env.outbox.section(() => this.closing(slot))
  }

  constructor(private readonly pool: Port<A, E>) {}

  /** Opens a connection: for a waiter, or in the place of an old one. */
  connect(successorOf?: Slot<A>): void {
    const { connections, connectWatch, demand, env, evictor, news, permits, resource, tally, waiters, waitPolicy } =
      this.pool
    const { io, log, outbox, reach } = env
    const slot = new Slot<A>(connections.begun + 1, successorOf, reach.youngFor, io.now(), evictor.generation)
    connections.begin(slot)
    if (successorOf === undefined) waiters.cover(slot)
    tally.added(slot)
    news.opening(slot)
    if (tally.size > this.pool.settings.maxsize) {
      tally.meter?.overflowed()
      news.overflow(slot)
    }
    connectWatch.watch(slot)
    demand.dialled()
    waitPolicy.dialled(slot)
    const connection = life(slot, resource, { ioClock: io.clock, log, reach }, this.owner)
    const held = permits.hold(
      connection,
      () => new PermitMissing(tally.size, this.pool.settings.maxoverflow),
      (defect) => outbox.section(() => this.gone(slot, defect))
    )
    outbox.post(() => slot.runsIn(env.fork(held)))
  }

  opened(slot: Slot<A>, value: A): void {
    const { connections, demand, env, news, outage, settings, sweeper, tally, waitPolicy } = this.pool
    const now = env.now()
    const lifetime = settings.expires * (1 - settings.expiresJitter * env.chance())
    const took = env.io.now() - slot.dialledAt
    demand.uncover(slot)
    slot.opened(value, now, lifetime)
    connections.opened(slot, took)
    env.reach.connected(took)
    tally.connected(took, now)
    news.opened(slot, took)
    outage.healed(now)
    waitPolicy.opened(slot, now)
    sweeper.opened(slot)
    this.pool.ready(slot)
    demand.opened()
  }

  openFailed(slot: Slot<A>, cause: Failure<E>): void {
    const { demand, lifecycle, outage, refusals, resource, sweeper } = this.pool
    demand.uncover(slot)
    if (slot.state === "closing" || lifecycle.isClosing) return
    const { failure, kind } = classify(cause, resource)
    this.failed(slot, failure, kind)
    if (kind !== "transient") demand.stopWarming()
    const waiter = kind === "other" ? slot.causer : undefined
    if (waiter !== undefined) refusals.failed(waiter, failure)
    const { successorOf: old } = slot
    const isToBeRenewed = old !== undefined && sweeper.triesAgain(old)
    if (old !== undefined) sweeper.failed(old)
    if (kind !== "other" || isToBeRenewed) outage.begin(failure, kind === "permanent")
    this.pool.enter(slot, "closing")
    this.pool.serve()
  }

  private failed(slot: Slot<A>, failure: Failure<E>, kind: ConnectFailure<E>["kind"]): void {
    const { news, outage, tally } = this.pool
    outage.lastFailure = failure
    tally.connectFailed(outage.reason)
    news.connectFailed(slot, outage.reason, kind)
  }

  /** A connect that hangs must not be in the way of the next one (R18): its permit is wanted. */
  giveUpHopeless(): void {
    const slot = this.pool.connections.hopeless(this.pool.env.io.now())
    if (slot === undefined) return
    this.pool.enter(slot, "closing", "abandoned")
    this.pool.interrupt(slot)
  }

  /** `connectRetry` has come to its end: no connect is tried again for the callers that wait now. */
  giveUp(): void {
    const now = this.pool.env.now()
    this.pool.refusals.givenUp(now)
    this.pool.sweeper.giveUp()
    this.pool.demand.stopWarming()
    this.pool.outage.end(-Infinity)
    this.pool.serve(now)
  }

  /** The fiber comes to its end, for whatever reason. */
  closing(slot: Slot<A>): void {
    const { connections, demand, lifecycle, outage, sweeper } = this.pool
    demand.uncover(slot)
    connections.closing(slot)
    sweeper.closing(slot)
    if (slot.state === "closing") return
    const { isClosing } = lifecycle
    // No waiter fails for that, but the next connect is not to follow at once.
    if (slot.state === "opening" && !isClosing) {
      this.failed(slot, connectBrokenOff, "transient")
      outage.begin(connectBrokenOff, false)
    }
    this.pool.enter(slot, "closing", isClosing ? "closed" : slot.state === "checking" ? "dirty" : "failed")
    this.pool.serve()
  }

  /** The permit is back (R8). */
  private gone(slot: Slot<A>, diedOf: unknown): void {
    if (diedOf !== undefined) this.died(diedOf)
    // It may have had no permit, and so no life.
    this.closing(slot)
    this.pool.connections.all.delete(slot)
    this.pool.tally.removed(slot)
    this.pool.news.closed(slot)
    this.pool.serve()
  }

  /** The fiber of a connection has died: that costs the connection. But without permits the pool can't go on. */
  private died(why: unknown): void {
    const { demand, env, lifecycle, refusals } = this.pool
    env.log.error(`The fiber of a connection has died: ${wordsOf(why)}`)
    if (!(why instanceof PermitMissing) || lifecycle.isClosing) return
    refusals.dieOf(defect(why))
    demand.stopWarming()
    lifecycle.close()
  }
}
