/**
 * The options of a `PgPool`, of the connections that it lends, and of transactions. `PgPool` exports all of them.
 *
 * @since 0.1.0
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type { Duplex } from "node:stream"
import type { ConnectionOptions } from "node:tls"
import type * as Pg from "pg"
import type { PoolOptions } from "./ElasticPool.js"

/**
 * A connection on loan: a `SqlConnection`, and the `pg` client below it. After it was given back it is dead: its
 * statements fail, and never touch the work of the next borrower (R15). Statements of several fibers run one after the
 * other.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgConnection extends Connection {
  /**
   * The `pg` client, for what `SqlConnection` can't do. After the end of the lease every use of it throws `LeaseEnded`,
   * and listeners that were added to it are removed.
   */
  readonly pg: Pg.Client
  /**
   * The server process of this session, as in `pg_stat_activity.pid`. Behind a pooler it is a number of the pooler's
   * own.
   */
  readonly processId: number
}

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
 * A setting that is given neither here nor in the URL comes from `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE`,
 * `PGPASSWORD`, `PGOPTIONS`, `PGSSLMODE` and `PGSSLNEGOTIATION`, and then from `pg.defaults`, as with `pg`. An option
 * wins over the URL. If the two differ where `PgClient.layer` would take the URL's, one warning says so. If neither an
 * option, the URL nor a variable says where the server is, a warning tells where the pool looks for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgPoolOptions extends PoolOptions {
  /**
   * `postgresql://user:password@host:5432/database`. As with libpq it may name several hosts
   * (`postgresql://a:5432,b:5433/database`). The last `@` ends user and password. A `/`, `?` or `#` in them must be
   * encoded, as in all URLs.
   *
   * These parameters have an effect, and the option for the same setting wins over them:
   *
   * - `host`, `port`, `user`, `password`; `target_session_attrs`, `load_balance_hosts`
   * - `connect_timeout` (in seconds, as with libpq), `query_timeout`, `statement_timeout`, `lock_timeout`,
   *   `idle_in_transaction_session_timeout` (in milliseconds); 0 is off. The last three are sent with the login
   * - `keepalives` (0: off; by default on), `keepalives_idle` (in seconds; by default 10)
   * - `application_name`, `fallback_application_name`, `options`, `replication`
   * - `sslmode`, `sslrootcert`, `sslcert`, `sslkey` (files, read once), `sslnegotiation`, `ssl`. `sslmode` means what
   *   it means for `pg`: every mode but `disable` and `no-verify` verifies the server in full. `uselibpqcompat=true`
   *   gives it the meaning of libpq. `sslrootcert=system`: the authorities that Node.js trusts
   * - `require_auth`, and `channel_binding`: `"disable"` (default), `"prefer"`, or `"require"`, with which no one in
   *   between can pass a login on
   *
   * A bad value is an error. All other parameters have no effect, and one warning names them when the pool is made. It
   * names none that stand behind a `password`, since they may be a part of that. The name of a parameter of TLS in
   * another case or with other separators (`sslMode`) is an error.
   */
  readonly url?: Redacted.Redacted | undefined
  /** One host, or several with commas in between. */
  readonly host?: string | undefined
  /** From 1 to 65535. Default: 5432. */
  readonly port?: number | undefined
  /**
   * Several hosts. Each new connection tries them in this order: `"db1"`, `"db1:5433"`, `"[::1]:5432"`,
   * `"/run/postgresql"` or `{ host, port }`. A host without a port of its own has `port`.
   *
   * Each host has its part of `connectTimeout`, but no more than 0.75 seconds if it is not the last one left. A host
   * that failed, or was not what `targetSessionAttrs` asks for, is tried last for the next 10 seconds. All addresses of
   * a name are tried in the same way.
   */
  readonly hosts?: ReadonlyArray<string | { readonly host: string; readonly port?: number | undefined }> | undefined
  /**
   * What a host must be to be used, as with libpq's `target_session_attrs`:
   *
   * - `"any"` (default): every host is used
   * - `"read-write"`, `"read-only"`: whether a session can write. It cannot on a standby, nor where
   *   `default_transaction_read_only` is on
   * - `"primary"`, `"standby"`
   * - `"prefer-standby"`: a standby, or any host if there is no standby
   *
   * The role is checked for each new connection, and again when a connection is pinged after it was idle. After a
   * failover the pool moves to the new primary by itself: with `"read-write"` or `"primary"`, a connection is closed
   * when the server says that it can only read (25006).
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
   * `"random"`: each connect tries the hosts, and the addresses of each, in a random order, so that connections spread
   * over them. `"disable"` (default): in the order given.
   */
  readonly loadBalanceHosts?: "disable" | "random" | undefined
  /** A Unix socket, or its folder. */
  readonly path?: string | undefined
  /**
   * TLS with a server that is verified in full, its name included. `true`: by the authorities that Node.js trusts. An
   * object: by those in `ca`, with `cert` and `key` for a client certificate. This option wins over the certificates
   * and the `sslmode` of the URL. TLS is never used on a Unix socket. Default: what `PGSSLMODE` says, or no TLS.
   */
  readonly ssl?: boolean | ConnectionOptions | undefined
  /** `"direct"` begins with TLS at once, which saves a round trip: from PostgreSQL 17 on. Default: `"postgres"`. */
  readonly sslNegotiation?: "postgres" | "direct" | undefined
  /**
   * How the server may ask for the password, as with libpq's `require_auth`: one or more of `password` (clear text),
   * `md5`, `scram-sha-256` and `none` (it does not ask), with commas in between. With a `!` before each, these are the
   * ways that are not allowed. If the server asks in another way, the password is not sent, and the connect fails for
   * good (R18). With `scram-sha-256` the server must also prove that it knows the password. In the URL: `require_auth`.
   * Default: what `PGREQUIREAUTH` says, or any way.
   */
  readonly requireAuth?: string | undefined
  readonly database?: string | undefined
  readonly username?: string | undefined
  /**
   * An `Effect` is run for each connect, within `connectTimeout`, so that short-lived tokens and passwords that change
   * need no restart (R20). If the server refuses a password, the effect is run again, and if it gives another password,
   * there is a second dial at once. If the effect fails, the connect fails, and waiting does not help: while no
   * connection is open, callers fail at once.
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
   * How a connection is cleaned between two borrowers, by the connection's own fiber (R15).
   *
   * - `"transaction"` (default): an open transaction is rolled back
   * - `"session"`: then also `DISCARD ALL` and `onConnect`, so that no setting, temporary table, advisory lock, LISTEN
   *   or prepared statement of the last borrower is left
   * - `"none"`: nothing is sent; a connection with an open transaction is closed
   */
  readonly reset?: "transaction" | "session" | "none" | undefined
  /**
   * Runs on each new connection before its first use, within `connectTimeout`. If it fails, the connect fails and is
   * tried again as any other (R18): the log says so at once, and callers are told when their wait has ended.
   */
  readonly onConnect?: ((connection: PgConnection) => Effect.Effect<unknown, unknown>) | undefined
  /**
   * Statements with parameters are prepared, at most this many on each connection; `true` is 256. For a new statement
   * the least recently used one is closed. Statements without parameters, `executeUnprepared` and streams are never
   * prepared.
   *
   * It saves the server parsing, and often planning. It costs memory of the server, and the server may keep one plan
   * for all parameters (`plan_cache_mode`). `pg_prepared_statements` shows the prepared statements. After a schema
   * change, `DISCARD ALL` or `DEALLOCATE` they are prepared again. But inside a transaction a statement from before a
   * schema change may fail once, with "cached plan must not change result type".
   *
   * Default: false, because it breaks behind a pooler that gives each transaction another session of the server:
   * PgBouncer before 1.21, or without `max_prepared_statements`.
   */
  readonly prepare?: boolean | number | undefined
  /**
   * Plain statements of different fibers share a connection: a statement is sent before the one before it is answered.
   * At most this many are on their way on each connection; `true` is 32. A new connection is opened only when all are
   * full. Two connections then do the work of ten, and more where the network is slow.
   *
   * Only SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE share, also behind a WITH. Everything else has a
   * connection to itself as before: other statements, several statements in one text, transactions, `withConnection`,
   * `reserve`, streams.
   *
   * Each statement is still a transaction of its own, and its error is its own. But a statement waits for those before
   * it on its connection, so a slow statement delays all behind it. An interrupted statement is cancelled only when no
   * other waits behind it. Do not use this with functions that leave something in the session, such as `set_config(…,
   * false)` and `pg_advisory_lock`, nor with statements that wait for another fiber, for instance for its lock.
   *
   * Default: false, for these reasons.
   */
  readonly multiplex?: boolean | number | undefined
  /** The longest that a statement may take, seen from the client. After that it is cancelled (R24). Default: off. */
  readonly queryTimeout?: Duration.DurationInput | undefined
  /** `statement_timeout` of each session, by SET, so not for a pooler in transaction mode. Default: off. */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /** `lock_timeout` of each session. Default: off. */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /** `idle_in_transaction_session_timeout` of each session. Default: off. */
  readonly idleInTransactionTimeout?: Duration.DurationInput | undefined
  /**
   * Connects while the layer is built, for `connectTimeout` at most. If that does not succeed, the layer fails with the
   * reason, also for a host name that does not exist, for which callers would wait (R18). Default: false.
   */
  readonly eager?: boolean | undefined
  /**
   * Counts and times what the pool does in metrics of Effect, by OpenTelemetry's conventions for database clients. They
   * have the name of the pool (`name`). With false there are none. Default: true.
   */
  readonly metrics?: boolean | undefined
  /**
   * Whether the log has advice where callers wait or the pool is larger than it need be, and a line for callers that are
   * refused, with those who hold the connections: at most one line a minute of each kind. Default: true.
   */
  readonly advice?: boolean | undefined

  readonly maxConnections?: UseInstead<"maxsize and maxoverflow"> | undefined
  readonly minConnections?: UseInstead<"minsize"> | undefined
  readonly connectionTTL?: UseInstead<"expires"> | undefined
}

/**
 * How a transaction runs. An option that is not set has the server's default.
 *
 * https://www.postgresql.org/docs/current/sql-set-transaction.html
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionOptions {
  readonly isolation?: "read committed" | "repeatable read" | "serializable" | undefined
  readonly readOnly?: boolean | undefined
  /** With `serializable` and `readOnly`: waits until the transaction can't fail. */
  readonly deferrable?: boolean | undefined
  /**
   * Runs the whole transaction again, for as long as the schedule goes on: after a serialization failure or a deadlock
   * (40001, 40P01), or if, before COMMIT was sent, its connection was lost or an answer did not come. Never after any
   * other failure, and never when the transaction may have been committed. Default: never.
   */
  readonly retry?: Schedule.Schedule<unknown, any> | undefined
}

/**
 * What a listener of a channel receives: a notification, or the news that its connection was lost and replaced, so that
 * notifications may have been missed.
 *
 * @since 0.1.0
 * @category models
 */
export type ListenEvent =
  | { readonly _tag: "Notification"; readonly payload: string }
  | { readonly _tag: "Reconnected" }
