// How http-service.ts is tested without a database: only the server's answers are scripted, and the clock is the test's.
import { HttpServerRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { PgPool, PoolHolder } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { routes } from "./http-service.js"

const accounts = { text: /FROM example_accounts/, rows: [{ owner: "Ada", balance: 100 }] }

/** A pool of one connection over a server that has one statement. */
const DatabaseTest = (answer?: Partial<Testing.Answer>) =>
  Testing.layer({
    pool: { maxsize: 1, maxoverflow: 1, acquireTimeout: "8 seconds", leakThreshold: "10 seconds" },
    statements: [{ ...accounts, ...answer }]
  })

const get = (path: string) =>
  routes.pipe(
    Effect.map(({ status }) => status),
    Effect.provideService(
      HttpServerRequest.HttpServerRequest,
      HttpServerRequest.fromWeb(new Request(`http://localhost${path}`))
    ),
    Effect.withSpan(`GET ${path}`),
    Effect.scoped
  )

it.effect("a full pool is answered with 503, and the service stays alive", () =>
  Effect.gen(function*() {
    const served = yield* Effect.fork(get("/accounts"))
    const refused = yield* Effect.fork(get("/accounts"))
    yield* TestClock.adjust("8 seconds")
    assert.strictEqual(yield* Fiber.join(refused), 503)
    assert.deepStrictEqual([yield* get("/live"), yield* get("/ready")], [204, 204])
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* Fiber.join(served), 200)
  }).pipe(Effect.provide(DatabaseTest({ delay: "9 seconds" }))))

it.effect("when the database is away for 3 seconds, no request fails", () =>
  Effect.gen(function*() {
    const faults = yield* Testing.Faults
    yield* get("/accounts")
    yield* Effect.zipRight(faults.refuse, faults.cut)
    const requests = yield* Effect.fork(Effect.all([get("/accounts"), get("/accounts")], { concurrency: 2 }))
    yield* TestClock.adjust("3 seconds")
    yield* faults.restore
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* Fiber.join(requests), [200, 200])
  }).pipe(Effect.provide(DatabaseTest())))

it.effect("a leak is found: who has held a connection for more than 10 seconds", () =>
  Effect.gen(function*() {
    const pool = yield* PgPool.PgPool
    yield* Effect.fork(get("/accounts"))
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual((yield* pool.stats).leaked, 1)
    assert.match((yield* pool.holders).map(PoolHolder.describe).join(), /taken in .*GET \/accounts/)
  }).pipe(Effect.provide(DatabaseTest({ rows: undefined, hangs: true }))))
