/**
 * The elastic pool of PostgreSQL connections, as a `Layer` that provides `SqlClient`, `PgClient` and the pool itself.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Drain, ElasticPool } from "./ElasticPool.js"
import * as internal from "./internal/pgPool.js"
import { fromPgClientConfig as fromConfig } from "./internal/postgres/config/fromPgClient.js"
import type { ListenEvent, PgConnection, PgPoolOptions, TransactionOptions } from "./PgPoolOptions.js"
import type { PoolError } from "./PoolError.js"
import type { Health } from "./PoolHealth.js"

export type { ListenEvent, PgConnection, PgPoolOptions, TransactionOptions, UseInstead } from "./PgPoolOptions.js"

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

type Elastic = ElasticPool<PgConnection>

/**
 * The pool behind a `SqlClient`. It lends connections, tells its statistics and changes its limits.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgPool {
  readonly [TypeId]: TypeId
  /** The client of this pool: the same object that the layer provides as `SqlClient` and `PgClient`. */
  readonly client: PgClient.PgClient
  /** Lends a connection until the scope is closed. Fails as `ElasticPool.get` does. */
  readonly get: Effect.Effect<PgConnection, SqlError | PoolError, Scope.Scope>
  /** Lends a connection for as long as `f` runs. */
  readonly use: <A, E, R>(
    f: (connection: PgConnection) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError | PoolError, R>
  /** Marks a connection as broken: it is closed when it is given back. */
  readonly invalidate: (connection: PgConnection) => Effect.Effect<void>
  /**
   * Replaces all connections, one after the other: a new one is opened first, and while connects fail the old ones go
   * on serving. With `now: true` the old ones are closed at once, whether new ones can be opened or not. See
   * `ElasticPool.evict`. The session of `listen` is kept.
   */
  readonly evict: (options?: {
    readonly over?: Duration.DurationInput | undefined
    readonly now?: boolean | undefined
  }) => Effect.Effect<void>
  /**
   * Brings the pool to its end; see `ElasticPool.Drain`. Callers that wait are still served. New callers and listeners
   * fail with `PoolClosed` at once. `drain` waits until no connection is left. `drain({ within })` ends after that
   * time: it cancels statements that still run, closes connections that are still in use, and gives the number of
   * these. Both can be used in a finaliser.
   *
   * @example
   * ```ts
   * import { Effect, Layer } from "effect"
   * import { PgPool, PgPoolLayer } from "effect-pgpool"
   *
   * const DatabaseLive = Layer.scopedDiscard(
   *   Effect.flatMap(PgPool.PgPool, (pool) => Effect.addFinalizer(() => pool.drain({ within: "20 seconds" })))
   * ).pipe(Layer.provideMerge(PgPoolLayer))
   * ```
   */
  readonly drain: Drain
  /**
   * Stops serving, for work on the server; see `ElasticPool.suspend`. The session of `listen` is not touched: it
   * reconnects by itself.
   *
   * @example
   * ```ts
   * import { Effect } from "effect"
   * import { PgPool } from "effect-pgpool"
   *
   * const restart = (work: Effect.Effect<void>) =>
   *   Effect.flatMap(PgPool.PgPool, (pool) =>
   *     Effect.flatMap(
   *       pool.suspend,
   *       (isQuiet) => isQuiet ? work : Effect.logWarning("Somebody still holds a connection")
   *     ).pipe(Effect.ensuring(pool.resume)))
   * ```
   */
  readonly suspend: Effect.Effect<boolean>
  /** Whether the pool can serve its callers: an answer within a second, and never an error; see `PoolHealth.Health`. */
  readonly health: Effect.Effect<Health>
  /** Changes the limits while the pool runs; see `ElasticPool.resize`. */
  readonly resize: Elastic["resize"]
  /** Serves again after `suspend`. */
  readonly resume: Elastic["resume"]
  /** The pool at this instant. */
  readonly stats: Elastic["stats"]
  /** Who holds the connections at this instant; see `ElasticPool.holders`. */
  readonly holders: Elastic["holders"]
  /** What happens in the pool; see `ElasticPool.events`. */
  readonly events: Elastic["events"]
  /** What becomes of each caller; see `ElasticPool.loans`. */
  readonly loans: Elastic["loans"]
  /** `PgPool.transaction` of this pool. */
  readonly transaction: (
    options: TransactionOptions
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** `PgPool.withConnection` of this pool. */
  readonly withConnection: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** `PgPool.listen` of this pool. */
  readonly listen: (channel: string) => Stream.Stream<ListenEvent, SqlError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const PgPool: Context.Tag<PgPool, PgPool> = Context.GenericTag<PgPool>("effect-pgpool/PgPool")

/**
 * Makes a pool in a scope. Most programs use `layer`; this is for several pools, each under a tag of its own.
 *
 * It opens nothing before the first caller asks (R1), unless `eager` or `warm` is set. An option that isn't allowed is
 * a defect (`IllegalArgumentException`). Fails with `SqlError` only if `eager` is set.
 *
 * @example
 * ```ts
 * import * as Reactivity from "@effect/experimental/Reactivity"
 * import { SqlClient } from "@effect/sql"
 * import { Context, Effect, Layer, Redacted } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * class Reports extends Context.Tag("Reports")<Reports, SqlClient.SqlClient>() {}
 *
 * const ReportsLive = Layer.scoped(
 *   Reports,
 *   Effect.map(
 *     PgPool.make({ url: Redacted.make("postgresql://localhost/reports"), maxsize: 2 }),
 *     (pool) => pool.client
 *   )
 * ).pipe(Layer.provide(Reactivity.layer))
 *
 * const program = Effect.flatMap(Reports, (sql) => sql`SELECT 1`).pipe(Effect.provide(ReportsLive))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (
  options: PgPoolOptions
) => Effect.Effect<PgPool, SqlError, Scope.Scope | Reactivity.Reactivity> = internal.make

const contextOf = (pool: PgPool): Context.Context<PgPool | PgClient.PgClient | SqlClient.SqlClient> =>
  Context.make(PgPool, pool).pipe(
    Context.add(PgClient.PgClient, pool.client),
    Context.add(SqlClient.SqlClient, pool.client)
  )

/**
 * Replaces `PgClient.layer`: programs go on writing `yield* SqlClient.SqlClient`.
 *
 * It can be built while the database is down (R1), and it is closed with its scope (R13). An option that isn't allowed
 * is a defect (`IllegalArgumentException`) that names the option, the value and what is allowed; `layerConfig` makes it
 * a `ConfigError`. Fails with `SqlError` only if `eager` is set.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Redacted } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT now()`
 * })
 *
 * const DatabaseLive = PgPool.layer({
 *   url: Redacted.make("postgresql://localhost/app"),
 *   maxsize: 2,
 *   maxoverflow: 20,
 *   expires: "10 minutes"
 * })
 *
 * Effect.runPromise(Effect.provide(program, DatabaseLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: PgPoolOptions
): Layer.Layer<PgPool | PgClient.PgClient | SqlClient.SqlClient, SqlError> =>
  Layer.scopedContext(Effect.map(make(options), contextOf)).pipe(Layer.provide(Reactivity.layer))

/**
 * `layer`, with options from a `Config`. An option that isn't allowed is a `ConfigError` that names it.
 *
 * @example
 * ```ts
 * import { Config } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * const DatabaseLive = PgPool.layerConfig({
 *   url: Config.redacted("DATABASE_URL"),
 *   maxsize: Config.integer("POOL_SIZE").pipe(Config.withDefault(10))
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<PgPoolOptions>
): Layer.Layer<PgPool | PgClient.PgClient | SqlClient.SqlClient, ConfigError.ConfigError | SqlError> =>
  Layer.scopedContext(Effect.map(internal.makeConfig(config), contextOf)).pipe(Layer.provide(Reactivity.layer))

/**
 * Translates a `PgClientConfig` to the options of this pool, so that
 * `PgPool.layer(PgPool.fromPgClientConfig(config))` replaces `PgClient.layer(config)`.
 *
 * - `maxConnections`, 10 there by default, becomes `maxsize` and `maxoverflow`; lower `maxsize` to hold fewer
 *   connections
 * - `minConnections`, 0 there by default, becomes `minsize`; `connectionTTL` becomes `expires`, by default 10 minutes
 * - if they are not set, `idleTimeout` is 10 seconds, and `applicationName` is `@effect/sql-pg`
 * - `connectTimeout` becomes `connectTimeout` and `acquireTimeout`, because there it also bounds the wait for a
 *   connection
 * - options that the URL overrules there are left out (`host`, `port`, `database`, `username`, `password`, and others
 *   that the URL sets), and so is `path`, which has no effect there
 *
 * A pool can be built while the server is down. With `eager: true` its layer fails then, as that of `PgClient` does.
 *
 * @example
 * ```ts
 * import type { PgClient } from "@effect/sql-pg"
 * import { Redacted } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * const old: PgClient.PgClientConfig = {
 *   url: Redacted.make("postgresql://localhost/app"),
 *   maxConnections: 20
 * }
 *
 * const DatabaseLive = PgPool.layer(PgPool.fromPgClientConfig(old))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromPgClientConfig: (config: PgClient.PgClientConfig) => PgPoolOptions = fromConfig

/**
 * `layer`, with the options from the environment (or from the `ConfigProvider` in force):
 *
 * - `DATABASE_URL`, or without it `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGTARGETSESSIONATTRS` and
 *   `PGLOADBALANCEHOSTS` (for several hosts, `PGHOST` and `PGPORT` have commas)
 * - `PGREQUIREAUTH`
 * - each option of the pool as `PGPOOL_` and its name in capitals: `PGPOOL_MAXSIZE`, `PGPOOL_ACQUIRE_TIMEOUT` and so
 *   on. A duration is a number of milliseconds, or a text such as `200 millis`
 *
 * Any other key that begins with `PGPOOL_` is a `ConfigError`, and so is a value that isn't allowed. The variables that
 * Kubernetes sets for a service named `pgpool` (`PGPOOL_SERVICE_HOST`, `PGPOOL_PORT` and so on) are ignored. If neither
 * `DATABASE_URL` nor one of `PGHOST`, `PGPORT` and `PGDATABASE` is set, the log and a failed connect say so.
 *
 * `options` are for settings that no variable can hold, such as `onConnect` or a password that is an `Effect`. They win
 * over the environment: the variable of an option that is given is not read. With `url`, neither `DATABASE_URL` nor
 * `PGHOST` and the like are read; with `hosts` or `path`, neither `PGHOST` nor `PGPORT`. Beside `DATABASE_URL`, an
 * option wins over that part of the URL. An option that isn't allowed is a `ConfigError` too. `PgPoolLayer` is
 * `layerFromEnv()`.
 *
 * @example
 * ```ts
 * import { Effect, Redacted, String } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * declare const fetchToken: Effect.Effect<string>
 *
 * // DATABASE_URL=postgresql://app@db/shop PGPOOL_MAXSIZE=2
 * const DatabaseLive = PgPool.layerFromEnv({
 *   password: Effect.map(fetchToken, Redacted.make),
 *   transformResultNames: String.snakeToCamel,
 *   transformQueryNames: String.camelToSnake
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv = (
  options: PgPoolOptions = {}
): Layer.Layer<PgPool | PgClient.PgClient | SqlClient.SqlClient, ConfigError.ConfigError | SqlError> =>
  Layer.scopedContext(Effect.map(internal.makeFromEnv(options), contextOf)).pipe(Layer.provide(Reactivity.layer))

/**
 * Runs an effect in a transaction, as `sql.withTransaction` does. It can set an isolation level and the like, and it
 * can run the effect again after a conflict with another transaction or a lost connection.
 *
 * Inside another transaction, also one that a BEGIN as a statement has begun, no option can take effect: with any
 * option it fails with `SqlError`, and without options it is a savepoint. A retry repeats everything that the body
 * does, also outside the database.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Schedule } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * const transfer = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`UPDATE accounts SET amount = amount - 10 WHERE name = 'Ada'`
 *   yield* sql`UPDATE accounts SET amount = amount + 10 WHERE name = 'Grace'`
 * }).pipe(
 *   PgPool.transaction({
 *     isolation: "serializable",
 *     retry: Schedule.intersect(Schedule.jittered(Schedule.exponential("10 millis")), Schedule.recurs(5))
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category transactions
 */
export const transaction =
  (options: TransactionOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | PgPool> =>
    Effect.flatMap(PgPool, (pool) => pool.transaction(options)(effect))

/**
 * Runs every statement of an effect on one connection, without a transaction: for `SET`, temporary tables and advisory
 * locks. `sql.withTransaction` inside it uses that connection; after a BEGIN that was sent as a statement it is a
 * savepoint. Inside another `withConnection`, or a transaction, it changes nothing.
 *
 * Statements of several fibers take turns, and a stream has the connection to itself until its last row has come. The
 * next borrower finds the session as the effect has left it, unless `reset` is `"session"`. `sql.reserve`, `listen` and
 * other clients use other connections, and so does `SqlResolver`, whose batches follow only transactions.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * const report = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`SET work_mem = '256MB'`
 *   const rows = yield* sql`SELECT name, count(*) FROM events GROUP BY name`
 *   yield* sql`RESET work_mem`
 *   return rows
 * }).pipe(PgPool.withConnection)
 * ```
 *
 * @since 0.1.0
 * @category transactions
 */
export const withConnection = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | PgPool> =>
  Effect.flatMap(PgPool, (pool) => pool.withConnection(effect))

/**
 * Listens to a channel as `PgClient.listen` does, and also tells when the connection was lost and another one listens.
 * Notifications in between are lost, so at that moment the listener has to read the current state (R21).
 *
 * All listeners of a pool share one connection, in addition to `maxoverflow`. It reconnects by itself, by
 * `connectRetry`, whatever ended it; the log says when connects begin to fail. The stream fails with `SqlError` if a
 * connect would only fail again (wrong credentials, R18), or if a pooler gives the session to another client. A
 * listener that waits for its first connection also fails after the longer of `acquireTimeout` and `outageTimeout`.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { PgPool } from "effect-pgpool"
 *
 * declare const refreshAll: Effect.Effect<void>
 * declare const refresh: (id: string) => Effect.Effect<void>
 *
 * const program = PgPool.listen("changed").pipe(
 *   Stream.runForEach((event) => event._tag === "Reconnected" ? refreshAll : refresh(event.payload))
 * )
 * ```
 *
 * @since 0.1.0
 * @category notifications
 */
export const listen = (channel: string): Stream.Stream<ListenEvent, SqlError, PgPool> =>
  Stream.unwrap(Effect.map(PgPool, (pool) => pool.listen(channel)))
