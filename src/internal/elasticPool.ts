/** @internal */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Api from "../ElasticPool.js"
import { get, use } from "./borrow.js"
import { callable } from "./callable.js"
import { attempt, orDie } from "./decode.js"
import { awaiting } from "./effects.js"
import type { Inside } from "./inside.js"
import { inside } from "./inside.js"
import type { Lifecycle, Phase } from "./pool/lifecycle.js"
import type { DecodedPool } from "./pool/options.js"
import { decodeEvict, decodeLimits, decodePool, decodeWithin, reachOf } from "./pool/options.js"
import { ElasticPoolState } from "./pool/pool.js"
import type { Port } from "./pool/port.js"
import type { Reach } from "./pool/reach.js"
import { makeRuntime } from "./pool/runtime.js"
import { shownPool } from "./pool/shown.js"
import type { Meter } from "./pool/tally.js"
import { interruptibleWait } from "./time/deadline.js"
import { ioClock } from "./time/ioClock.js"
import { timeOf } from "./time/time.js"
import { warnOfUnits } from "./units.js"
import { heard } from "./watch/heard.js"

/** @internal */
export const TypeId: Api.TypeId = Symbol.for("effect-pgpool/ElasticPool") as Api.TypeId

/** @internal */
export const isElasticPool = (u: unknown): u is Api.ElasticPool<unknown, unknown> => Predicate.hasProperty(u, TypeId)

/** The clock that is in force if nobody has set another one. */
const liveClock = Context.get(DefaultServices.liveServices, Clock.Clock)

/**
 * The options of resources that several borrowers may use at the same time. Only borrowers that ask to share do so.
 *
 * @internal
 */
export interface Shareable<A> {
  /** How many borrowers may use one resource. */
  readonly share: number
  /**
   * Whether a resource in shared use has room for one more borrower. When it has room again,
   * `Sharing.reopened` must be called.
   */
  readonly canShare: (a: A) => boolean
  /** Whether the resource is not known to be dead. */
  readonly isUsable?: (a: A) => boolean
  /** Waits until the other side has released a resource that was closed. */
  readonly released?: (a: A) => Effect.Effect<unknown>
  readonly reach?: Reach
  /** Whether its borrower has it do something now. */
  readonly isRunning?: (a: A) => boolean
  /** The server's process behind it. */
  readonly processId?: (a: A) => number | undefined
  /** Is told what the pool counts. */
  readonly makeMeter?: ((pool: Port<any, any>) => Meter) | undefined
}

/** @internal */
export const makeState = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>,
  shareable?: Shareable<A>
): Effect.Effect<ElasticPoolState<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.flatMap(orDie(attempt(() => decodePool(options))), (decoded) => stateOf(options, decoded, shareable))

/** Makes a pool. `decoded` holds the decoded options of the pool itself. @internal */
export const stateOf = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>,
  decoded: DecodedPool,
  { canShare, isRunning, isUsable, makeMeter, processId, reach, released, share }: Shareable<A> = {
    share: 1,
    canShare: () => false
  }
): Effect.Effect<ElasticPoolState<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    // A resource can't have more borrowers at the same time than it may have in its whole life.
    const settings = { ...decoded, share: Math.min(share, decoded.maxUses) }
    const runtime = yield* Effect.runtime<Exclude<R, Scope.Scope>>()
    const clock = yield* Effect.clock
    const random = yield* Effect.random
    // The runtime that starts the connections' fibers provides everything that R requires.
    const { acquire, check, isPermanent, isTransient, needsReset, reset } = options as Api.ResourceOptions<A, E, never>
    // If `needsReset` throws, the resource is closed after the reset.
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
      isUsable: isUsable ?? (() => true),
      isRunning,
      processId,
      released: released ?? (() => Effect.void),
      needsReset: reset === undefined ? () => false : orInvalidate(needsReset ?? (() => true)),
      isTransient: isTransient ?? (() => false),
      isPermanent: isPermanent ?? (() => false)
    }, {
      ...makeRuntime(
        timeOf(runtime, clock),
        timeOf(runtime, options.ioClock ?? (clock === liveClock ? ioClock : clock)),
        // If there is no random number, the pool merely has no jitter.
        () => Exit.getOrElse(Runtime.runSyncExit(runtime)(random.next), () => 0),
        settings.name
      ),
      reach: reach ?? reachOf(options, settings),
      makeMeter
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => state.lifecycle.close()).pipe(
        Effect.zipRight(ended(state.lifecycle)),
        Effect.zipRight(Effect.sync(() => {
          state.tally.meter?.end()
          state.news.end()
        }))
      )
    )
    state.start()
    return state
  })

/** @internal */
export const make = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>
): Effect.Effect<Api.ElasticPool<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.tap(Effect.map(makeState(options), fromState), () => warnOfUnits(options.name ?? "", options))

/** @internal */
export const fromState = <A, E>(
  state: ElasticPoolState<A, E>
): Api.ElasticPool<A, E> & { readonly [inside]: Inside } => ({
  [TypeId]: TypeId,
  [inside]: { settings: () => shownPool(state.settings), health: () => undefined, server: undefined },
  get: get(state, (a) => a),
  use: (f) => use(state, (a) => f(a)),
  invalidate: (a) => Effect.sync(() => void state.invalidate(a)),
  resize: (limits) =>
    Effect.suspend(() =>
      Effect.map(
        orDie(attempt(() => decodeLimits(state.settings, limits))),
        ({ maxoverflow, maxsize }) => state.operator.resize(maxsize, maxoverflow)
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
  suspend: Effect.suspend(() => {
    const phase = state.lifecycle.suspend()
    return phase === undefined ? Effect.succeed(false) : interruptibleWait(emptied(phase))
  }),
  resume: Effect.sync(() => state.lifecycle.resume()),
  stats: Effect.sync(() => state.stats()),
  holders: Effect.sync(() => state.holders.at(state.env.now())),
  events: heard(state.news.events, state.env.date),
  loans: heard(state.news.loans, state.env.date)
})

/** Ends with `true` when this phase has no connection left, or with `false` if another phase began before that. */
const emptied = (phase: Phase): Effect.Effect<boolean> =>
  awaiting((resume) => phase.onEnd((wasEmptied) => resume(Effect.succeed(wasEmptied))))

/** Ends when a pool that is drained or closed has no connection left. A pool may be closed while it is drained. */
const ended = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.suspend(() => emptied(lifecycle.phase)),
    (wasEmptied) => wasEmptied ? Effect.void : ended(lifecycle)
  )

/**
 * The `drain` of a pool. `besides` is ended along with the pool. The first step begins all of it: a caller that is
 * interrupted ends only its own wait.
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
