/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Api from "../ElasticPool.js"
import type { PoolError } from "../PoolError.js"
import type { BadOption } from "./options.js"
import { decodeLimits, decodePool } from "./options.js"
import { ElasticPoolState } from "./pool/pool.js"
import type { Slot } from "./pool/slot.js"

/** @internal */
export const TypeId: Api.TypeId = Symbol.for("effect-pgpool/ElasticPool") as Api.TypeId

/** @internal */
export const isElasticPool = (u: unknown): u is Api.ElasticPool<unknown, unknown> => Predicate.hasProperty(u, TypeId)

/** Where options are literals, a bad one is the programmer's mistake. @internal */
export const orDie = <A>(decoded: Either.Either<A, BadOption>): Effect.Effect<A> =>
  Either.isRight(decoded)
    ? Effect.succeed(decoded.right)
    : Effect.die(new Cause.IllegalArgumentException(decoded.left.message))

/** @internal */
export const makeState = <A, E, R>(
  options: Api.ResourceOptions<A, E, R>
): Effect.Effect<ElasticPoolState<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    const settings = yield* orDie(decodePool(options))
    const runtime = yield* Effect.runtime<Exclude<R, Scope.Scope>>()
    const clock = yield* Effect.clock
    const random = yield* Effect.random
    // The runtime that starts the connections' fibers has all that R asks for.
    const { acquire, check, isTransient, needsReset, reset } = options as Api.ResourceOptions<A, E, never>
    const state = new ElasticPoolState<A, E>(settings, {
      acquire,
      check: check ?? (() => Effect.void),
      reset: reset ?? (() => Effect.void),
      canCheck: check !== undefined,
      needsReset: reset === undefined ? () => false : needsReset ?? (() => true),
      isTransient: isTransient ?? (() => false)
    }, {
      clock,
      ioClock: options.ioClock ?? clock,
      fork: Runtime.runFork(runtime),
      random: () => Effect.runSync(random.next)
    })
    yield* Effect.addFinalizer(() => state.close)
    state.start()
    return state
  })

/** @internal */
export const fromState = <A, E>(state: ElasticPoolState<A, E>): Api.ElasticPool<A, E> => ({
  [TypeId]: TypeId,
  get: get(state),
  use: (f) => use(state, f),
  invalidate: (a) => Effect.sync(() => state.invalidate(a)),
  resize: (limits) =>
    Effect.suspend(() =>
      Effect.map(
        orDie(decodeLimits(state.settings, limits)),
        ({ maxoverflow, maxsize }) => state.resize(maxsize, maxoverflow)
      )
    ),
  stats: Effect.sync(() => state.stats())
})

/** @internal */
export const get = <A, E>(state: ElasticPoolState<A, E>): Effect.Effect<A, E | PoolError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      state.take(restore),
      (slot) =>
        Effect.flatMap(watchLeak(state, slot), (release) => Effect.as(Effect.addFinalizer(() => release), slot.value))
    )
  )

/**
 * `asError` is what a caller gets who got no connection: only that, and never an error of `f`.
 *
 * @internal
 */
export const use = <A, E, B, E2, R, E3 = E | PoolError>(
  state: ElasticPoolState<A, E>,
  f: (a: A) => Effect.Effect<B, E2, R>,
  asError?: (error: E | PoolError) => E3
): Effect.Effect<B, E2 | E3, R> =>
  Effect.uninterruptibleMask((restore) => {
    const taken = state.take(restore)
    return Effect.flatMap(
      (asError === undefined ? taken : Effect.mapError(taken, asError)) as Effect.Effect<Slot<A>, E3>,
      (slot) =>
        Effect.flatMap(
          watchLeak(state, slot),
          (release) => Effect.onExit(restore(Effect.suspend(() => f(slot.value))), () => release)
        )
    )
  })

/** Gives the release of a lease; until then a watch warns of a lease that is held for too long. */
const watchLeak = <A, E>(state: ElasticPoolState<A, E>, slot: Slot<A>): Effect.Effect<Effect.Effect<void>> => {
  const release = Effect.sync(() => state.release(slot))
  const { leakThreshold } = state.settings
  if (leakThreshold === Infinity) return Effect.succeed(release)
  return Effect.gen(function*() {
    const borrower = yield* Effect.fiberId
    const span = yield* Effect.option(Effect.currentSpan)
    const taken = Option.isSome(span) ? `in span ${span.value.name} (${span.value.spanId})` : "outside any span"
    const watch = yield* Effect.logWarning(
      `A connection has been held for more than ${leakThreshold} ms. It was taken ${taken}.`
    ).pipe(
      Effect.annotateLogs({ borrower, taken }),
      Effect.delay(leakThreshold),
      // R14: the threshold is policy time, and the borrower may have a clock of its own.
      Effect.withClock(state.env.clock),
      Effect.interruptible,
      Effect.forkDaemon
    )
    return Effect.zipRight(Fiber.interruptFork(watch), release)
  })
}
