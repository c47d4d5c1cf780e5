/**
 * Each HTTP request in a transaction of its own: the `ATOMIC_REQUESTS` of Django. It needs a `SqlClient` and nothing
 * else of this package, so it works with any client.
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
 * Runs what it is put round inside `sql.withTransaction`. COMMIT when that succeeds, and only then the response is
 * sent; ROLLBACK when it fails, dies, or the client goes away. Then the connection is given back, so it is held for one
 * request at most (Django's `CONN_MAX_AGE` 0).
 *
 * - Success commits whatever the status, as in Django, where only an exception rolls back: a refused login may want to
 *   count the attempt. To answer 409 and roll back, **fail** with it: with an error that is `Respondable`, or with the
 *   response itself. An error that is caught inside the middleware is no failure; one caught outside has rolled back.
 * - `SqlError` is added to the errors: no connection, or a COMMIT that failed. Unless you catch it, the client gets 503
 *   where the pool had no connection (`PgError.isUnavailable`), so that the handler has not begun, and else 500. After
 *   `CommitOutcomeUnknown` the work may be stored nevertheless (R22).
 * - A connection is taken before the handler runs, even if it sends no statement, and kept while it reads a body or
 *   calls another service. Leave such routes, web sockets and health checks out: `HttpRouter.use` applies to the routes
 *   added before it, and a path that no route has takes no connection.
 * - A streamed body, and pre-response handlers, run after COMMIT and outside the transaction.
 * - `withTransaction` in a handler is a savepoint. A statement whose failure a handler means to survive needs one round
 *   it, else COMMIT fails.
 *
 * It can't be given to `HttpServer.serve`, which runs its middleware round the sending of the response: every request
 * would be answered with 500, and the log says why. With `HttpApiBuilder.middleware` say what becomes of its
 * `SqlError`, for instance `(app) => Effect.orDie(AtomicRequests.middleware(app))`.
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

/** Where there is no connection the handler does not begin, and the client may ask again. */
const inTransaction = <E, R>(
  sql: SqlClient.SqlClient,
  handler: HttpApp.Default<E, R>
): HttpApp.Default<E | SqlError, R> =>
  Effect.suspend(() => {
    let hasBegun = false
    const begin = Effect.sync(() => {
      hasBegun = true
    })
    return Effect.tapError(sql.withTransaction(Effect.zipRight(begin, handler)), (error) =>
      Effect.sync(() => {
        if (!hasBegun && isUnavailable(error)) Object.assign(Cause.originalError(error) as SqlError, unavailable)
      }))
  })

const unavailable: HttpServerRespondable.Respondable = {
  [HttpServerRespondable.symbol]: () => HttpServerResponse.empty({ status: 503 })
}

/** A response that is sent before COMMIT would promise what may not come true. */
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
 * `middleware` if `ATOMIC_REQUESTS` is true in the environment (or whatever `ConfigProvider` is in force), else one
 * that changes nothing. Default: false, as in Django. Fails with `ConfigError` if the value is no boolean.
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
