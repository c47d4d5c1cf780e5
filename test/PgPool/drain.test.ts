import { HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { SqlClient, SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Redacted, Stream } from "effect"
import { PgPool, PoolError } from "effect-pgpool"
import * as Processes from "../support/faults/processes.js"
import { causeTagOf, eventually, isSleeping, makePool, makeTable, promptly, uniqueName } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

/** Somebody who never gives his connection back. */
const leak = (pool: PgPool.PgPool) => Effect.forkDaemon(Effect.ignore(pool.use(() => Effect.never)))

/** A leaked connection, and a statement that takes a minute. */
const makeBusy = (options?: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const busy = yield* makePool({ closeTimeout: "1 minute", ...options })
    const leaker = yield* leak(busy.pool)
    yield* Effect.addFinalizer(() => Fiber.interrupt(leaker))
    const sleeper = yield* Effect.forkDaemon(Effect.flip(busy.sql`SELECT pg_sleep(60)`))
    yield* eventually(busy.pool.stats, ({ busy }) => busy === 2)
    return { ...busy, leaker, sleeper }
  })

/** Runs an effect where nothing can be interrupted, and gives what it gives. */
const places: ReadonlyArray<readonly [string, (effect: Effect.Effect<void>) => Effect.Effect<void>]> = [
  ["a finaliser", (effect) => Effect.scoped(Effect.addFinalizer(() => effect))],
  [
    "the end of a layer",
    (effect) => Effect.asVoid(Effect.scoped(Layer.build(Layer.scopedDiscard(Effect.addFinalizer(() => effect)))))
  ],
  ["Effect.uninterruptible", (effect) => Effect.uninterruptible(effect)],
  ["a fiber that was interrupted", (effect) =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const body = Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
      const fiber = yield* Effect.fork(Effect.onInterrupt(body, () => effect))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
    })]
]

const runAt = <A>(place: (effect: Effect.Effect<void>) => Effect.Effect<void>, effect: Effect.Effect<A>) =>
  Effect.gen(function*() {
    const result = yield* Deferred.make<A>()
    yield* place(Effect.asVoid(Effect.intoDeferred(effect, result)))
    return yield* Deferred.await(result)
  })

describe("R36: drain({ within })", () => {
  for (const [where, place] of places) {
    it.scopedLive(`cancels and closes what is still out, and says how many, in ${where}`, () =>
      Effect.gen(function*() {
        const { pool, sleeper, until } = yield* makeBusy()
        yield* until((sessions) => sessions.some(isSleeping))
        const n = yield* promptly(runAt(place, pool.drain({ within: 100 })))
        assert.strictEqual(n, 2)
        assert.instanceOf(yield* promptly(Fiber.join(sleeper)), SqlError.SqlError)
        yield* until((sessions) => sessions.length === 0)
        assert.deepInclude(yield* pool.stats, { size: 0, waiting: 0 })
      }))
  }

  it.scopedLive("what ends by itself until then does, listeners at once, and the number is 0", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql, until } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const listener = yield* Effect.fork(Effect.flip(Stream.runDrain(pool.listen(uniqueName()))))
      yield* until((sessions) => sessions.some(({ query }) => query.startsWith("LISTEN")))
      const add = (id: number) =>
        sql.withTransaction(
          Effect.zipRight(sql`INSERT INTO ${sql(table.name)} VALUES (${id})`, sql`SELECT pg_sleep(0.1)`)
        )
      const work = yield* Effect.fork(Effect.all([add(1), add(2), add(3)], { concurrency: 3 }))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 2)
      const drain = yield* Effect.fork(pool.drain({ within: "1 minute" }))
      assert.strictEqual(causeTagOf(yield* promptly(Fiber.join(listener))), "PoolClosed")
      yield* Fiber.join(work)
      assert.strictEqual(yield* Fiber.join(drain), 0)
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
      yield* until((sessions) => sessions.length === 0)
    }))

  it.scopedLive("callers in the queue fail with PoolClosed, a transaction is rolled back", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql, until } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const transaction = yield* Effect.fork(Effect.flip(sql.withTransaction(
        Effect.zipRight(sql`INSERT INTO ${sql(table.name)} VALUES (1)`, sql`SELECT pg_sleep(60)`)
      )))
      yield* until((sessions) => sessions.some(isSleeping))
      const waiter = yield* Effect.fork(Effect.flip(sql`SELECT 1`))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      assert.strictEqual(yield* promptly(pool.drain({ within: 100 })), 1)
      assert.strictEqual(causeTagOf(yield* promptly(Fiber.join(waiter))), "PoolClosed")
      yield* promptly(Fiber.join(transaction))
      yield* until((sessions) => sessions.length === 0)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive(
    "R24: a server that stands still does not hold it, in a finaliser: not what is idle, busy, leaked, in a transaction, listening, or opening",
    () =>
      Effect.gen(function*() {
        const server = yield* Postgres.start()
        const url = Redacted.make(server.url)
        const { pool, sleeper, sql } = yield* makeBusy({ url, maxsize: 5, maxoverflow: 5, cleanupTimeout: 200 })
        const listener = yield* Effect.forkDaemon(Effect.exit(Stream.runDrain(pool.listen(uniqueName()))))
        const commit = yield* Effect.makeLatch()
        const transaction = yield* Effect.forkDaemon(
          Effect.exit(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, commit.await)))
        )
        yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 2), { concurrency: 2 })
        yield* eventually(pool.stats, ({ busy, idle }) => busy === 3 && idle === 2)
        yield* Effect.sleep(500)
        yield* Effect.forkScoped(Processes.freeze(Processes.all(server), 300_000))
        yield* Effect.sleep(50)
        // Its COMMIT is never answered.
        yield* commit.open
        yield* pool.evict({ now: true })
        const opening = yield* Effect.forkDaemon(Effect.exit(sql`SELECT 1`))
        const began = Date.now()
        const n = yield* Effect.disconnect(runAt(places[0][1], pool.drain({ within: 300 }))).pipe(
          Effect.timeout("20 seconds")
        )
        assert.isAtMost(Date.now() - began, 10_000)
        assert.strictEqual(n, 3)
        assert.strictEqual((yield* pool.stats).size, 0)
        assert.instanceOf(yield* promptly(Fiber.join(sleeper)), SqlError.SqlError)
        for (const fiber of [listener, transaction, opening]) {
          assert.isTrue(Exit.isFailure(yield* promptly(Fiber.join(fiber as Fiber.Fiber<Exit.Exit<unknown, unknown>>))))
        }
      }),
    60_000
  )
})

describe("R36: drain", () => {
  it.scopedLive("who has one connection from beginning to end is not refused in the middle, as a request that takes another one is", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool()
      const request = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`SELECT pg_sleep(0.3)`
        yield* sql`SELECT 1`
        return HttpServerResponse.empty()
      })
      yield* HttpRouter.empty.pipe(
        HttpRouter.get("/one", request),
        HttpRouter.use(PgPool.withConnection),
        HttpRouter.get("/several", request),
        HttpRouter.catchTag(
          "SqlError",
          (error) => HttpServerResponse.empty({ status: error.cause instanceof PoolError.PoolClosed ? 503 : 500 })
        ),
        HttpServer.serveEffect()
      ).pipe(Effect.provideService(SqlClient.SqlClient, sql), Effect.provideService(PgPool.PgPool, pool))
      const statusOf = (path: string) => Effect.scoped(Effect.map(HttpClient.get(path), ({ status }) => status))
      const both = yield* Effect.fork(Effect.all([statusOf("/one"), statusOf("/several")], { concurrency: 2 }))
      yield* until((sessions) => sessions.filter(isSleeping).length === 2)
      yield* pool.drain
      assert.deepStrictEqual(yield* Fiber.join(both), [204, 503])
    }).pipe(Effect.provide(NodeHttpServer.layerTest)))

  for (const [where, place] of places) {
    it.scopedLive(`Effect.timeoutOption round it is kept in ${where}, with a leaked connection and a running statement`, () =>
      Effect.gen(function*() {
        const { leaker, pool, sleeper, until } = yield* makeBusy({ closeTimeout: 100 })
        const drained = yield* promptly(runAt(place, Effect.timeoutOption(pool.drain, 100)))
        assert.isTrue(Option.isNone(drained))
        assert.deepInclude(yield* pool.stats, { state: "draining", busy: 2 })
        yield* Fiber.interrupt(leaker)
        yield* Fiber.interrupt(sleeper)
        yield* until((sessions) => sessions.length === 0)
      }))
  }
})
