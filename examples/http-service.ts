// An HTTP service in which one line makes each request atomic: it commits when the handler succeeds and rolls back when
// it fails, and its connection is back in the pool before the response is sent. It has endpoints for liveness and
// readiness, and at SIGTERM it lets the requests that are under way end.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/http-service.ts            plays a few requests and ends
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/http-service.ts --serve    stays up, on PORT or 3000
// http-service.test.ts tests it without a database.
import {
  HttpClient,
  HttpClientRequest,
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { Config, Console, Data, Effect, Layer, Logger, LogLevel, Schema } from "effect"
import { AtomicRequests, PgError, PgPool, PgPoolLayer } from "effect-pgpool"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { isDeepStrictEqual } from "node:util"

// --- The service ---

/** The error says itself what the client is answered. */
class Refused extends Data.TaggedError("Refused")<{ readonly reason: string }>
  implements HttpServerRespondable.Respondable
{
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.json({ reason: this.reason }, { status: 409 })
  }
}

const Transfer = Schema.Struct({ from: Schema.String, to: Schema.String, amount: Schema.Positive.pipe(Schema.int()) })

/** Writes first and looks afterwards. That is safe, because a failure takes back what was written. */
const transfer = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const { amount, from, to } = yield* HttpServerRequest.schemaBodyJson(Transfer)
  const givers = yield* sql<{ balance: number }>`
    UPDATE example_accounts SET balance = balance - ${amount} WHERE owner = ${from} RETURNING balance`
  const takers = yield* sql`
    UPDATE example_accounts SET balance = balance + ${amount} WHERE owner = ${to} RETURNING balance`
  if (givers.length === 0) return yield* new Refused({ reason: `${from} has no account` })
  if (takers.length === 0) return yield* new Refused({ reason: `${to} has no account` })
  if (givers[0].balance < 0) return yield* new Refused({ reason: `${from} has not enough` })
  return HttpServerResponse.empty()
})

const accounts = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  return yield* HttpServerResponse.json(yield* sql`SELECT owner, balance FROM example_accounts ORDER BY owner`)
})

/** No connection: the client may try again soon. All other errors are answered with 500. */
const whenUnavailable = (error: SqlError) =>
  PgError.isUnavailable(error)
    ? HttpServerResponse.empty({ status: 503, headers: { "retry-after": "1" } })
    : Effect.fail(error)

/** A load balancer sends requests elsewhere while this fails. A pool that is full still serves them. */
const ready = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  const { _tag } = yield* pool.health
  return HttpServerResponse.empty({ status: _tag === "Draining" || _tag === "Unreachable" ? 503 : 204 })
})

export const routes = HttpRouter.empty.pipe(
  HttpRouter.post("/transfer", transfer),
  HttpRouter.get("/accounts", accounts),
  // The setting. `AtomicRequests.fromEnv` reads it from ATOMIC_REQUESTS instead.
  HttpRouter.use(AtomicRequests.middleware),
  // Without it the answer would be 503 as well, but would not say when to try again.
  HttpRouter.catchTag("SqlError", (error) => whenUnavailable(error)),
  // Added after it, so these routes are not atomic and take no connection.
  HttpRouter.get("/ready", ready),
  // It must not ask the database: if that is down, all instances would be restarted at once.
  HttpRouter.get("/live", HttpServerResponse.empty())
)

const AccountsLive = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP TABLE IF EXISTS example_accounts`
  yield* sql`CREATE TABLE example_accounts (owner text PRIMARY KEY, balance int NOT NULL)`
  yield* sql`INSERT INTO example_accounts VALUES ('Ada', 100), ('Bob', 0)`
}))

const isServing = process.argv.includes("--serve")

const server = createServer()

const ServerLive = NodeHttpServer.layerConfig(() => server, {
  port: Config.withDefault(Config.port("PORT"), isServing ? 3000 : 0)
})

/** Built last, so that it is the first to end: the server still answers while the pool is drained. */
const ShutdownLive = Layer.scopedDiscard(Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      yield* pool.drain({ within: "20 seconds" })
      // The server waits for all its clients. The last answers are under way; who is still there then is cut off.
      setTimeout(() => server.closeAllConnections(), 1000).unref()
    })
  )
}))

const HttpLive = HttpServer.serve(routes, HttpMiddleware.logger).pipe(HttpServer.withLogAddress)

// Built from its end. The server listens when all that its handlers need is there.
const ServiceLive = ShutdownLive.pipe(
  Layer.provideMerge(HttpLive),
  Layer.provideMerge(ServerLive),
  Layer.provide(AccountsLive),
  Layer.provideMerge(PgPoolLayer)
)

// --- A client that plays a few requests ---

const send = (from: string, to: string, amount: number) =>
  HttpClientRequest.bodyJson(HttpClientRequest.post("/transfer"), { from, to, amount }).pipe(
    Effect.flatMap(HttpClient.execute),
    Effect.flatMap((response) => Effect.map(response.text, (body) => `${response.status} ${body}`.trim())),
    Effect.scoped
  )

const balances = HttpClient.get("/accounts").pipe(
  Effect.flatMap((response) => response.json),
  Effect.flatMap(Schema.decodeUnknown(Schema.Array(Schema.Struct({ owner: Schema.String, balance: Schema.Number })))),
  Effect.map((rows) => rows.map(({ balance, owner }) => `${owner} ${balance}`).join(", ")),
  Effect.scoped
)

const status = (path: string) => HttpClient.get(path).pipe(Effect.map(({ status }) => status), Effect.scoped)

const expect = (what: string, actual: unknown, expected: unknown) =>
  isDeepStrictEqual(actual, expected)
    ? Console.log(`${what}: ${actual}`)
    : Effect.dieMessage(`${what}: ${actual}, and not ${expected}`)

const play = Effect.gen(function*() {
  yield* expect("Live", yield* status("/live"), 204)
  yield* expect("Ready", yield* status("/ready"), 204)
  yield* expect("At the beginning", yield* balances, "Ada 100, Bob 0")

  yield* expect("Ada sends Bob 30", yield* send("Ada", "Bob", 30), "204")
  yield* expect("  committed", yield* balances, "Ada 70, Bob 30")

  yield* expect("Ada sends Bob 500", yield* send("Ada", "Bob", 500), "409 {\"reason\":\"Ada has not enough\"}")
  yield* expect("  rolled back, after both rows were written", yield* balances, "Ada 70, Bob 30")

  yield* expect("Bob sends Eve 10", yield* send("Bob", "Eve", 10), "409 {\"reason\":\"Eve has no account\"}")
  yield* expect("  rolled back, after Bob's row was written", yield* balances, "Ada 70, Bob 30")

  const both = Effect.all([send("Ada", "Bob", 20), send("Ada", "Bob", 20)], { concurrency: "unbounded" })
  yield* expect("Ada sends Bob 20, twice at the same time", yield* both, ["204", "204"])
  yield* expect("  committed, both", yield* balances, "Ada 30, Bob 70")

  const pool = yield* PgPool.PgPool
  const { busy } = yield* pool.stats
  yield* expect("Connections in use at the end", busy, 0)
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP TABLE example_accounts`
})

const ClientLive = Layer.provide(HttpServer.layerTestClient, NodeHttpClient.layer)

// Not where http-service.test.ts imports it.
const isMain = process.argv[1] === fileURLToPath(import.meta.url)

if (isMain && isServing) NodeRuntime.runMain(Layer.launch(ServiceLive))
else if (isMain) {
  play.pipe(
    Effect.provide(Layer.provideMerge(ClientLive, ServiceLive)),
    Logger.withMinimumLogLevel(LogLevel.Warning),
    NodeRuntime.runMain
  )
}
