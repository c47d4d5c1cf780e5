/** @internal */
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer } from "node:http"
import { isMeantForHere, wrongHost } from "./guard.js"
import type { PageOptions, Place } from "./options.js"

/**
 * Serves the page by a server of its own, until the scope is closed.
 *
 * @internal
 */
export const serve = (
  router: HttpRouter.HttpRouter,
  { host, port }: Place,
  { token }: Pick<PageOptions, "token">
): Effect.Effect<void, ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const NodeHttpServer = yield* platformNode
    const node = createServer()
    const server = yield* NodeHttpServer.make(() => node, { host, port })
    // The server waits for its clients when it is closed, and those who watch would not leave.
    yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
    const app = router.pipe(
      Effect.catchTag("RouteNotFound", () => HttpServerResponse.empty({ status: 404 })),
      token === undefined ? forThisMachine : (app) => app
    )
    yield* HttpServer.serveEffect(app).pipe(
      Effect.provideService(HttpServer.HttpServer, server),
      Effect.locally(HttpMiddleware.currentTracerDisabledWhen, () => true)
    )
    yield* Effect.logInfo(`The page of the pool: ${HttpServer.formatAddress(server.address)}/`)
  })

const forThisMachine = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request): typeof app => isMeantForHere(request) ? app : Effect.succeed(wrongHost)
  )

/** Only those who use the layer need it. */
const platformNode = Effect.tryPromise(() => import("@effect/platform-node/NodeHttpServer")).pipe(
  Effect.orDieWith(() =>
    new Error(
      "Dashboard.layer needs @effect/platform-node, which is not installed: install it, or mount Dashboard.router into a server of your own"
    )
  )
)
