/**
 * Runs each HTTP request in a transaction of its own, like `ATOMIC_REQUESTS` of Django. The module needs a `SqlClient`
 * and nothing else of this package, so it works with any client.
 *
 * @since 0.1.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { BeginsLate } from "./internal/beginNow.js"
import { BeginNow } from "./internal/beginNow.js"
import { isUnavailable } from "./PgError.js"

/**
 * A middleware that fits an app, a router (`HttpRouter.use`) and the handler of one route.
 *
 * @since 0.1.0
 * @category models
 */
export interface Middleware {
  <E, R>(httpApp: HttpApp.Default<E, R>): HttpApp.Default<E | SqlError, R | SqlClient.SqlClient>
}

/**
 * Runs the app, router or handler that it wraps inside `sql.withTransaction`. If the handler succeeds, the transaction
 * is committed, and the response is sent only after COMMIT. If the handler fails or dies, or the client goes away, the
 * transaction is rolled back. Then the connection is given back, so it is held for one request at most (Django's
 * `CONN_MAX_AGE` 0).
 *
 * - Success commits, whatever the status. As in Django, only a failure rolls back: a refused login may want to count
 *   the attempt. To answer 409 and roll back, **fail** with it: with an error that is `Respondable`, or with the
 *   response itself. An error that is caught inside the middleware is no failure. An error that is caught outside has
 *   rolled back.
 * - `SqlError` is added to the errors: there was no connection, or COMMIT failed. Unless you catch it, the client gets
 *   503 if the pool had no connection (`PgError.isUnavailable`), so that the handler has not begun; otherwise it gets
 *   500. After `CommitOutcomeUnknown` the work may be stored nevertheless (R22).
 * - A connection is taken before the handler runs, even if the handler sends no statement. The connection is kept while
 *   the handler reads a body or calls another service. Leave such routes, web sockets and health checks out:
 *   `HttpRouter.use` applies to the routes added before it, and a path that no route has takes no connection.
 * - A streamed body, and pre-response handlers, run after COMMIT and outside the transaction.
 * - `withTransaction` in a handler is a savepoint. If a handler wants to survive the failure of a statement, that
 *   statement needs a savepoint around it. Otherwise COMMIT fails.
 *
 * The middleware can't be given to `HttpServer.serve`, which runs its middleware around the sending of the response:
 * every request would be answered with 500, and the log says why. With `HttpApiBuilder.middleware`, decide how its
 * `SqlError` is handled, for instance `(app) => Effect.orDie(AtomicRequests.middleware(app))`.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { AtomicRequests } from "effect-pgpool"
 *
 * const sign = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`INSERT INTO guests (name) VALUES ('Ada')`
 *   const [{ count }] = yield* sql<{ count: number }>`SELECT count(*)::int AS count FROM guests`
 *   if (count > 100) return yield* Effect.fail(HttpServerResponse.text("The book is full", { status: 409 }))
 *   return HttpServerResponse.empty()
 * })
 *
 * const atomic = HttpRouter.empty.pipe(HttpRouter.post("/sign", sign), HttpRouter.use(AtomicRequests.middleware))
 *
 * const ServerLive = atomic.pipe(
 *   HttpRouter.get("/health", HttpServerResponse.empty()),
 *   HttpServer.serve()
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const middleware: Middleware = (httpApp) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.uninterruptibleMask((restore) =>
      // The server runs apps uninterruptibly, but a client that has gone must not wait for a connection.
      refuseResponses(Effect.interruptible(inTransaction(sql, restore(httpApp))))
    ))

/**
 * Runs the handler in a transaction. If no connection is available, the handler does not begin, and the client may ask
 * again.
 */
const inTransaction = <E, R>(
  sql: SqlClient.SqlClient,
  handler: HttpApp.Default<E, R>
): HttpApp.Default<E | SqlError, R> =>
  Effect.suspend(() => {
    let hasBegun = false
    const begin = Effect.sync(() => {
      hasBegun = true
    })
    const transaction = sql.withTransaction(Effect.zipRight(Effect.zipRight(answered, begin), handler))
    return Effect.tapError(transaction, (error) =>
      Effect.sync(() => {
        if (!hasBegun && isUnavailable(error)) Object.assign(Cause.originalError(error) as SqlError, unavailable)
      }))
  })

/** Waits until the server has begun the transaction. The pool would send BEGIN with the first statement of the handler. */
const answered: Effect.Effect<void, SqlError> = Effect.flatMap(
  Effect.serviceOption(SqlClient.TransactionConnection),
  Option.match({
    onNone: () => Effect.void,
    onSome: ([connection]) =>
      Predicate.hasProperty(connection, BeginNow)
        ? (connection as unknown as BeginsLate<SqlError>)[BeginNow]
        : Effect.void
  })
)

const unavailable: HttpServerRespondable.Respondable = {
  [HttpServerRespondable.symbol]: () => HttpServerResponse.empty({ status: 503 })
}

/** Refuses responses before COMMIT: such a response would promise a result that may not be stored. */
const refuseResponses = <E, R>(transaction: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.suspend(() => {
    let isOver = false
    const end = Effect.sync(() => {
      isOver = true
    })
    return Effect.zipRight(
      HttpApp.appendPreResponseHandler((_, response) =>
        isOver ? Effect.succeed(response) : end.pipe(
          Effect.zipRight(Effect.logError(misplaced)),
          Effect.zipRight(Effect.dieMessage(misplaced))
        )
      ),
      Effect.ensuring(transaction, end)
    )
  })

const misplaced = "AtomicRequests can't be a middleware of HttpServer.serve, which sends the response before COMMIT: " +
  "apply it to the router or the app"

/**
 * Returns `middleware` if `ATOMIC_REQUESTS` is true in the environment (or in the `ConfigProvider` that is in force).
 * Otherwise it returns a middleware that changes nothing. The default is false, as in Django. It fails with
 * `ConfigError` if the value is no boolean.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { AtomicRequests } from "effect-pgpool"
 *
 * declare const router: HttpRouter.HttpRouter
 *
 * const ServerLive = Layer.unwrapEffect(
 *   Effect.map(AtomicRequests.fromEnv, (atomic) => HttpServer.serve(HttpRouter.use(router, atomic)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const fromEnv: Effect.Effect<Middleware, ConfigError> = Config.boolean("ATOMIC_REQUESTS").pipe(
  Config.withDefault(false),
  Effect.map((isOn): Middleware => isOn ? middleware : (httpApp) => httpApp)
)
