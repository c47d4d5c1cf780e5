/** @internal */
import type * as Reactivity from "@effect/experimental/Reactivity"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberRef from "effect/FiberRef"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import type * as Api from "../PgPool.js"
import { use } from "./borrow.js"
import { orDie } from "./decode.js"
import { fromState, makeDrain, stateOf } from "./elasticPool.js"
import type { Inside } from "./inside.js"
import { inside } from "./inside.js"
import { RefusalLog } from "./pool/refusalLog.js"
import { attributesOf } from "./postgres/client/attributes.js"
import { makeClient } from "./postgres/client/client.js"
import { OperationMetrics } from "./postgres/client/operations.js"
import type { SessionPool } from "./postgres/client/pooled.js"
import { leaseOn, reserve } from "./postgres/client/router.js"
import * as Env from "./postgres/config/env.js"
import type { Origin } from "./postgres/config/remarks.js"
import { fromEnvironment } from "./postgres/config/remarks.js"
import { settingsLine, shown } from "./postgres/config/shown.js"
import type { DecodedTarget, Target } from "./postgres/config/target.js"
import { decodeTarget } from "./postgres/config/target.js"
import { currentWire } from "./postgres/config/wire.js"
import { activity } from "./postgres/connect/activity.js"
import { connect, connectInTime } from "./postgres/connect/connect.js"
import { reset } from "./postgres/connect/reset.js"
import { stillRuns } from "./postgres/connect/stillRuns.js"
import { asSqlError, connectError } from "./postgres/errors/errors.js"
import { isPermanent } from "./postgres/errors/permanent.js"
import { isServerFull } from "./postgres/errors/predicates.js"
import { Lease } from "./postgres/lease/lease.js"
import type { Session } from "./postgres/session/session.js"
import { Strays } from "./postgres/session/strays.js"
import { within } from "./time/deadline.js"
import { timeOf } from "./time/time.js"
import { warnOfUnits } from "./units.js"
import { Adviser } from "./watch/adviser.js"
import { poolName } from "./watch/catalogue.js"
import { HealthCheck } from "./watch/health.js"
import { Instruments } from "./watch/instruments.js"
import { PoolMetrics } from "./watch/metrics.js"
import { named } from "./words.js"

/** @internal */
export const TypeId: Api.TypeId = Symbol.for("effect-pgpool/PgPool") as Api.TypeId

/** @internal */
export const make = (
  options: Api.PgPoolOptions
): Effect.Effect<Api.PgPool, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.flatMap(orDie(decodeTarget(options)), (target) => open(options, target))

/** @internal */
export const makeConfig = (
  config: Config.Config.Wrap<Api.PgPoolOptions>
): Effect.Effect<Api.PgPool, SqlError | ConfigError.ConfigError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.flatMap(Config.unwrap(config), (options) => makeOrFail(options, (option) => option))

/** @internal */
export const makeFromEnv = (
  given: Api.PgPoolOptions
): Effect.Effect<Api.PgPool, SqlError | ConfigError.ConfigError, Scope.Scope | Reactivity.Reactivity> => {
  const nameOf = (option: string) => given[option as keyof Api.PgPoolOptions] === undefined ? Env.keyOf(option) : option
  return Effect.flatMap(Env.options(given), (options) => makeOrFail(options, nameOf, fromEnvironment(given)))
}

const makeOrFail = (
  options: Api.PgPoolOptions,
  nameOf: (option: string) => string,
  origin?: Origin
): Effect.Effect<Api.PgPool, SqlError | ConfigError.ConfigError, Scope.Scope | Reactivity.Reactivity> => {
  const target = decodeTarget(options, origin)
  return Either.isRight(target)
    ? open(options, target.right, nameOf)
    : Effect.fail(ConfigError.InvalidData([nameOf(target.left.option)], target.left.message))
}

/** Fails with the last connect error, or for want of any, once `connectTimeout` has passed. */
const connectOnce = (state: SessionPool, { connectTimeout, io }: Target): Effect.Effect<void, SqlError> => {
  const onTimeout = () => {
    const failure = state.outage.reason ??
      new Cause.TimeoutException(`no connection within connectTimeout (${connectTimeout} ms)`)
    return failure instanceof SqlError ? failure : connectError(failure)
  }
  return Effect.asVoid(Effect.scoped(reserve(state))).pipe(
    Effect.mapError(asSqlError),
    (once) => within(once, { millis: connectTimeout, clock: io.clock, onTimeout })
  )
}

/** A server that has no room for one more session, while the pool has some, is well. */
const connectBeside = (state: SessionPool, target: Target): Effect.Effect<unknown, SqlError, Scope.Scope> =>
  Effect.catchIf(
    connectInTime(target, () => {}),
    (error) => isServerFull(error) && state.tally.open > 0,
    () => Effect.void
  )

const open = (
  options: Api.PgPoolOptions,
  given: DecodedTarget,
  nameOf?: (option: string) => string
): Effect.Effect<Api.PgPool, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const wire = yield* FiberRef.get(currentWire)
    const decoded = wire.through(given)
    const clock = yield* Effect.clock
    const ioClock = wire.ioClock(clock)
    const io = timeOf(yield* Effect.runtime<never>(), ioClock)
    const strays = new Strays(io, () => state.settings.maxoverflow, (session) => stillRuns(target, session))
    const { name } = decoded.pool
    const instruments = options.metrics === false
      ? undefined
      : new Instruments(yield* Effect.metricLabels, { [poolName]: name })
    const target: Target = {
      ...decoded,
      clock,
      io,
      operations: instruments && new OperationMetrics(instruments.with(Object.fromEntries(attributesOf(decoded))))
    }
    yield* Effect.forEach(target.warnings, (warning) => Effect.logWarning(named(name, warning)), { discard: true })
    yield* warnOfUnits(name, options, nameOf)
    yield* Effect.logDebug(named(name, settingsLine(target)))
    const state: SessionPool = yield* stateOf<Session, SqlError, never>(
      {
        acquire: Effect.tap(connect(target, (session) => state.lost(session)), (session) =>
          Effect.sync(() => {
            session.onShareable = () => state.sharing.reopened(session)
            session.onCancel = () => void state.tally.cancelled++
            session.onRollback = () => void state.tally.rolledBack++
          })),
        check: (session) => session.ping,
        reset: (session) => reset(target, session),
        needsReset: (session) => target.reset === "session" || !session.isClean,
        isTransient: (error) => !isPermanent(error),
        isPermanent,
        ioClock
      },
      target.pool,
      {
        share: target.multiplex,
        canShare: (session) => session.canShare,
        isUsable: (session) => session.isAlive,
        released: (session) => session.released(strays),
        isRunning: (session) => !session.isSettled,
        processId: ({ processId }) => processId === 0 ? undefined : processId,
        reach: target.reach,
        makeMeter: instruments && ((pool) => new PoolMetrics(pool, instruments))
      }
    )
    if (target.advice) {
      state.rounds.assign(new Adviser(state))
      state.refusals.logTo(new RefusalLog(state.env, state.env.log))
    }
    const check = new HealthCheck(state, connectBeside(state, target))
    yield* Effect.addFinalizer(() => check.stop)
    const { closeListen, ...face } = yield* makeClient(state, target, options)
    if (options.eager === true) yield* connectOnce(state, target)
    const { events, evict, holders, loans, resize, resume, stats, suspend } = fromState(state)
    const get = reserve(state)
    return {
      [TypeId]: TypeId,
      [inside]: yield* insideOf(state, target, check),
      ...face,
      get,
      use: (f) => use(state, (session, loan) => f(leaseOn(session, loan))),
      invalidate: (connection) =>
        Effect.sync(() => {
          if (connection instanceof Lease) state.invalidate(connection.session)
        }),
      resize,
      evict,
      drain: makeDrain(state, closeListen),
      suspend,
      resume,
      stats,
      health: check.health,
      holders,
      events,
      loans
    }
  })

/** Opens nothing before somebody looks. */
const insideOf = (
  state: SessionPool,
  target: Target,
  check: HealthCheck<Session, SqlError>
): Effect.Effect<Inside, never, Scope.Scope> => {
  const inUse = () => [...state.connections.all].filter((slot) => slot.state === "busy").map((slot) => slot.value)
  return Effect.map(
    RcRef.make({ acquire: activity(target, inUse) }),
    (server) => ({ settings: () => shown(target, state.settings), health: () => check.seen, server })
  )
}
