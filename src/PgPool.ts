/**
 * The elastic pool of PostgreSQL connections, as a `Layer` that provides `SqlClient`, `PgClient` and the pool itself.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Duplex } from "node:stream"
import type { ConnectionOptions } from "node:tls"
import type * as Pg from "pg"
import type { Drain, PoolOptions } from "./ElasticPool.js"
import * as internal from "./internal/pgPool.js"
import { fromPgClientConfig as fromConfig } from "./internal/postgres/config/fromPgClient.js"
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
 * A connection on loan: a `SqlConnection`, with what lies below it. It is dead once it was given back: its statements
 * fail then, and never touch the next borrower's work (R15). Statements of several fibers run one after the other.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgConnection extends Connection {
  /**
   * The `pg` client, for what `SqlConnection` can't do. After the end of the lease every use of it throws `LeaseEnded`,
   * and listeners that were added by it are gone.
   */
  readonly pg: Pg.Client
  /** The process of the server that serves this session, as in `pg_stat_activity.pid`; behind a pooler a name of its. */
  readonly processId: number
}

/**
 * The pool behind a `SqlClient`: for connections of one's own, for its statistics, and for changing its limits.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgPool {
  readonly [TypeId]: TypeId
  /** The client over this pool: the same object that the layer provides as `SqlClient` and `PgClient`. */
  readonly client: PgClient.PgClient
  /** Lends a connection until the scope is closed. Fails as `ElasticPool.get` does. */
  readonly get: Effect.Effect<PgConnection, SqlError | PoolError, Scope.Scope>
  /** Lends a connection for as long as `f` runs. */
  readonly use: <A, E, R>(
    f: (connection: PgConnection) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError | PoolError, R>
  /** Says that a connection is broken: it is closed when it is given back. */
  readonly invalidate: (connection: PgConnection) => Effect.Effect<void>
  /** Changes the limits while the pool runs; see `ElasticPool.resize`. */
  readonly resize: (limits: {
    readonly maxsize?: number | undefined
    readonly maxoverflow?: number | undefined
  }) => Effect.Effect<void>
  /**
   * Replaces all connections, softly: a new one is opened first, and while connects fail the old ones go on serving. With
   * `now: true` at once, whether there will be new ones or not. See `ElasticPool.evict`. The session that listens goes on.
   */
  readonly evict: (options?: {
    readonly over?: Duration.DurationInput | undefined
    readonly now?: boolean | undefined
  }) => Effect.Effect<void>
  /**
   * Brings the pool to its end; see `ElasticPool.Drain`. Callers who wait are still served, newcomers fail with
   * `PoolClosed`, and so do listeners, at once. `drain` waits until no connection is left. `drain({ within })` ends after
   * that time: it cancels statements that still run, closes connections under their borrowers, and gives the number of
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
   * Stops serving while somebody works on the server; see `ElasticPool.suspend`. The session that listens is left alone:
   * it reconnects by itself.
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
  /** Serves again after `suspend`. */
  readonly resume: Effect.Effect<void>
  /** The pool at this instant. */
  readonly stats: Effect.Effect<PoolStats>
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
 * How a transaction runs. What is not given is the server's default.
 *
 * https://www.postgresql.org/docs/current/sql-set-transaction.html
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionOptions {
  readonly isolation?: "read committed" | "repeatable read" | "serializable" | undefined
  readonly readOnly?: boolean | undefined
  /** With `serializable` and `readOnly`: waits until it can't fail. */
  readonly deferrable?: boolean | undefined
  /**
   * Runs the whole transaction again for as long as the schedule goes on: after a serialization failure or a deadlock
   * (40001, 40P01), and where its connection was lost, or an answer did not come, before COMMIT was sent. Never after
   * anything else, never when it may have been committed. Default: never.
   */
  readonly retry?: Schedule.Schedule<unknown, any> | undefined
}

/**
 * What a listener of a channel is told: a notification, or that the connection was lost and there is a new one, so that
 * some may have been missed.
 *
 * @since 0.1.0
 * @category models
 */
export type ListenEvent =
  | { readonly _tag: "Notification"; readonly payload: string }
  | { readonly _tag: "Reconnected" }

/**
 * @since 0.1.0
 * @category tags
 */
export const PgPool: Context.Tag<PgPool, PgPool> = Context.GenericTag<PgPool>("effect-pgpool/PgPool")

/**
 * An option of `PgClient.layer` that has another name here. The compiler shows the name to use.
 *
 * @since 0.1.0
 * @category models
 */
export interface UseInstead<Option extends string> {
  readonly useInstead: Option
}

/**
 * The options of a pool: the limits and times of `PoolOptions`, and the connection settings of `PgClient.layer` under
 * the names that they have there. Durations are `DurationInput`s: a bare number is milliseconds.
 *
 * What is given neither here nor in the URL comes from `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE`, `PGPASSWORD`,
 * `PGOPTIONS`, `PGSSLMODE` and `PGSSLNEGOTIATION`, and from `pg.defaults`, as `pg` does it. A setting given here wins over
 * the one in the URL, with one warning where `PgClient.layer` would take the URL's and that is another. Whoever says nowhere
 * where the server is gets a warning that tells where it is looked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgPoolOptions extends PoolOptions {
  /**
   * `postgresql://user:password@host:5432/database`. As with libpq it may name several hosts
   * (`postgresql://a:5432,b:5433/database`). The last `@` ends user and password; a `/`, `?` or `#` in them has to be
   * encoded, as in all URLs.
   *
   * These parameters are taken, and an option that says the same wins over them:
   *
   * - `host`, `port`, `user`, `password`; `target_session_attrs`, `load_balance_hosts`
   * - `connect_timeout` (in seconds, as with libpq), `query_timeout`, `statement_timeout`, `lock_timeout`,
   *   `idle_in_transaction_session_timeout` (in milliseconds); 0 is off. The last three are sent with the login
   * - `keepalives` (0: off; by default on), `keepalives_idle` (in seconds; by default 10)
   * - `application_name`, `fallback_application_name`, `options`, `replication`
   * - `sslmode`, `sslrootcert`, `sslcert`, `sslkey` (files, read once), `sslnegotiation`, `ssl`. `sslmode` is what `pg`
   *   makes of it: all but `disable` and `no-verify` verify the server in full. libpq's own meaning is had with
   *   `uselibpqcompat=true`. `sslrootcert=system`: the authorities that Node.js trusts
   * - `require_auth`, and `channel_binding`: `"disable"` (default), `"prefer"`, or `"require"`, with which nobody in
   *   between can pass a login on
   *
   * A bad value is an error. All others have no effect, and are named in one warning when the pool is made (none behind
   * a `password`, since it may be the rest of that); but the name of a parameter of TLS in another case or with other
   * separators (`sslMode`) is an error.
   */
  readonly url?: Redacted.Redacted | undefined
  /** One host, or several with commas in between. */
  readonly host?: string | undefined
  /** From 1 to 65535. Default: 5432. */
  readonly port?: number | undefined
  /**
   * Several hosts, which are tried in this order for each connection: `"db1"`, `"db1:5433"`, `"[::1]:5432"`,
   * `"/run/postgresql"` or `{ host, port }`. Without a port of its own one has `port`.
   *
   * Each has its part of `connectTimeout`, but no more than 0.75 seconds if it is not the last one left. One that failed,
   * or was not what `targetSessionAttrs` asks for, is tried last for the next 10 seconds. All addresses of a name are
   * tried in the same way.
   */
  readonly hosts?: ReadonlyArray<string | { readonly host: string; readonly port?: number | undefined }> | undefined
  /**
   * What a host must be to be used, as with libpq's `target_session_attrs`:
   *
   * - `"any"` (default): nothing is asked for
   * - `"read-write"`, `"read-only"`: whether a session may write, which on a standby it may not, nor where
   *   `default_transaction_read_only` is on
   * - `"primary"`, `"standby"`
   * - `"prefer-standby"`: a standby, or if there is none, any
   *
   * It is looked at for each new connection, and again when one is pinged after it was idle. After a failover the pool
   * moves to the new primary by itself: where it is to write, a connection that hears that it can only read (25006) is
   * closed.
   */
  readonly targetSessionAttrs?:
    | "any"
    | "read-write"
    | "read-only"
    | "primary"
    | "standby"
    | "prefer-standby"
    | undefined
  /**
   * `"random"`: each connect tries the hosts, and the addresses of each, in an order of its own, so that connections
   * spread over them. `"disable"` (default): in the order given.
   */
  readonly loadBalanceHosts?: "disable" | "random" | undefined
  /** A Unix socket, or the folder that it is in. */
  readonly path?: string | undefined
  /**
   * TLS with a server that is verified in full, by its name too: with `true` by the authorities that Node.js knows, or
   * by those in `ca`. A client certificate is `cert` and `key`. It wins over all that the URL says of certificates and
   * `sslmode`. Never used on a Unix socket. Default: what `PGSSLMODE` says, or none.
   */
  readonly ssl?: boolean | ConnectionOptions | undefined
  /** `"direct"` leaves out asking for TLS, and so a round trip: from PostgreSQL 17 on. Default: `"postgres"`. */
  readonly sslNegotiation?: "postgres" | "direct" | undefined
  /**
   * How the server may ask for the password, as with libpq's `require_auth`: one or more of `password` (clear text),
   * `md5`, `scram-sha-256` and `none` (not at all), with commas in between, or with a `!` before each, those that it may
   * not. A server that asks in another way is not told the password, and the connect fails for good (R18). With
   * `scram-sha-256` it also must prove that it knows the password. In the URL: `require_auth`. Default: what
   * `PGREQUIREAUTH` says, or any way.
   */
  readonly requireAuth?: string | undefined
  readonly database?: string | undefined
  readonly username?: string | undefined
  /**
   * An `Effect` is run for each connect, within `connectTimeout`, so that short-lived tokens and passwords that change
   * need no restart (R20). If the server refuses one, the effect is run again, and if that gives another one, there is a
   * second dial at once. Its failure is a failed connect, and one that waiting does not help: without an open connection
   * callers fail at once.
   */
  readonly password?: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown> | undefined
  /** Makes the sockets. */
  readonly stream?: (() => Duplex) | undefined
  /** What `pg_stat_activity` shows. Default: `effect-pgpool`. */
  readonly applicationName?: string | undefined
  readonly spanAttributes?: Record<string, unknown> | undefined
  readonly transformResultNames?: ((str: string) => string) | undefined
  readonly transformQueryNames?: ((str: string) => string) | undefined
  readonly transformJson?: boolean | undefined
  readonly types?: Pg.CustomTypesConfig | undefined
  /**
   * What is done to a connection between two borrowers, by the connection's own fiber (R15).
   *
   * - `"transaction"` (default): an open transaction is rolled back
   * - `"session"`: `DISCARD ALL` and `onConnect` as well, so that no setting, temporary table, advisory lock, LISTEN or
   *   prepared statement of the last borrower is left
   * - `"none"`: nothing is sent; a connection with an open transaction is closed
   */
  readonly reset?: "transaction" | "session" | "none" | undefined
  /**
   * Run on each new connection before its first use, within `connectTimeout`. Its failure is a failed connect, and tried
   * again as any other (R18): callers hear of it when their wait has ended, and the log at once.
   */
  readonly onConnect?: ((connection: PgConnection) => Effect.Effect<unknown, unknown>) | undefined
  /**
   * Statements with parameters are prepared, at most so many on each connection; `true` is 256. The least recently used
   * one is closed for a new one. Never prepared: what has no parameters, `executeUnprepared`, streams.
   *
   * It saves the server parsing, and often planning. It costs its memory, and a plan that it keeps is the same for all
   * parameters (`plan_cache_mode`). `pg_prepared_statements` shows them. After a schema change, `DISCARD ALL` or
   * `DEALLOCATE` they are prepared again; but inside a transaction a statement from before a schema change may fail once,
   * as with "cached plan must not change result type".
   *
   * Default: false, since poolers break it that give each transaction another session of the server: PgBouncer before
   * 1.21, or without `max_prepared_statements`.
   */
  readonly prepare?: boolean | number | undefined
  /**
   * Plain statements of different fibers share a connection: so many at most are on their way on each, the next one
   * sent before the last is answered; `true` is 32. A new connection is opened only when all are full. Two connections
   * then do the work of ten, all the more the longer the network's delay.
   *
   * Only SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE share, also behind a WITH. Everything else has a
   * connection to itself as ever: other statements, several in one text, transactions, `withConnection`, `reserve`,
   * streams.
   *
   * Each is still a transaction of its own, and an error hits none but its own. But a statement waits for those before
   * it on its connection: a slow one is slow for all behind it. And one that is interrupted is cancelled only when nobody
   * waits behind it. Not to be used with functions that leave something in the session, such as `set_config(…, false)`
   * and `pg_advisory_lock`, or with statements that wait for what another fiber does, as for a lock.
   *
   * Default: false, for these reasons.
   */
  readonly multiplex?: boolean | number | undefined
  /** The longest that a statement may take, seen from here; it is cancelled then (R24). Default: off. */
  readonly queryTimeout?: Duration.DurationInput | undefined
  /** `statement_timeout` of each session, by SET: not behind a pooler in transaction mode. Default: off. */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /** `lock_timeout` of each session. Default: off. */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /** `idle_in_transaction_session_timeout` of each session. Default: off. */
  readonly idleInTransactionTimeout?: Duration.DurationInput | undefined
  /**
   * Connects while the layer is built, for `connectTimeout` at most, and fails with the reason where that does not succeed:
   * also a name that never existed, for which callers would wait (R18). Default: false.
   */
  readonly eager?: boolean | undefined

  readonly maxConnections?: UseInstead<"maxsize and maxoverflow"> | undefined
  readonly minConnections?: UseInstead<"minsize"> | undefined
  readonly connectionTTL?: UseInstead<"expires"> | undefined
}

/**
 * Makes a pool in a scope, for several pools under tags of one's own. `layer` is what most programs want.
 *
 * Opens nothing until somebody asks (R1), unless `eager` or `warm` is set. An option that isn't allowed is a defect
 * (`IllegalArgumentException`). Fails with `SqlError` only if `eager` is set.
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
 * The drop-in for `PgClient.layer`: programs go on writing `yield* SqlClient.SqlClient`.
 *
 * It is built while the database is down (R1) and closed with its scope (R13). An option that isn't allowed is a defect
 * (`IllegalArgumentException`) that names the option, the value and what is allowed; `layerConfig` makes it a
 * `ConfigError`. Fails with `SqlError` only if `eager` is set.
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
 * The options that mean what an old `PgClientConfig` meant, so that
 * `PgPool.layer(PgPool.fromPgClientConfig(config))` stands for `PgClient.layer(config)`.
 *
 * - `maxConnections`, 10 there by default, becomes `maxsize` and `maxoverflow`; lower `maxsize` to hold fewer connections
 * - `minConnections`, 0 there by default, becomes `minsize`; `connectionTTL` becomes `expires`, which is 10 minutes where it
 *   was off
 * - `idleTimeout` is 10 seconds where there is none
 * - `connectTimeout` becomes `connectTimeout` and `acquireTimeout`, as it also bounds the wait for a free connection there
 * - what the URL overrules there is left out (with a URL: `host`, `port`, `database`, `username`, `password`, and what else
 *   it says), and so is `path`, which has no effect there
 * - `applicationName` is `@effect/sql-pg` where there is none
 *
 * A pool is built while the server is down; with `eager: true` its layer fails, as that of `PgClient` does.
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
 * The options from the environment (or whatever `ConfigProvider` is in force): `DATABASE_URL`, or `PGHOST`, `PGPORT`,
 * `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGTARGETSESSIONATTRS` and `PGLOADBALANCEHOSTS`, which `DATABASE_URL` wins over
 * (with several hosts `PGHOST` and `PGPORT` have commas); `PGREQUIREAUTH`; and each option of the pool as `PGPOOL_` and its name in
 * capitals: `PGPOOL_MAXSIZE`, `PGPOOL_MAXWAIT`, `PGPOOL_MAXOVERFLOW`, `PGPOOL_EXPIRES`,
 * `PGPOOL_ACQUIRE_TIMEOUT` and so on. Durations are numbers of milliseconds, or such as `200 millis`.
 *
 * A key that begins with `PGPOOL_` and is none of these is a `ConfigError`, and so is a value that isn't allowed. What
 * Kubernetes says of a service named `pgpool` (`PGPOOL_SERVICE_HOST`, `PGPOOL_PORT` and so on) is passed over. Where neither
 * `DATABASE_URL` nor one of `PGHOST`, `PGPORT` and `PGDATABASE` is set, the log and a failed connect say so.
 *
 * `options` are for what an environment can't say, such as `onConnect` or a password that is an `Effect`. They win over the
 * environment: a key whose option is given is not read, nor are `DATABASE_URL`, `PGHOST` and the like beside `url`, or
 * `PGHOST` and `PGPORT` beside `hosts` or `path`. Beside `DATABASE_URL` an option wins over what it says, and the rest of it
 * counts. One that isn't allowed is a `ConfigError` too. `PgPoolLayer` is `layerFromEnv()`.
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
 * Runs an effect in a transaction, as `sql.withTransaction` does, with an isolation level and the like, and again after
 * a conflict with another transaction or a lost connection.
 *
 * Inside another transaction, also one that was begun by hand, none of its options can be kept, so with any of them it
 * fails with `SqlError`; without it is a savepoint. Everything that the body does happens again with a retry, also outside the database.
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
 * locks. `sql.withTransaction` inside works, on that connection; where a BEGIN was sent by hand before, it is a savepoint
 * in that. Inside another one, or a transaction, it changes nothing.
 *
 * Statements of several fibers take turns, and a stream has the connection to itself until its end. What is left in the
 * session goes to the next borrower, unless `reset` is `"session"`. `sql.reserve`, `listen` and other clients don't
 * follow it, nor does `SqlResolver`, whose batches know only transactions.
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
 * Listens to a channel as `PgClient.listen` does, and also tells when the connection was lost and another one listens:
 * notifications in between are lost, so that is the moment to look for what they would have told (R21).
 *
 * All listeners of a pool share one connection, beyond `maxoverflow`. It reconnects by itself, by `connectRetry`,
 * whatever ended it or a connect; the log says when that begins to fail. It fails with `SqlError` where connecting would
 * only fail again (wrong credentials, R18) or a pooler gives its session away, and a listener that waits for its first
 * connection also after the longer of `acquireTimeout` and `outageTimeout`.
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
