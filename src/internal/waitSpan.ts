/** @internal */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import type { WaitReason } from "./pool/demand.js"
import type { ElasticPoolState } from "./pool/pool.js"
import type { Borrower } from "./pool/runtime.js"
import type { Waiter } from "./pool/waiters.js"
import { isTraced } from "./spans.js"
import { readOr } from "./words.js"

/**
 * The wait of a caller in the queue, as a span below the one that the caller is in. It is made when the wait has ended, with
 * its true times.
 *
 * @internal
 */
export class WaitSpan {
  private readonly clock: Clock.Clock
  private readonly began: bigint
  private readonly reason: WaitReason
  private isOver = false

  private constructor(
    private readonly pool: ElasticPoolState<any, any>,
    private readonly waiter: Waiter<any, any>,
    private readonly borrower: Borrower,
    private readonly parent: Tracer.AnySpan
  ) {
    this.clock = Context.get(borrower.currentDefaultServices, Clock.Clock)
    this.began = this.clock.unsafeCurrentTimeNanos()
    this.reason = pool.demand.waitReason
  }

  /** Nothing, where the caller need not wait, or nobody traces it. */
  static begin(
    pool: ElasticPoolState<any, any>,
    waiter: Waiter<any, any>,
    parent = waiter.borrower?.currentSpan
  ): WaitSpan | undefined {
    const { borrower, queued } = waiter
    return queued && borrower !== undefined && parent !== undefined && isTraced(borrower)
      ? WaitSpan.ifTraced(pool, waiter, borrower, parent)
      : undefined
  }

  /** On its own, as a function is given memory for what its closures use before it looks whether it needs them. */
  private static ifTraced(
    pool: ElasticPoolState<any, any>,
    waiter: Waiter<any, any>,
    borrower: Borrower,
    parent: Tracer.AnySpan
  ): WaitSpan | undefined {
    // A tracer or a clock that throws must not keep the caller from its connection.
    return readOr(
      () => isEnabled(borrower, parent) ? new WaitSpan(pool, waiter, borrower, parent) : undefined,
      undefined
    )
  }

  /** Only the first end counts. */
  end(exit: Exit.Exit<unknown, unknown>): void {
    if (this.isOver) return
    this.isOver = true
    readOr(() => this.tell(exit), undefined)
  }

  private tell(exit: Exit.Exit<unknown, unknown>): void {
    const tracer = Context.get(this.borrower.currentDefaultServices, Tracer.Tracer)
    const span = tracer.span("pool.wait", Option.some(this.parent), Context.empty(), [], this.began, "internal")
    span.attribute("db.client.connection.pool.name", this.pool.settings.name)
    span.attribute("effect_pgpool.wait.reason", this.hasSeenOutage ? "outage" : this.reason)
    span.attribute("effect_pgpool.outcome", outcomeOf(exit))
    span.end(this.clock.unsafeCurrentTimeNanos(), Exit.asVoid(exit))
  }

  /** Connects have failed while the caller waited. */
  private get hasSeenOutage(): boolean {
    return this.waiter.since <= this.pool.outage.until
  }
}

const isEnabled = (borrower: Borrower, parent: Tracer.AnySpan): boolean =>
  borrower.getFiberRef(FiberRef.currentTracerEnabled) && !Context.get(parent.context, Tracer.DisablePropagation)

/** In the words of the metric of requests. */
const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "served"
  if (Cause.isInterruptedOnly(exit.cause)) return "interrupted"
  const error = Cause.squash(exit.cause)
  if (Predicate.isTagged(error, "PoolClosed")) return "closed"
  return Predicate.isTagged(error, "PoolExhausted") && Predicate.hasProperty(error, "limit")
    ? String(error.limit)
    : "failed"
}
