/**
 * A kit for tests of programs that use the pool: what becomes of them when the database is slow, full or gone.
 *
 * It is not part of the index, so that no service loads it: `import * as Testing from "effect-pgpool/Testing"`.
 *
 * @since 0.1.0
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { faulty } from "./internal/testing/faulty.js"
import { scripted as overScript, scriptedPool } from "./internal/testing/scripted.js"
import * as internal from "./internal/testing/virtualTime.js"
import type { PgPool } from "./PgPool.js"
import { layer as poolLayer } from "./PgPool.js"
import type { PgPoolOptions } from "./PgPoolOptions.js"
import type { VirtualTime } from "./VirtualTime.js"

export type {
  VirtualCaller,
  VirtualConnections,
  VirtualLoan,
  VirtualPool,
  VirtualPoolOptions,
  VirtualTime
} from "./VirtualTime.js"

/**
 * The faults of the network between a program and its database. Each lasts until `restore`, but `cut`, which happens
 * once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  /** Ends all connections that there are, as a server does that was killed. New ones are not hindered. */
  readonly cut: Effect.Effect<void>
  /**
   * Nothing passes, in neither direction, and nobody is told: neither of what was sent nor of an end. New connections
   * are silent as well. What was held back arrives after `restore`, as on a network that was away for a moment.
   */
  readonly silence: Effect.Effect<void>
  /** New connections are refused, as where no server listens. Those that there are go on: `cut` ends them. */
  readonly refuse: Effect.Effect<void>
  /** All that is sent arrives so late, in each direction. A duration of a millisecond or more, else it is a defect. */
  readonly delay: (by: Duration.DurationInput) => Effect.Effect<void>
  /** Ends all faults. If there was none since the last `restore`, it is a defect (`IllegalArgumentException`). */
  readonly restore: Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const Faults: Context.Tag<Faults, Faults> = Context.GenericTag<Faults>("effect-pgpool/Testing/Faults")

/**
 * Builds a layer with all that its pools send and receive at the mercy of `Faults`. The server is a real one. It takes
 * any layer that makes a `PgPool`: one of `PgPool`, or that of a whole program. The layer is built anew for this, so
 * nothing of it is shared with other tests.
 *
 * Faults on sockets pass by real time: use `it.live`, or `it.scopedLive`. If the layer makes no pool, or one with a
 * `stream` of its own, building it is a defect (`IllegalArgumentException`).
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { PgPoolLayer } from "effect-pgpool"
 * import * as Testing from "effect-pgpool/Testing"
 *
 * declare const program: Effect.Effect<void, never, SqlClient.SqlClient>
 *
 * const survives = Effect.gen(function*() {
 *   const faults = yield* Testing.Faults
 *   yield* Effect.zipRight(faults.refuse, faults.cut)
 *   yield* Effect.zipRight(Effect.sleep("3 seconds"), faults.restore).pipe(Effect.fork)
 *   yield* program // begins while the database is away
 * }).pipe(Effect.provide(Testing.faults(PgPoolLayer)))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const faults: <A, E, R>(layer: Layer.Layer<A, E, R>) => Layer.Layer<A | Faults, E, R> = (layer) =>
  faulty(Faults, layer)

/**
 * A statement that the scripted server got.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sent {
  /** Each white space in it is one blank, and there is no semicolon at its end. */
  readonly text: string
  /** The parameters as the driver sent them: mostly texts. */
  readonly values: ReadonlyArray<string | Uint8Array | null>
  /** The number of its session: that of the connect, counted from 1. */
  readonly session: number
}

/**
 * An error of the server: https://www.postgresql.org/docs/current/protocol-error-fields.html
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerError {
  /** The SQLSTATE, such as `"40001"`. After one that begins with 57P, as that of a shutdown, the session ends. */
  readonly code: string
  readonly message?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  readonly constraint?: string | undefined
}

/**
 * How the scripted server answers a statement. Only one of `rows`, `count`, `error`, `dies` and `hangs` may be given.
 * Without any of them, the statement succeeds and gives no rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answer {
  /**
   * Which statements: those with this text, whatever their white space is; those in which the pattern is found; or those
   * for which the function gives `true`.
   */
  readonly text: string | RegExp | ((sent: Sent) => boolean)
  /**
   * The rows, or a function that makes them. A column has one type: text, number (int4 or float8), bigint (int8, which
   * the driver reads as text), boolean, `Date` (timestamptz), `Uint8Array` (bytea), or anything else as JSON.
   */
  readonly rows?: ReadonlyArray<object> | ((sent: Sent) => ReadonlyArray<object>) | undefined
  /** How many rows it has changed, for a statement that gives none. */
  readonly count?: number | undefined
  /** An error, or its SQLSTATE. A transaction has failed after it. */
  readonly error?: string | ServerError | undefined
  /** The connection is lost when the statement is there, without a word of the server. */
  readonly dies?: boolean | undefined
  /** It runs until it is cancelled. */
  readonly hangs?: boolean | undefined
  /** How long it runs. Default: it ends at once. */
  readonly delay?: Duration.DurationInput | undefined
  /** For how many statements this answer is. After them the next answer that fits is taken. Default: for all. */
  readonly times?: number | undefined
}

/**
 * What becomes of a connect to the scripted server. Only one of `refused`, `hangs` and `error` may be given. Without any
 * of them it succeeds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connect {
  /** How long it takes. Default: no time. */
  readonly delay?: Duration.DurationInput | undefined
  /** As where no server listens. */
  readonly refused?: boolean | undefined
  /** It is never answered. */
  readonly hangs?: boolean | undefined
  /** The login fails with an error, or its SQLSTATE, such as `"53300"` of a server that is full. */
  readonly error?: string | ServerError | undefined
}

/**
 * What a scripted server does. Functions in it are called as statements and connects come. What one of them throws is an
 * error of that statement.
 *
 * @since 0.1.0
 * @category models
 */
export interface Script {
  /** The answers. The first one that fits a statement is taken. */
  readonly statements?: ReadonlyArray<Answer> | undefined
  /** What becomes of connects: of all, or of each by its number, counted from 1. Default: they succeed. */
  readonly connect?: Connect | ((n: number) => Connect) | undefined
}

/**
 * The scripted server while a test runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server {
  /** All statements that came, in their order: those of users, BEGIN and COMMIT, and what the pool asks by itself. */
  readonly sent: Effect.Effect<ReadonlyArray<Sent>>
  /** How many sessions are open. */
  readonly sessions: Effect.Effect<number>
  /** From now on these answers come before all others. One that is not allowed is a defect. */
  readonly answer: (...answers: ReadonlyArray<Answer>) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const Server: Context.Tag<Server, Server> = Context.GenericTag<Server>("effect-pgpool/Testing/Server")

/**
 * Builds a layer with its pools over a scripted server, for which neither PostgreSQL nor a socket is needed. It takes any
 * layer that makes a `PgPool`, such as that of a whole program, and never connects to where that would lead. The layer
 * is built anew for this, so nothing of it is shared with other tests.
 *
 * Only the server is scripted. The pool, the client and the driver are the real ones, and so are the messages between
 * them. All times pass by the clock that the layer is built under, those of deadlines on sockets as well: under
 * `TestClock` the test decides when anything happens.
 *
 * Without a script the server knows transactions and savepoints, SET, RESET, DISCARD ALL, LISTEN and NOTIFY, `SELECT 1`
 * and what the pool asks by itself. A script may say otherwise, but a COMMIT or the like that it answers with rows or a count
 * changes the session all the same. Any other statement fails with an error that names it.
 *
 * A script that is not allowed is a defect (`IllegalArgumentException`) that names the field, and so is a layer that
 * makes no pool.
 *
 * @example
 * ```ts
 * import { PgPoolLayer } from "effect-pgpool"
 * import * as Testing from "effect-pgpool/Testing"
 *
 * const DatabaseTest = Testing.scripted(PgPoolLayer, {
 *   statements: [
 *     { text: "SELECT name FROM users WHERE id = $1", rows: ({ values: [id] }) => [{ name: `user ${id}` }] },
 *     { text: /^INSERT INTO users/, error: { code: "23505", constraint: "users_name_key" }, times: 1 },
 *     { text: /^INSERT INTO users/, count: 1, delay: "20 millis" }
 *   ],
 *   connect: (n) => n === 1 ? { refused: true } : { delay: "5 millis" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const scripted = <A, E, R>(
  layer: Layer.Layer<A, E, R>,
  script: Script = {}
): Layer.Layer<A | Faults | Server, E, R> => overScript("Testing.scripted", Faults, Server, layer, script)

/**
 * A pool over a scripted server: `scripted` of `PgPool.layer`. Of the pool's options, none need say where the server is.
 * An option or a script that is not allowed is a defect (`IllegalArgumentException`).
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Fiber, TestClock, TestContext } from "effect"
 * import * as Testing from "effect-pgpool/Testing"
 *
 * const DatabaseTest = Testing.layer({
 *   pool: { maxsize: 1, maxoverflow: 1 },
 *   statements: [{ text: "SELECT count(*) FROM users", rows: [{ count: 7n }], delay: "2 seconds" }]
 * })
 *
 * const test = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const asked = yield* Effect.fork(sql`SELECT count(*) FROM users`)
 *   yield* TestClock.adjust("2 seconds")
 *   console.log(yield* Fiber.join(asked)) // [{ count: "7" }]
 * }).pipe(Effect.provide(DatabaseTest), Effect.provide(TestContext.TestContext))
 *
 * await Effect.runPromise(test)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Script & { readonly pool?: PgPoolOptions | undefined } = {}
): Layer.Layer<PgPool | PgClient.PgClient | SqlClient.SqlClient | Faults | Server, SqlError> =>
  scriptedPool(Faults, Server, options, (pool) => poolLayer({ ...nowhere, ...pool }))

/** So that no option or variable of the environment is asked for. */
const nowhere = { host: "scripted", port: 5432, database: "test", username: "test", password: Redacted.make("test") }

/**
 * A world in which a day of load takes some seconds: the pool's own code on a clock that jumps from event to event, asked
 * without a fiber for each request. It is there to find out what a pool of these numbers does under a load, and what
 * becomes of the callers.
 *
 * The same calls give the same result: what the pool decides by chance, such as `expiresJitter`, comes from `seed`, a whole
 * number. Default: 1. A seed or a time that is not allowed throws.
 *
 * @example
 * ```ts
 * import * as Testing from "effect-pgpool/Testing"
 *
 * // How long the longest wait is if four callers come every 10 ms, and each has a connection for 15 ms.
 * const time = Testing.virtualTime()
 * const pool = time.pool({ maxsize: 2, maxoverflow: 8, connect: 20 })
 *
 * function* arrivals() {
 *   for (let i = 0; i < 4000; i++) yield { at: Math.floor(i / 4) * 10 }
 * }
 *
 * let longest = 0
 * time.each(arrivals(), ({ at }) =>
 *   pool.request({
 *     lent: (loan) => {
 *       longest = Math.max(longest, time.now - at)
 *       time.after(15, () => loan.end())
 *     }
 *   }))
 * time.runUntil(20_000)
 * console.log(longest, pool.connections().mean)
 * ```
 *
 * @since 0.1.0
 * @category virtual time
 */
export const virtualTime: (options?: { readonly seed?: number | undefined }) => VirtualTime = internal.virtualTime
