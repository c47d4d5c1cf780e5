/** @internal */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Api from "../ElasticPool.js"
import type { PoolError } from "../PoolError.js"
import { callable } from "./callable.js"
import { attempt, orDie } from "./decode.js"
import { awaiting, failHere, finallyDo, LeanDeferred } from "./effects.js"
import type { Held } from "./pool/leaks.js"
import type { Lifecycle } from "./pool/lifecycle.js"
import type { DecodedPool } from "./pool/options.js"
import { decodeEvict, decodeLimits, decodePool, decodeWithin, reachOf } from "./pool/options.js"
import { ElasticPoolState } from "./pool/pool.js"
import type { Reach } from "./pool/reach.js"
import type { Borrower } from "./pool/runtime.js"
import { makeRuntime } from "./pool/runtime.js"
import type { Settings } from "./pool/settings.js"
import type { Slot } from "./pool/slot.js"
import { interruptibleWait } from "./time/deadline.js"
import { ioClock } from "./time/ioClock.js"
import { timeOf } from "./time/time.js"
import { warnOfUnits } from "./units.js"

/** @internal */
export const TypeId: Api.TypeId = Symbol.for("effect-pgpool/ElasticPool") as Api.TypeId

/** @internal */
export const isElasticPool = (u: unknown): u is Api.ElasticPool<unknown, unknown> => Predicate.hasProperty(u, TypeId)

/** What is in force where nobody has set another clock. */
const liveClock = Context.get(DefaultServices.liveServices, Clock.Clock)

/**
 * Resources that several borrowers may use at the same time, of those who ask for no more.
 *
 * @internal
 */
export interface Shareable<A> {
  /** How many may use one. */
  readonly share: number
  /** Whether one that others use has room for one more. When it has again, `ElasticPoolState.shareable` is to be called. */
  readonly canShare: (a: A) => boolean
  /** Waits until the other side has let go of one that was closed. */
  readonly released?: (a: A) => Effect.Effect<unknown>
  readonly reach?: Reach
  /** Names one in the log. */
  readonly describe?: (a: A) => string
}

/** @internal */
export const makeState = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>,
  shareable?: Shareable<A>
): Effect.Effect<ElasticPoolState<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.flatMap(orDie(attempt(() => decodePool(options))), (decoded) => stateOf(options, decoded, shareable))

/** `decoded`: what the options of the pool itself say. @internal */
export const stateOf = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>,
  decoded: DecodedPool,
  { canShare, describe, reach, released, share }: Shareable<A> = { share: 1, canShare: () => false }
): Effect.Effect<ElasticPoolState<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    // No more can use one at the same time than may use it at all.
    const settings = { ...decoded, share: Math.min(share, decoded.maxUses) }
    const runtime = yield* Effect.runtime<Exclude<R, Scope.Scope>>()
    const clock = yield* Effect.clock
    const random = yield* Effect.random
    // The runtime that starts the connections' fibers has all that R asks for.
    const { acquire, check, isPermanent, isTransient, needsReset, reset } = options as Api.ResourceOptions<A, E, never>
    // Where that can't be known it is closed after the reset.
    const orInvalidate = (needsReset: (a: A) => boolean) => (a: A) => {
      try {
        return needsReset(a)
      } catch {
        state.invalidate(a)
        return true
      }
    }
    const state: ElasticPoolState<A, E> = new ElasticPoolState<A, E>(settings, {
      acquire,
      check: check ?? (() => Effect.void),
      reset: reset ?? (() => Effect.void),
      canCheck: check !== undefined,
      canShare,
      describe,
      released: released ?? (() => Effect.void),
      needsReset: reset === undefined ? () => false : orInvalidate(needsReset ?? (() => true)),
      isTransient: isTransient ?? (() => false),
      isPermanent: isPermanent ?? (() => false)
    }, {
      ...makeRuntime(
        timeOf(runtime, clock),
        timeOf(runtime, options.ioClock ?? (clock === liveClock ? ioClock : clock)),
        // Where none can be had, nobody is worse off than without jitter.
        () => Exit.getOrElse(Runtime.runSyncExit(runtime)(random.next), () => 0)
      ),
      reach: reach ?? reachOf(options, settings)
    })
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(Effect.sync(() => state.lifecycle.close()), ended(state.lifecycle))
    )
    state.start()
    return state
  })

/** @internal */
export const make = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>
): Effect.Effect<Api.ElasticPool<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.zipLeft(Effect.map(makeState(options), fromState), warnOfUnits(options))

/** @internal */
export const fromState = <A, E>(state: ElasticPoolState<A, E>): Api.ElasticPool<A, E> => ({
  [TypeId]: TypeId,
  get: get(state),
  use: (f) => use(state, (a) => f(a)),
  invalidate: (a) => Effect.sync(() => void state.invalidate(a)),
  resize: (limits) =>
    Effect.suspend(() =>
      Effect.map(
        orDie(attempt(() => decodeLimits(state.settings, limits))),
        ({ maxoverflow, maxsize }) => state.resize(maxsize, maxoverflow)
      )
    ),
  evict: (options) =>
    Effect.suspend(() =>
      Effect.map(
        orDie(attempt(() => decodeEvict(options))),
        ({ now, over }) => now ? state.evictor.evictNow() : state.evictor.evict(over)
      )
    ),
  drain: makeDrain(state),
  suspend: Effect.suspend(() =>
    state.lifecycle.suspend() ? interruptibleWait(emptied(state.lifecycle)) : Effect.succeed(false)
  ),
  resume: Effect.sync(() => state.lifecycle.resume()),
  stats: Effect.sync(() => state.stats())
})

/** Ends with `true` when no connection is left in this phase, with `false` if another phase began before that. */
const emptied = (lifecycle: Lifecycle): Effect.Effect<boolean> =>
  awaiting((resume) => lifecycle.onEmpty((isEmpty) => resume(Effect.succeed(isEmpty))))

/** Ends when a pool that is drained or closed has nothing left; it may be closed while it is drained. */
const ended = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.flatMap(emptied(lifecycle), (isEmpty) => isEmpty ? Effect.void : ended(lifecycle))

/**
 * With `besides` something else comes to its end. All of it has begun with the first step: whoever is interrupted leaves
 * only the wait.
 *
 * @internal
 */
export const makeDrain = <A, E>(
  { env, lifecycle }: ElasticPoolState<A, E>,
  besides: Effect.Effect<void> = Effect.void
): Api.Drain => {
  const begin = (within?: number) => {
    lifecycle.drain(within)
    return Effect.zipRight(ended(lifecycle), Effect.flatten(Fiber.await(env.fork(besides))))
  }
  return callable(
    Effect.suspend(() => interruptibleWait(begin())),
    (options) =>
      Effect.suspend(() => Effect.flatMap(orDie(attempt(() => decodeWithin(options))), begin)).pipe(
        Effect.map(() => lifecycle.cutOffs)
      )
  )
}

/**
 * Lends a connection, at once where one is ready (R2), else by a place in the queue. Must run uninterruptibly: only the
 * wait is restored, and what was handed over is given back if the wait was interrupted all the same (R12).
 */
const take = <A, E>(
  state: ElasticPoolState<A, E>,
  restore: <B, E2>(effect: Effect.Effect<B, E2>) => Effect.Effect<B, E2>
): Effect.Effect<Slot<A>, E | PoolError> => {
  const taken = state.take()
  if (taken !== undefined) return taken
  const outcome = new LeanDeferred<Slot<A>, E | PoolError>()
  const waiter = state.wait((exit) => outcome.done(exit))
  // What `Effect.onError` does, without a mask of its own: ten thousand may wait here.
  return Effect.catchAllCause(restore(outcome.await), (cause) => {
    state.leave(waiter)
    return failHere(cause)
  })
}

/** @internal */
export const get = <A, E>(state: ElasticPoolState<A, E>): Effect.Effect<A, E | PoolError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(take(state, restore), (slot) => {
      const loan = new Loan(state, slot, borrowerOf(state))
      return Effect.as(Effect.addFinalizer(() => Effect.sync(() => loan.end())), slot.value)
    })
  )

/**
 * `f` may end the loan before it ends itself, once it has done with the resource. `asError` is what a caller gets who got no
 * resource: only that, and never an error of `f`.
 *
 * @internal
 */
export const use = <A, E, B, E2, R, E3 = E | PoolError>(
  state: ElasticPoolState<A, E>,
  f: (a: A, loan: Loan<A, E>) => Effect.Effect<B, E2, R>,
  asError?: (error: E | PoolError) => E3
): Effect.Effect<B, E2 | E3, R> =>
  Effect.uninterruptibleMask((restore) => {
    const lend = (slot: Slot<A>) => {
      const loan = new Loan(state, slot, borrowerOf(state))
      return finallyDo(restore(Effect.suspend(() => f(slot.value, loan))), () => loan.end())
    }
    const taken = take(state, restore)
    // What is there at once is lent at once (R2).
    if (Exit.isExit(taken) && Exit.isSuccess(taken)) return lend(taken.value as Slot<A>)
    return Effect.flatMap(
      (asError === undefined ? taken : Effect.mapError(taken, asError)) as Effect.Effect<Slot<A>, E3>,
      lend
    )
  })

/** The fiber at work, where loans are watched: without `leakThreshold` nothing is paid for it. @internal */
export const borrowerOf = ({ settings }: { readonly settings: Settings }): Borrower | undefined =>
  settings.leakThreshold === Infinity ? undefined : Option.getOrUndefined(Fiber.getCurrentFiber())

/**
 * A resource in somebody's hands. A second end does nothing (I4). Meanwhile its length may be watched.
 *
 * @internal
 */
export class Loan<A, E> {
  /** Told of the end, just before the resource is given back. */
  onEnd: (() => void) | undefined = undefined
  private isOver = false
  private readonly held: Held<A> | undefined

  constructor(
    private readonly state: ElasticPoolState<A, E>,
    private readonly slot: Slot<A>,
    borrower: Borrower | undefined
  ) {
    this.held = borrower === undefined ? undefined : state.leaks.watch(slot.value, borrower)
  }

  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.onEnd?.()
    if (this.held !== undefined) this.state.leaks.end(this.held)
    this.state.release(this.slot)
  }
}
