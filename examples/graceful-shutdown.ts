// An HTTP service that ends in good order. At SIGTERM what is under way ends, what comes new is answered with 503, and a
// connection that somebody holds for ever holds the process only for a while. A second SIGTERM ends it at once.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/graceful-shutdown.ts            sends itself a SIGTERM
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/graceful-shutdown.ts --serve    stays up, on PORT or 3000
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { Config, Console, Effect, Fiber, Layer, Schedule } from "effect"
import { AtomicRequests, PgError, PgPool, PgPoolLayer } from "effect-pgpool"
import { createServer } from "node:http"

// --- The service ---

/** Each request has a connection until its end, so that those that are under way are not in need of another one. */
const order = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_sleep(0.5)`
  yield* sql`SELECT pg_sleep(0.5)`
  return HttpServerResponse.text("ordered")
})

/** A mistake: nobody gives this connection back. */
const leak = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  yield* Effect.forkDaemon(pool.use(() => Effect.never))
  return HttpServerResponse.text("leaked")
})

/** Tells a load balancer whether requests are welcome. */
const ready = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  const { state } = yield* pool.stats
  return state === "open" ? HttpServerResponse.empty() : unavailable
})

/** The client is to try again, on another connection, and so with another process. */
const unavailable = HttpServerResponse.empty({ status: 503, headers: { "retry-after": "1", connection: "close" } })

const whenRefused = (error: SqlError) =>
  PgError.isUnavailable(error)
    ? Effect.succeed(unavailable)
    : Effect.fail(error)

const routes = HttpRouter.empty.pipe(
  HttpRouter.get("/order", order),
  HttpRouter.use(AtomicRequests.middleware),
  HttpRouter.catchTag("SqlError", (error) => whenRefused(error)),
  HttpRouter.get("/ready", ready),
  HttpRouter.get("/leak", leak)
)

const isServing = process.argv.includes("--serve")

const server = createServer()

const HttpLive = HttpServer.serve(routes).pipe(
  HttpServer.withLogAddress,
  Layer.provideMerge(NodeHttpServer.layerConfig(() => server, {
    port: Config.withDefault(Config.port("PORT"), isServing ? 3000 : 0)
  }))
)

/** Built last, so that it is the first to end: the server still answers while the pool is drained. */
const ShutdownLive = Layer.scopedDiscard(Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  const within = yield* Config.withDefault(Config.duration("SHUTDOWN_WITHIN"), isServing ? "20 seconds" : "5 seconds")
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      yield* pool.drain({ within })
      // The server waits for all its clients. The last answers are under way; who is still there then is cut off.
      setTimeout(() => server.closeAllConnections(), 1000)
    })
  )
}))

const ServiceLive = ShutdownLive.pipe(Layer.provideMerge(HttpLive), Layer.provideMerge(PgPoolLayer))

// --- A client that plays a deployment ---

const request = (path: string) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
    const port = address._tag === "TcpAddress" ? address.port : 0
    return Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`))
  })

const expect = (what: string, { status }: Response, expected: number) =>
  status === expected
    ? Console.log(`${what}: ${status}`)
    : Effect.dieMessage(`${what}: ${status}, and not ${expected}`)

const play = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  yield* expect("Ready", yield* request("/ready"), 204)
  yield* expect("A connection is leaked", yield* request("/leak"), 200)
  const underWay = yield* Effect.fork(request("/order"))
  yield* Effect.repeat(pool.stats, { until: ({ busy }) => busy === 2, schedule: Schedule.spaced("10 millis") })

  yield* Console.log("SIGTERM")
  process.kill(process.pid, "SIGTERM")
  yield* Effect.repeat(pool.stats, {
    until: ({ state }) => state === "draining",
    schedule: Schedule.spaced("10 millis")
  })
  yield* expect("Ready", yield* request("/ready"), 503)
  yield* expect("A new request", yield* request("/order"), 503)
  yield* expect("The one that was under way", yield* Fiber.join(underWay), 200)
  yield* Console.log("Now the leaked connection is waited for, and then closed.")
})

const PlayLive = Layer.effectDiscard(Effect.forkDaemon(play))

// A second signal ends a process by itself, but not process 1, as that of a container is: it has to listen for it.
process.once("SIGTERM", () => process.once("SIGTERM", () => process.exit(143)))

NodeRuntime.runMain(Layer.launch(isServing ? ServiceLive : Layer.provide(PlayLive, ServiceLive)))
