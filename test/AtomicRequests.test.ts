import { Reactivity } from "@effect/experimental"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApp,
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import {
  ConfigProvider,
  Data,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Redacted,
  Schedule,
  Schema,
  Stream
} from "effect"
import { AtomicRequests, PgPool } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { inject } from "vitest"

const url = Redacted.make(inject("pgUrl"))
const applicationName = `atomic requests ${process.pid}`
const table = `atomic_requests_${process.pid}`

/** Rows are told apart by their names: each test has its own. */
const Table = Layer.scopedDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.acquireRelease(
    sql`CREATE TABLE ${sql(table)} (name text, twin text, UNIQUE (twin) DEFERRABLE INITIALLY DEFERRED)`,
    () => Effect.orDie(sql`DROP TABLE ${sql(table)}`)
  )
}))

const Database = Layer.provideMerge(Table, PgPool.layer({ url, applicationName }))

const insert = (name: string, twin: string | null = null) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO ${sql(table)} ${sql.insert({ name, twin })}`)

const count = (name: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ n: number }>`SELECT count(*)::int AS n FROM ${sql(table)} WHERE name = ${name}`
    return rows[0]!.n
  })

const counted = (name: string) => Effect.map(count(name), (n) => HttpServerResponse.text(String(n)))

const written = (name: string) => Effect.as(insert(name), HttpServerResponse.text("written"))

const request = (method: "GET" | "POST", path: string) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(HttpClientRequest.make(method)(path))
    return { status: response.status, body: yield* response.text }
  }).pipe(Effect.scoped)

const post = (path: string) => request("POST", path)
const get = (path: string) => request("GET", path)

const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(condition, { until: (isMet) => isMet, schedule: Schedule.spaced("10 millis") })

/** All connections are back, and no session of ours was left in a transaction. */
const assertReturned = Effect.gen(function*() {
  const pool = yield* PgPool.PgPool
  const { busy, waiting } = yield* pool.stats
  assert.deepStrictEqual({ busy, waiting }, { busy: 0, waiting: 0 })
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`SELECT pid FROM pg_stat_activity
    WHERE application_name = ${applicationName} AND state LIKE 'idle in transaction%'`
  assert.deepStrictEqual(rows, [])
})

class Refused extends Data.TaggedError("Refused")<{}> {}

class Conflict extends Data.TaggedError("Conflict")<{}> implements HttpServerRespondable.Respondable {
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.text("conflict", { status: 409 })
  }
}

layer(Database, { excludeTestServices: true })("AtomicRequests", (it) => {
  describe("R35: commits", () => {
    it.scoped("a success, before the response is sent", () =>
      Effect.gen(function*() {
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", written("success")),
          HttpRouter.use(AtomicRequests.middleware),
          HttpServer.serveEffect()
        )
        for (let n = 1; n <= 20; n++) {
          assert.deepStrictEqual(yield* post("/"), { status: 200, body: "written" })
          assert.strictEqual(yield* count("success"), n)
          yield* assertReturned
        }
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("a success with an error status, as Django does", () =>
      Effect.gen(function*() {
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", Effect.as(insert("status"), HttpServerResponse.empty({ status: 403 }))),
          HttpRouter.use(AtomicRequests.middleware),
          HttpServer.serveEffect()
        )
        assert.strictEqual((yield* post("/")).status, 403)
        assert.strictEqual(yield* count("status"), 1)
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("what a failed savepoint leaves", () =>
      Effect.gen(function*() {
        const half = Effect.zipRight(insert("savepoint"), new Refused())
        yield* HttpRouter.empty.pipe(
          HttpRouter.post(
            "/",
            Effect.gen(function*() {
              const sql = yield* SqlClient.SqlClient
              yield* Effect.ignore(sql.withTransaction(half))
              return yield* written("savepoint")
            })
          ),
          HttpRouter.use(AtomicRequests.middleware),
          HttpServer.serveEffect()
        )
        assert.strictEqual((yield* post("/")).status, 200)
        assert.strictEqual(yield* count("savepoint"), 1)
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("round an app that is no router", () =>
      Effect.gen(function*() {
        yield* HttpServer.serveEffect(AtomicRequests.middleware(written("app")))
        assert.strictEqual((yield* post("/")).status, 200)
        assert.strictEqual(yield* count("app"), 1)
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))
  })

  describe("R35: rolls back", () => {
    it.scoped("a typed failure, and the client gets what the app or the error makes of it", () =>
      Effect.gen(function*() {
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/refused", Effect.zipRight(insert("failure"), new Refused())),
          HttpRouter.post("/conflict", Effect.zipRight(insert("failure"), new Conflict())),
          HttpRouter.post(
            "/response",
            Effect.zipRight(insert("failure"), Effect.fail(HttpServerResponse.text("full", { status: 409 })))
          ),
          HttpRouter.use(AtomicRequests.middleware),
          HttpRouter.catchTag("Refused", () => HttpServerResponse.text("refused", { status: 422 })),
          HttpServer.serveEffect()
        )
        assert.deepStrictEqual(yield* post("/refused"), { status: 422, body: "refused" })
        yield* assertReturned
        assert.deepStrictEqual(yield* post("/conflict"), { status: 409, body: "conflict" })
        yield* assertReturned
        assert.deepStrictEqual(yield* post("/response"), { status: 409, body: "full" })
        yield* assertReturned
        assert.strictEqual(yield* count("failure"), 0)
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("a defect", () =>
      Effect.gen(function*() {
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", Effect.zipRight(insert("defect"), Effect.die(new Error("a bug")))),
          HttpRouter.use(AtomicRequests.middleware),
          HttpServer.serveEffect()
        )
        assert.strictEqual((yield* post("/")).status, 500)
        assert.strictEqual(yield* count("defect"), 0)
        yield* assertReturned
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("when the client goes away in the middle of the handler", () =>
      Effect.gen(function*() {
        const inserted = yield* Deferred.make<void>()
        const interrupted = yield* Deferred.make<void>()
        const handler = insert("abort").pipe(
          Effect.zipRight(Deferred.succeed(inserted, undefined)),
          Effect.zipRight(Effect.never),
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", handler),
          HttpRouter.use(AtomicRequests.middleware),
          HttpServer.serveEffect()
        )
        const client = yield* Effect.fork(post("/"))
        yield* Deferred.await(inserted)
        yield* Fiber.interrupt(client)
        yield* Deferred.await(interrupted)
        const pool = yield* PgPool.PgPool
        yield* eventually(Effect.map(pool.stats, ({ busy, checking }) => busy + checking === 0))
        assert.strictEqual(yield* count("abort"), 0)
        yield* assertReturned
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("when COMMIT fails, and the client gets an error", () =>
      Effect.gen(function*() {
        // Both statements succeed: the constraint is deferred.
        const twins = Effect.zipRight(insert("commit", "same"), insert("commit", "same"))
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", Effect.as(twins, HttpServerResponse.text("written"))),
          HttpRouter.use(AtomicRequests.middleware),
          HttpServer.serveEffect()
        )
        assert.strictEqual((yield* post("/")).status, 500)
        assert.strictEqual(yield* count("commit"), 0)
        yield* assertReturned
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("when the handler has caught a failed statement, and the client gets an error", () =>
      Effect.gen(function*() {
        const failing = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1 / 0`)
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", Effect.zipLeft(written("caught"), Effect.ignore(failing))),
          HttpRouter.use(AtomicRequests.middleware),
          HttpRouter.catchTag("SqlError", ({ message }) => HttpServerResponse.text(message, { status: 500 })),
          HttpServer.serveEffect()
        )
        assert.deepStrictEqual(yield* post("/"), {
          status: 500,
          body: "The transaction was rolled back: " +
            "The server answered COMMIT with ROLLBACK, because a statement of the transaction had failed"
        })
        assert.strictEqual(yield* count("caught"), 0)
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))

    it.scoped("an error that an HttpApi answers for", () =>
      Effect.gen(function*() {
        class Taken extends Schema.TaggedError<Taken>()("Taken", {}) {}
        const api = HttpApi.make("api").add(
          HttpApiGroup.make("guests").add(HttpApiEndpoint.post("sign", "/sign").addError(Taken, { status: 409 }))
        )
        const Guests = HttpApiBuilder.group(api, "guests", (handlers) =>
          handlers.handle("sign", () =>
            Effect.zipRight(Effect.orDie(insert("api")), new Taken())))
        yield* HttpApiBuilder.serve().pipe(
          Layer.provide(HttpApiBuilder.middleware((app) =>
            Effect.orDie(AtomicRequests.middleware(app)), { withContext: true })),
          Layer.provide(HttpApiBuilder.api(api)),
          Layer.provide(Guests),
          Layer.build
        )
        assert.strictEqual((yield* post("/sign")).status, 409)
        assert.strictEqual(yield* count("api"), 0)
        yield* assertReturned
      }).pipe(Effect.provide(NodeHttpServer.layerTest)))
  })

  it.scoped("R35: concurrent requests don't see each other's rows before COMMIT", () =>
    Effect.gen(function*() {
      const inserted = yield* Deferred.make<void>()
      const seen = yield* Deferred.make<void>()
      const slow = Effect.gen(function*() {
        const response = yield* written("isolation")
        yield* Deferred.succeed(inserted, undefined)
        yield* Deferred.await(seen)
        return response
      })
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", slow),
        HttpRouter.get("/", counted("isolation")),
        HttpRouter.use(AtomicRequests.middleware),
        HttpServer.serveEffect()
      )
      const writer = yield* Effect.fork(post("/"))
      yield* Deferred.await(inserted)
      assert.strictEqual((yield* get("/")).body, "0")
      yield* Deferred.succeed(seen, undefined)
      assert.strictEqual((yield* Fiber.join(writer)).status, 200)
      assert.strictEqual((yield* get("/")).body, "1")
    }).pipe(Effect.provide(NodeHttpServer.layerTest)))

  it.scoped("R35: a streamed body runs after COMMIT, outside the transaction", () =>
    Effect.gen(function*() {
      const handler = Effect.gen(function*() {
        yield* insert("stream")
        const sql = yield* SqlClient.SqlClient
        const inside = yield* Effect.context<SqlClient.SqlClient>()
        return sql<{ outside: boolean }>`SELECT pg_current_xact_id_if_assigned() IS NULL AS outside
          FROM ${sql(table)} WHERE name = 'stream'`.stream.pipe(
          Stream.map(({ outside }) => String(outside)),
          Stream.encodeText,
          Stream.provideContext(inside),
          HttpServerResponse.stream
        )
      })
      yield* HttpRouter.empty.pipe(
        HttpRouter.get("/", handler),
        HttpRouter.use(AtomicRequests.middleware),
        HttpServer.serveEffect()
      )
      assert.deepStrictEqual(yield* get("/"), { status: 200, body: "true" })
    }).pipe(Effect.provide(NodeHttpServer.layerTest)))

  it.scoped("R35: pre-response handlers of the app run as ever", () =>
    Effect.gen(function*() {
      const mark = HttpApp.appendPreResponseHandler((_, response) =>
        Effect.succeed(HttpServerResponse.setStatus(response, 201))
      )
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", Effect.zipRight(mark, written("handlers"))),
        HttpRouter.use(AtomicRequests.middleware),
        HttpServer.serveEffect()
      )
      assert.strictEqual((yield* post("/")).status, 201)
      assert.strictEqual(yield* count("handlers"), 1)
    }).pipe(Effect.provide(NodeHttpServer.layerTest)))

  it.scoped("R35: with HttpRouter.use, other routes and unknown paths take no connection", () =>
    Effect.gen(function*() {
      yield* HttpRouter.empty.pipe(
        HttpRouter.get("/atomic", HttpServerResponse.empty()),
        HttpRouter.use(AtomicRequests.middleware),
        HttpRouter.get("/health", HttpServerResponse.empty()),
        HttpServer.serveEffect()
      )
      const pool = yield* PgPool.PgPool
      const { acquired } = yield* pool.stats
      assert.strictEqual((yield* get("/health")).status, 204)
      assert.strictEqual((yield* get("/nowhere")).status, 404)
      assert.strictEqual((yield* pool.stats).acquired, acquired)
      assert.strictEqual((yield* get("/atomic")).status, 204)
      assert.strictEqual((yield* pool.stats).acquired, acquired + 1)
    }).pipe(Effect.provide(NodeHttpServer.layerTest)))

  it.scoped("R35: a client that goes away while its request waits for a connection leaves the queue", () =>
    Effect.gen(function*() {
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", written("queue")),
        HttpRouter.use(AtomicRequests.middleware),
        HttpServer.serveEffect()
      )
      const pool = yield* PgPool.PgPool
      yield* pool.get
      const client = yield* Effect.fork(post("/"))
      yield* eventually(Effect.map(pool.stats, ({ waiting }) => waiting === 1))
      yield* Fiber.interrupt(client)
      yield* eventually(Effect.map(pool.stats, ({ waiting }) => waiting === 0))
      assert.strictEqual((yield* pool.stats).timeouts, 0)
    }).pipe(
      Effect.scoped,
      Effect.provide([
        NodeHttpServer.layerTest,
        PgPool.layer({ url, maxsize: 1, maxoverflow: 1, acquireTimeout: "1 hour" })
      ])
    ))

  it.scoped("R35: 503 where the pool has no connection, and the handler has not begun", () =>
    Effect.gen(function*() {
      let begun = 0
      const handler = Effect.zipRight(Effect.sync(() => begun++), written("unavailable"))
      // The fourth is another pool's, of which the handler asks for a connection.
      const other = yield* PgPool.make({ url, maxsize: 1, maxoverflow: 1, acquireTimeout: "1 second" })
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", handler),
        HttpRouter.post("/other", Effect.as(other.client`SELECT 1`, HttpServerResponse.empty())),
        HttpRouter.use(AtomicRequests.middleware),
        HttpServer.serveEffect()
      )
      const pool = yield* PgPool.PgPool
      yield* Effect.scoped(Effect.gen(function*() {
        yield* other.get
        assert.strictEqual((yield* post("/other")).status, 500)
        yield* pool.get
        const exhausted = yield* Effect.fork(post("/"))
        yield* eventually(Effect.map(pool.stats, ({ waiting }) => waiting === 1))
        assert.deepStrictEqual(yield* post("/"), { status: 503, body: "" }, "PoolQueueFull")
        assert.deepStrictEqual(yield* exhausted, { status: 503, body: "" }, "PoolExhausted")
      }))
      assert.deepStrictEqual(yield* post("/"), { status: 200, body: "written" })
      yield* pool.drain
      assert.deepStrictEqual(yield* post("/"), { status: 503, body: "" }, "PoolClosed")
      assert.strictEqual(begun, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide([
        Reactivity.layer,
        NodeHttpServer.layerTest,
        PgPool.layer({ url, maxsize: 1, maxoverflow: 1, maxWaiting: 1, acquireTimeout: "1 second" })
      ])
    ))

  it.scoped("R35: so it is where the session ends at BEGIN, and there is no other one", () =>
    Effect.gen(function*() {
      let begun = 0
      const handler = Effect.as(Effect.sync(() => begun++), HttpServerResponse.empty())
      const request = HttpServerRequest.fromWeb(new Request("http://localhost/"))
      const app = Effect.provideService(
        AtomicRequests.middleware(handler),
        HttpServerRequest.HttpServerRequest,
        request
      )
      const error = yield* Effect.flip(app)
      assert.strictEqual((yield* HttpServerRespondable.toResponseOrElse(error, HttpServerResponse.empty())).status, 503)
      assert.strictEqual(begun, 0)
    }).pipe(Effect.provide(Testing.layer({
      statements: [{ text: "BEGIN", error: "57P05" }],
      connect: (n) => ({ refused: n > 1 }),
      pool: { maxsize: 1, maxoverflow: 1, acquireTimeout: "300 millis", outageTimeout: "300 millis" }
    }))))

  it.scoped("R35: 503 is only the default: a full pool is a typed SqlError outside the middleware", () =>
    Effect.gen(function*() {
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", written("full")),
        HttpRouter.use(AtomicRequests.middleware),
        HttpRouter.catchTag("SqlError", ({ cause }) => HttpServerResponse.text((cause as Error).name, { status: 503 })),
        HttpServer.serveEffect()
      )
      const pool = yield* PgPool.PgPool
      yield* pool.get
      assert.deepStrictEqual(yield* post("/"), { status: 503, body: "PoolExhausted" })
    }).pipe(
      Effect.scoped,
      Effect.provide([
        NodeHttpServer.layerTest,
        PgPool.layer({ url, maxsize: 1, maxoverflow: 1, maxwait: "50 millis", whenFull: "fail" })
      ])
    ))

  it.scoped("R35: works with PgClient.layer as well", () =>
    Effect.gen(function*() {
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", written("stock")),
        HttpRouter.post("/refused", Effect.zipRight(insert("stock"), new Refused())),
        HttpRouter.use(AtomicRequests.middleware),
        HttpServer.serveEffect()
      )
      assert.strictEqual((yield* post("/")).status, 200)
      assert.strictEqual((yield* post("/refused")).status, 500)
      assert.strictEqual(yield* count("stock"), 1)
    }).pipe(Effect.provide([NodeHttpServer.layerTest, PgClient.layer({ url })])))

  it.scoped("R35: as a middleware of HttpServer.serve it answers 500, stores nothing, and says why", () =>
    Effect.gen(function*() {
      const messages: Array<unknown> = []
      const logger = Logger.make(({ message }) => {
        messages.push(message)
      })
      yield* HttpRouter.empty.pipe(
        HttpRouter.post("/", written("misplaced")),
        HttpServer.serveEffect(AtomicRequests.middleware),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.strictEqual((yield* post("/")).status, 500)
      assert.include(String(messages), "sends the response before COMMIT")
      assert.strictEqual(yield* count("misplaced"), 0)
      yield* assertReturned
    }).pipe(Effect.provide(NodeHttpServer.layerTest)))

  describe("R35: ATOMIC_REQUESTS", () => {
    const rowsAfterFailure = (name: string, env: Record<string, string>) =>
      Effect.gen(function*() {
        const middleware = yield* AtomicRequests.fromEnv
        yield* HttpRouter.empty.pipe(
          HttpRouter.post("/", Effect.zipRight(insert(name), new Refused())),
          HttpRouter.use(middleware),
          HttpServer.serveEffect()
        )
        assert.strictEqual((yield* post("/")).status, 500)
        return yield* count(name)
      }).pipe(
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
        Effect.provide(NodeHttpServer.layerTest)
      )

    it.scoped("true: requests are atomic", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* rowsAfterFailure("on", { ATOMIC_REQUESTS: "true" }), 0)
      }))

    it.scoped("false or not set: they are not", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* rowsAfterFailure("off", { ATOMIC_REQUESTS: "false" }), 1)
        assert.strictEqual(yield* rowsAfterFailure("unset", {}), 1)
      }))

    it.scoped("anything else is a ConfigError", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(rowsAfterFailure("bad", { ATOMIC_REQUESTS: "maybe" }))
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(exit), "ATOMIC_REQUESTS")
      }))
  })
})
