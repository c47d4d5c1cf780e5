// A service with the live page of its pool: who holds the connections, why callers wait, and what has happened.
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/dashboard.ts            reads the page's data once and ends
//   DATABASE_URL=postgresql://localhost/app npx tsx examples/dashboard.ts --serve    stays up, on PORT or 3000
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Config, Console, Effect, Layer, Option, Redacted, Schedule, Stream } from "effect"
import { PgPool, PgPoolLayer } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { createServer } from "node:http"

const isServing = process.argv.includes("--serve")

/** A browser asks for it once. */
const token = Redacted.make("only-for-this-example")

const report = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_sleep(5)`
  return HttpServerResponse.text("reported")
}).pipe(Effect.withSpan("report"))

const routes = HttpRouter.empty.pipe(
  HttpRouter.get("/report", report),
  HttpRouter.mount("/pool", Dashboard.router({ token }))
)

const ServiceLive = HttpServer.serve(routes).pipe(
  HttpServer.withLogAddress,
  Layer.provideMerge(NodeHttpServer.layerConfig(createServer, {
    port: Config.withDefault(Config.port("PORT"), isServing ? 3000 : 0)
  })),
  Layer.provideMerge(PgPoolLayer)
)

// --- A visitor ---

const request = (path: string, headers: Record<string, string> = {}) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
    const port = address._tag === "TcpAddress" ? address.port : 0
    return Effect.promise((signal) => fetch(`http://127.0.0.1:${port}${path}`, { headers, signal }))
  })

/** What the page shows: one JSON text each second. */
const snapshots = (response: Response) =>
  Stream.fromReadableStream(() => response.body!, String).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.filter((line) => line.startsWith("data: {\"at\"")),
    Stream.map((line) => JSON.parse(line.slice("data: ".length)))
  )

const play = Effect.gen(function*() {
  yield* Effect.forkScoped(request("/report"))
  const { stats } = yield* PgPool.PgPool
  yield* Effect.repeat(stats, { until: ({ busy }) => busy === 1, schedule: Schedule.spaced("10 millis") })

  yield* Console.log(`Without the token: ${(yield* request("/pool/pools")).status}`)
  const authorization = `Bearer ${Redacted.value(token)}`
  const response = yield* request("/pool/pools/0", { authorization })
  const seen = yield* Stream.runHead(Stream.filter(snapshots(response), ({ server }) => server._tag === "Known"))
  const { holders: [holder], summary } = Option.getOrThrow(seen)
  yield* Console.log(`Held: ${summary}`)
  yield* Console.log(`The server says: ${holder.backend.state}, waits for ${holder.backend.waitsFor}`)
})

if (isServing) NodeRuntime.runMain(Layer.launch(ServiceLive))
else play.pipe(Effect.scoped, Effect.provide(ServiceLive), NodeRuntime.runMain)
