/**
 * The elastic pool for any scoped resource. It knows nothing of SQL.
 *
 * The idea is that of django_pgpool. `maxsize` resources are kept. When all are in use, a caller waits `maxwait` for
 * one to come back, then one more is opened, up to `maxoverflow`. Resources that aren't needed are closed, and none
 * lives longer than `expires`. A forecast decides how long the wait is, unless `maxwait` is set.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as internal from "./internal/elasticPool.js"
import type { PoolError } from "./PoolError.js"
import type { Dropped, Loan, PoolEvent } from "./PoolEvent.js"
import type { Holder } from "./PoolHolder.js"
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
   * An idle resource is lent at once (R2), else the caller waits in the queue, oldest first. The wait can be
   * interrupted at any point without loss (R12). It fails with the resource's own error if opening one failed for good
   * (R6, R18), with `PoolExhausted` after `acquireTimeout` (or by `whenFull: "fail"`), with `PoolQueueFull` at once if
   * `maxWaiting` callers wait, and with `PoolClosed` once the pool is closing or drained. If the scope is closed before
   * the resource is there, the caller is interrupted.
   */
  readonly get: Effect.Effect<A, E | PoolError, Scope.Scope>

  /**
   * Lends a resource for as long as `f` runs. The same as `get`, without the cost of a scope.
   */
  readonly use: <B, E2, R>(f: (a: A) => Effect.Effect<B, E2, R>) => Effect.Effect<B, E | PoolError | E2, R>

  /**
   * Marks a resource as broken: it is closed now if it is idle, and on release if it is in use. Resources are told
   * apart by identity. A value that is no resource of this pool is ignored.
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
   * Replaces all connections without a gap (R19): for a server that moved, new credentials, a changed setting. One
   * after the other, a new connection is opened, and only when it is open is an old one closed: now if it is idle, else
   * when it is given back. Until then the old connections serve as before. A connection that opens for a caller
   * meanwhile counts as a new one. Afterwards there are as many connections as before, idle ones included, and in
   * between one more (two where callers share them). The effect ends at once, and the rest happens in the background.
   *
   * If no permit is free (`maxoverflow`), one old connection is closed first. A pool with a single permit then has no
   * connection if the new one does not open.
   *
   * While connects fail the replacement stops: the old connections go on serving, a warning in the log says so once,
   * connects are tried by `connectRetry` (R18), and the replacement goes on by itself when one succeeds. No connection
   * lives longer because of it: `expires` and the like hold.
   *
   * `over` is a span of time; a bare number is milliseconds. Each connection is replaced at a random moment of it, so
   * that the processes of a fleet do not reconnect at the same time.
   *
   * `now: true` is for connections that must not be used any more. It does not wait for new connections: idle ones are
   * closed at once, those in use when they are given back, and those that are still opening when they have opened. A
   * span that is not allowed, or a span together with `now`, is a defect (`IllegalArgumentException`).
   */
  readonly evict: (options?: {
    readonly over?: Duration.DurationInput | undefined
    readonly now?: boolean | undefined
  }) => Effect.Effect<void>

  /**
   * Brings the pool to its end, and ends when no connection is left. Callers that wait are still served, new callers
   * fail with `PoolClosed`, and connections close as soon as they are not needed. It can't be undone.
   *
   * `drain` itself waits for borrowers without a limit, and `drain({ within: "20 seconds" })` for that time; see
   * `Drain`.
   */
  readonly drain: Drain

  /**
   * Stops serving, for work on the server: callers wait in the queue, and their `maxwait` and `acquireTimeout` stand
   * still. Connections in use are closed when they are given back, the others now.
   *
   * Ends with `true` when no connection is left, and with `false` if the pool went on before that: because of `resume`,
   * because `suspendTimeout` has passed, after which the pool resumes by itself, or because it is drained or closed. On
   * a pool that is suspended already, this waits too, and the time is not extended.
   *
   * An interrupt ends only the wait, also in an uninterruptible region: `Effect.timeout` around it works in a finaliser
   * too.
   */
  readonly suspend: Effect.Effect<boolean>

  /** Serves again after `suspend`. Does nothing if the pool is not suspended. */
  readonly resume: Effect.Effect<void>

  /** The pool at this instant. */
  readonly stats: Effect.Effect<PoolStats>

  /**
   * Who holds the connections at this instant, the longest first: for how long, and in which span. Each pool knows that;
   * `PoolHolder` says it in words.
   */
  readonly holders: Effect.Effect<ReadonlyArray<Holder>>

  /**
   * What happens in the pool, from when the stream begins until the pool is closed. A listener never slows the pool:
   * what it was too slow for is left out, and counted by `Dropped`.
   */
  readonly events: Stream.Stream<PoolEvent>

  /** What becomes of each caller. It is told as `events` are. */
  readonly loans: Stream.Stream<Loan | Dropped>
}

/**
 * The end of a pool: an effect that waits for all borrowers, and a function of the time that they have. Both can be
 * used in finalisers, also in those of an interrupted fiber, and more than once.
 *
 * - `drain` has no deadline of its own. An interrupt ends only the wait, also in an uninterruptible region, so that
 *   `Effect.timeout` around it works in a finaliser too. A fiber that was interrupted before it began to wait, for
 *   instance one that runs its finalisers, waits to the end.
 * - `drain({ within })` closes the remaining connections when that time has passed, as the pool's scope does after
 *   `closeTimeout`: callers in the queue fail with `PoolClosed`, running statements are cancelled, and connections are
 *   closed while their borrowers still have them. It ends when they are closed, after `within` and twice
 *   `cleanupTimeout` at the latest. It gives the number of connections that were closed in use, since the pool was
 *   made: 0 if all came back by themselves. One warning in the log says so as well. The time goes on if the caller is
 *   interrupted, and it is that of the clock for I/O (R14). If several times are given, the earliest end counts. A
 *   `within` that is not allowed is a defect (`IllegalArgumentException`).
 *
 * Functions that take an effect or a function, such as `Effect.andThen` and `Effect.tap`, would call `drain` as a
 * function: write `() => pool.drain` there.
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
  /**
   * The pool's name: in its errors, its lines in the log, its metrics and on its page. At most 100 characters, on one
   * line. Default: none; for `PgPool` it is `host:port/database`.
   */
  readonly name?: string | undefined
  /** Soft limit: connections kept, and opened without a wait. At least 1. Default: 10. */
  readonly maxsize?: number | undefined
  /**
   * How long a caller waits at the soft limit before an overflow connection is opened for it. Default: `"auto"`.
   *
   * A duration is the rule of django_pgpool: the wait is that long, whatever the load. With `"auto"` the caller waits
   * until a new connection is expected sooner than one that comes back. The forecast looks at how long connects and
   * loans took recently, and at how many callers come. The wait is never longer than a connect, nor than 200 ms. With
   * `"auto"`, overflow connections are kept for a while, even if `maxsize` others are idle: until they were unused for
   * 8 times as long as a connect takes, and for at least 150 ms. So up to `maxoverflow` may be idle for a while. A
   * quiet pool ends with the same connections as by the fixed rule.
   */
  readonly maxwait?: Duration.DurationInput | "auto" | undefined
  /** Hard limit: connections open at any moment. Not below `maxsize`. Default: 20, or `maxsize` if that is more. */
  readonly maxoverflow?: number | undefined
  /**
   * What happens to a caller that has waited for `maxwait` while all `maxoverflow` connections are in use, or on their
   * way to callers before it (R4). Default: `"wait"`: it waits on until `acquireTimeout`.
   *
   * `"fail"` is the rule of django_pgpool: the caller fails with `PoolExhausted` at once. With `maxwait: "auto"` it
   * fails when it has waited for 200 ms, however short connects are. If the pool owes the caller a connection that no
   * one holds, because one is opened, checked or closed, or may be opened, the caller waits up to `connectTimeout`
   * longer for it. `acquireTimeout` still is the longest wait. While connects fail, `"wait"` and `"fail"` wait for the
   * same time.
   */
  readonly whenFull?: "wait" | "fail" | undefined
  /**
   * The longest that a caller waits in all, whatever else is set. Only while connects fail it may be longer
   * (`outageTimeout`). Default: 30 seconds.
   */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** The lifetime of a connection. Default: 10 minutes. */
  readonly expires?: Duration.DurationInput | undefined
  /** The part of `expires` that may be taken off at random, from 0 up to 1. Default: 0.025. */
  readonly expiresJitter?: number | undefined
  /** A quiet pool keeps this many connections, renewing them before they expire (R9). Default: 1. */
  readonly minsize?: number | undefined
  /** Closes connections that were not used for this long, down to `minsize` (R10). Default: off. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** Closes a connection after this many leases. Default: off. */
  readonly maxUses?: number | undefined
  /**
   * The length of the queue at which a new caller fails at once. Callers whose connection is already being opened or
   * checked are not counted. At least 1. Default: unbounded.
   */
  readonly maxWaiting?: number | undefined
  /** The longest that one connect may take. Default: 5 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** Connects in flight at the same time. Default: as many as callers need, within `maxoverflow`. */
  readonly connectConcurrency?: number | undefined
  /**
   * The delays between connects while they fail (R18). When the schedule ends, callers that wait for a connect fail
   * with `PoolExhausted`. Default: 50 to 500 millis, exponential, with jitter, without an end.
   */
  readonly connectRetry?: Schedule.Schedule<unknown, unknown> | undefined
  /** How long callers wait while connects fail, if that is longer than `acquireTimeout`. Default: 10 seconds. */
  readonly outageTimeout?: Duration.DurationInput | undefined
  /** A connection idle for longer is checked before it is lent (R17). Default: 1 second. */
  readonly validateAfterIdle?: Duration.DurationInput | undefined
  /**
   * The longest that a check, a reset or a close may take. Default: 500 millis. If connects take longer than a third of
   * a second, because the server is far away, it is half as much again as a connect takes.
   */
  readonly cleanupTimeout?: Duration.DurationInput | undefined
  /** How long a closing pool waits for connections in use (R13). Default: 5 seconds. */
  readonly closeTimeout?: Duration.DurationInput | undefined
  /** After so long a suspended pool resumes by itself. Default: 30 seconds. */
  readonly suspendTimeout?: Duration.DurationInput | undefined
  /** Connections opened in the background when the pool is made. Not more than `maxsize`. Default: 0. */
  readonly warm?: number | undefined
  /**
   * Logs a warning about a connection that is held for longer, with the span in which it was taken and the one in which
   * its fiber is now, and another line when it comes back later. There are ten such lines a minute at most, and one that
   * counts the rest. They go to the loggers of the fiber that took the connection. Default: off.
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
   * Opens a resource. It belongs to the pool and to no caller, so the interrupt of a caller does not end it (R6). It
   * runs in a scope whose finalisers close the resource.
   */
  readonly acquire: Effect.Effect<A, E, R | Scope.Scope>
  /** Fails if a resource that was idle for `validateAfterIdle` is dead. It is closed then. */
  readonly check?: ((a: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * Prepares a returned resource for the next borrower, in the resource's own fiber; the last borrower does not wait
   * for it. If it fails or takes longer than `cleanupTimeout`, the resource is closed.
   */
  readonly reset?: ((a: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Whether a returned resource needs `reset`. Default: always, if there is a `reset`. */
  readonly needsReset?: ((a: A) => boolean) | undefined
  /**
   * Whether a failure of `acquire` may pass by itself (R18): then no caller fails at once, and the next connect waits
   * for `connectRetry`. A timeout is always such a failure. No list of such failures is complete, so it is best to
   * answer yes for every failure that is not known to come again: `PgPool` does so wherever `isPermanent` answers no.
   * Default: never.
   */
  readonly isTransient?: ((error: E) => boolean) | undefined
  /**
   * Whether a failure of `acquire` would only come again, such as wrong credentials (R18). If no resource is open, it
   * fails all callers that wait, and those that come during the next delay of `connectRetry`, which is then at least
   * half a second. Else callers wait for the open resources. It is not asked if `isTransient` answers yes. Default:
   * never. A failure that is neither fails the caller that caused the connect, and the next connect is tried at once.
   */
  readonly isPermanent?: ((error: E) => boolean) | undefined
  /**
   * The clock of the deadlines on I/O: `connectTimeout`, `cleanupTimeout`, `closeTimeout` and the delays between
   * connects (R14). It must be such a clock as `make` asks for. Default: the clock in force where the pool is made, as
   * for everything else.
   */
  readonly ioClock?: Clock.Clock | undefined
}

/**
 * Makes a pool. Apart from `warm`, it opens nothing before the first caller asks (R1). The pool is closed with its
 * scope (R13): callers that wait fail with `PoolClosed` at once, and resources in use have `closeTimeout` to come back.
 *
 * The pool uses the `Clock` and the `Random` in force here, so a `TestClock` decides when `maxwait`, `expires` and the
 * like pass (R14). Of the clock the pool uses `sleep` and the nanoseconds, and never the milliseconds: those of
 * Effect's own clock jump when the system's clock is set, and that must not change how long a caller waits. So a clock
 * of your own must have nanoseconds that agree with its `sleep`; where they begin does not matter.
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
