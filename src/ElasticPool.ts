/**
 * The elastic pool for any scoped resource. It knows nothing of SQL.
 *
 * The idea is that of django_pgpool: `maxsize` resources are kept; when all are out a caller waits `maxwait` for one to
 * come back, then one more is opened, up to `maxoverflow`; what isn't needed is closed, and nothing lives longer than
 * `expires`. How long the wait is, a forecast decides, unless it is given.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as internal from "./internal/elasticPool.js"
import type { PoolError } from "./PoolError.js"
import type { PoolStats } from "./PoolStats.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = internal.TypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A pool of resources `A`, whose opening may fail with `E`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ElasticPool<A, E = never> {
  readonly [TypeId]: TypeId

  /**
   * Lends a resource until the scope is closed.
   *
   * It is given at once where one is idle (R2), else by a place in the queue, oldest first. The wait can be interrupted
   * at any point without loss (R12). Fails with the resource's own error where opening one failed for good (R6, R18), with
   * `PoolExhausted` after `acquireTimeout` (or by `whenFull: "fail"`), `PoolQueueFull` at once past `maxWaiting`, and
   * `PoolClosed` once the pool is closing or drained.
   */
  readonly get: Effect.Effect<A, E | PoolError, Scope.Scope>

  /**
   * Lends a resource for as long as `f` runs. The same as `get`, without the cost of a scope.
   */
  readonly use: <B, E2, R>(f: (a: A) => Effect.Effect<B, E2, R>) => Effect.Effect<B, E | PoolError | E2, R>

  /**
   * Says that a resource is broken: it is closed now if it is idle, and on release if somebody uses it. Resources are
   * told apart by identity. What the pool doesn't know is ignored.
   */
  readonly invalidate: (a: A) => Effect.Effect<void>

  /**
   * Changes the limits while the pool runs. Growing serves waiting callers at once; shrinking closes surplus idle
   * resources and lets busy ones finish. A bad limit is a defect (`IllegalArgumentException`) and changes nothing.
   */
  readonly resize: (limits: {
    readonly maxsize?: number | undefined
    readonly maxoverflow?: number | undefined
  }) => Effect.Effect<void>

  /**
   * Replaces all connections, softly (R19): for a server that moved, new credentials, a changed setting. One after the other,
   * a new connection is opened, and only when it is open does an old one go: now if it is idle, else when it is given back.
   * Until then the old ones serve as ever. One that opens for a caller meanwhile counts as well. There are as many
   * connections afterwards as before, also idle ones, and one more in between (two where callers share them). The effect
   * ends at once, and the rest happens in the background.
   *
   * Where no permit is free (`maxoverflow`) one old connection goes first. A pool with a single permit has nothing else to
   * serve with, should the new connection not open.
   *
   * While connects fail it stops: the old connections go on serving, a warning in the log says so once, connects are tried
   * by `connectRetry` (R18), and it goes on by itself when one succeeds. It lengthens no life: `expires` and the like hold.
   *
   * `over` is a span of time, a bare number is milliseconds: the turn of each connection comes at a random moment of it, so
   * that a fleet does not reconnect in step.
   *
   * `now: true` doesn't look whether new connections can be had: those that are idle are closed at once, those in use when
   * they are given back, and those that are still opening when they have opened. For connections that must not be used any
   * more. A span that is not allowed, or one together with `now`, is a defect (`IllegalArgumentException`).
   */
  readonly evict: (options?: {
    readonly over?: Duration.DurationInput | undefined
    readonly now?: boolean | undefined
  }) => Effect.Effect<void>

  /**
   * Brings the pool to its end, and ends when no connection is left: callers who wait are still served, newcomers fail
   * with `PoolClosed`, and connections close as soon as nobody needs them. It can't be undone.
   *
   * `drain` itself waits for borrowers for as long as they take, and `drain({ within: "20 seconds" })` for no longer than
   * that; see `Drain`.
   */
  readonly drain: Drain

  /**
   * Stops serving while somebody works on the server: callers wait in the queue, and their `maxwait` and `acquireTimeout`
   * stand still. Connections in use are closed when they are given back, the others now.
   *
   * Ends with `true` when none is left, and with `false` if the pool went on before: because of `resume`, because
   * `suspendTimeout` has passed, after which it resumes by itself, or because it is drained or closed. Where it is
   * suspended already this waits as well, and its time is not extended.
   *
   * An interrupt ends only the wait, also where nothing else can be interrupted: `Effect.timeout` round it is kept in a
   * finaliser too.
   */
  readonly suspend: Effect.Effect<boolean>

  /** Serves again after `suspend`. Does nothing where it is not suspended. */
  readonly resume: Effect.Effect<void>

  /** The pool at this instant. */
  readonly stats: Effect.Effect<PoolStats>
}

/**
 * The end of a pool: an effect that waits for all borrowers, and a function of the time that they have. Both can be used
 * in finalisers, also in those of a fiber that was interrupted, and in any number.
 *
 * - `drain` has no deadline of its own. An interrupt ends only the wait, also where nothing else can be interrupted, so
 *   that `Effect.timeout` round it is kept in a finaliser too. A fiber that was interrupted before it began to wait, as
 *   one that runs its finalisers, waits to the end.
 * - `drain({ within })` closes what is left when that time has passed, as the pool's scope does after `closeTimeout`:
 *   callers in the queue fail with `PoolClosed`, statements that run are cancelled, connections are closed under their
 *   borrowers. It ends when they are closed, after `within` and twice `cleanupTimeout` at the latest, with the number of
 *   those that were closed under their borrowers, ever: 0 if all came back by themselves. One warning in the log says so
 *   as well. The time goes on where its caller is interrupted, and is that of the clock for I/O (R14). Where several are
 *   given, the earliest end counts. A `within` that is not allowed is a defect (`IllegalArgumentException`).
 *
 * Functions that take an effect or a function, such as `Effect.andThen` and `Effect.tap`, take it for a function: write
 * `() => pool.drain` there.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { ElasticPool } from "effect-pgpool"
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ElasticPool.make({ acquire: Effect.succeed("a resource") })
 *   yield* Effect.addFinalizer(() => pool.drain({ within: "20 seconds" }))
 *   yield* pool.use((resource) => Effect.log(resource))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface Drain extends Effect.Effect<void> {
  (options: { readonly within: Duration.DurationInput }): Effect.Effect<number>
}

/**
 * Tells whether a value is a pool.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isElasticPool: (u: unknown) => u is ElasticPool<unknown, unknown> = internal.isElasticPool

/**
 * The options that every pool has. Durations are `DurationInput`s: a bare number is milliseconds. A value that isn't
 * allowed is a defect (`IllegalArgumentException`) that names the option, the value and what is allowed.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolOptions {
  /** Soft limit: connections kept, and opened without a wait. At least 1. Default: 10. */
  readonly maxsize?: number | undefined
  /**
   * How long a caller waits at the soft limit before an overflow connection is opened for it. Default: `"auto"`.
   *
   * A duration is the rule of django_pgpool: so long, whatever the load. `"auto"`: until it can expect a new connection
   * sooner than one that comes back, by what connects and loans have taken of late and how many callers come; for the time
   * of a connect at most, and never longer than 200 ms. Overflow connections then linger, also where `maxsize` are idle,
   * until they were not used for 8 times as long as a connect takes, and at least 150 ms: up to `maxoverflow` may be idle
   * for a while. A quiet pool settles on the same as by the fixed rule.
   */
  readonly maxwait?: Duration.DurationInput | "auto" | undefined
  /** Hard limit: connections open at any moment. Not below `maxsize`. Default: 20, or `maxsize` if that is more. */
  readonly maxoverflow?: number | undefined
  /**
   * What becomes of a caller that has waited for `maxwait` and finds all `maxoverflow` connections in use, or on their way
   * to callers before it (R4). Default: `"wait"`, on until `acquireTimeout`.
   *
   * `"fail"` is the rule of django_pgpool: it fails with `PoolExhausted` at once. With `maxwait: "auto"` it fails when it
   * has waited for 200 ms, however short connects are. Whoever is owed a connection that nobody holds, because one is
   * opened, checked or closed or may be opened, has `connectTimeout` more for that. `acquireTimeout` is the longest wait all
   * the same, and while connects fail both wait for as long.
   */
  readonly whenFull?: "wait" | "fail" | undefined
  /**
   * The longest that a caller waits in all, whatever else is set, but for the time in which connects fail
   * (`outageTimeout`). Default: 30 seconds.
   */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** The lifetime of a connection. Default: 10 minutes. */
  readonly expires?: Duration.DurationInput | undefined
  /** The part of `expires` that may be taken off at random, from 0 up to 1. Default: 0.025. */
  readonly expiresJitter?: number | undefined
  /** A quiet pool keeps this many connections, renewing them before they expire (R9). Default: 1. */
  readonly minsize?: number | undefined
  /** Closes what was not used for this long, down to `minsize` (R10). Default: off. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** Closes a connection after this many leases. Default: off. */
  readonly maxUses?: number | undefined
  /**
   * The length of the queue past which a caller fails at once. Callers for whom a connection is being opened or checked
   * are not in the queue. At least 1. Default: unbounded.
   */
  readonly maxWaiting?: number | undefined
  /** The longest that one connect may take. Default: 5 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** Connects in flight at the same time. Default: as many as callers need, within `maxoverflow`. */
  readonly connectConcurrency?: number | undefined
  /**
   * The delays between connects while they fail (R18). When the schedule ends, those who wait for a connect fail with
   * `PoolExhausted`. Default: 50 to 500 millis, exponential, with jitter, for ever.
   */
  readonly connectRetry?: Schedule.Schedule<unknown, unknown> | undefined
  /** How long callers wait while connects fail, if that is longer than `acquireTimeout`. Default: 10 seconds. */
  readonly outageTimeout?: Duration.DurationInput | undefined
  /** A connection idle for longer is checked before it is lent (R17). Default: 1 second. */
  readonly validateAfterIdle?: Duration.DurationInput | undefined
  /**
   * The longest that a check, a reset or a close may take. Default: 500 millis, and where connects take longer than a
   * third of a second half as much again as they take, as the other side is far away.
   */
  readonly cleanupTimeout?: Duration.DurationInput | undefined
  /** How long a closing pool waits for connections in use (R13). Default: 5 seconds. */
  readonly closeTimeout?: Duration.DurationInput | undefined
  /** After so long a suspended pool resumes by itself. Default: 30 seconds. */
  readonly suspendTimeout?: Duration.DurationInput | undefined
  /** Connections opened in the background when the pool is made. Not more than `maxsize`. Default: 0. */
  readonly warm?: number | undefined
  /**
   * Logs a warning about a connection that is held for longer, with the span in which it was taken, and a line when it has
   * come back after that: each once, ten lines a minute at most, and one that counts the rest. They go to the loggers of
   * the fiber that took it. Default: off.
   */
  readonly leakThreshold?: Duration.DurationInput | undefined
}

/**
 * What a pool must know of its resources.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResourceOptions<A, E, R> extends PoolOptions {
  /**
   * Opens a resource. It belongs to the pool and to no caller: no caller's interrupt ends it (R6). It runs in a scope
   * whose finalisers close the resource.
   */
  readonly acquire: Effect.Effect<A, E, R | Scope.Scope>
  /** Fails if a resource that was idle for `validateAfterIdle` is dead. It is closed then. */
  readonly check?: ((a: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * Makes a returned resource fit for the next borrower, in the resource's own fiber; no caller waits for it. If it
   * fails or takes longer than `cleanupTimeout` the resource is closed.
   */
  readonly reset?: ((a: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Whether a returned resource needs `reset`. Default: always, if there is a `reset`. */
  readonly needsReset?: ((a: A) => boolean) | undefined
  /**
   * Whether time may heal a failure of `acquire` (R18): then it fails nobody at once, and the next connect waits for
   * `connectRetry`. A timeout always counts as such. Best it is what is not known to come again, as nobody knows all that
   * may pass: `PgPool` says so of everything for which `isPermanent` says no. Default: never.
   */
  readonly isTransient?: ((error: E) => boolean) | undefined
  /**
   * Whether a failure of `acquire` is of a kind that would only come again, such as wrong credentials (R18). While no
   * resource is open it fails all who wait, and those who come during the next delay of `connectRetry`, which is then at
   * least half a second; else callers wait for the resources that there are. Not asked where `isTransient` says yes.
   * Default: never. A failure that is neither fails the caller that caused the connect, and the next connect is tried
   * at once.
   */
  readonly isPermanent?: ((error: E) => boolean) | undefined
  /**
   * The clock of the deadlines on I/O: `connectTimeout`, `cleanupTimeout`, `closeTimeout` and the delays between
   * connects (R14). What is said of the clock at `make` is true of this one too. Default: the clock in force where the
   * pool is made, as for everything else.
   */
  readonly ioClock?: Clock.Clock | undefined
}

/**
 * Makes a pool. Nothing is opened until somebody asks (R1), except for what `warm` says. The pool is closed with its
 * scope (R13): waiting callers fail with `PoolClosed` at once, resources in use have `closeTimeout` to come back.
 *
 * Time is the `Clock` and chance the `Random` in force here, so a `TestClock` decides when `maxwait`, `expires` and the
 * like pass (R14). Of the clock the pool uses `sleep` and the nanoseconds, and never the milliseconds: those of Effect's own
 * clock jump when the system's clock is set, and no wait is to be longer or shorter for that. So a clock of your own must
 * have nanoseconds that go with its `sleep`; where they begin does not matter.
 *
 * The idea and its four numbers are those of django_pgpool (https://github.com/tru-software/django_pgpool).
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { ElasticPool } from "effect-pgpool"
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ElasticPool.make({
 *     acquire: Effect.acquireRelease(
 *       Effect.succeed({ send: (message: string) => Effect.log(message) }),
 *       () => Effect.log("closed")
 *     ),
 *     maxsize: 2,
 *     maxwait: "200 millis",
 *     maxoverflow: 20,
 *     expires: "10 minutes"
 *   })
 *   yield* pool.use((resource) => resource.send("hello"))
 *   const { idle } = yield* pool.stats
 *   console.log(idle) // 1
 * }).pipe(Effect.scoped)
 *
 * Effect.runFork(program)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, E, R>(
  options: ResourceOptions<A, E, R>
): Effect.Effect<ElasticPool<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> => internal.make(options)
