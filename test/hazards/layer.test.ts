import type { SqlError } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import { PgPool } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { atOnce, describeOurs, failure, hazard, layerOf, makeClient, open, range } from "../support/hazards.js"
import { causeTagOf, isSleeping, makeTable, pause, serverUrl } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

describe("the layer fails when the database is down, hangs on a server that accepts and says nothing", () => {
  hazard("it builds at once while the database is down, and serves when it is up", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      yield* server.stop()
      const context = yield* atOnce(Layer.build(layerOf({ url: Redacted.make(server.url) })))
      const sql = Context.get(context, PgClient.PgClient)
      const early = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* server.start
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* Fiber.join(early), [{ one: 1 }])
    }), "20 seconds")

  hazard("it builds at once on a server that says nothing, and serves when it speaks", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const context = yield* atOnce(Layer.build(layerOf({ url: proxy.url, connectTimeout: 500 })))
      const sql = Context.get(context, PgClient.PgClient)
      const early = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* pause(100)
      proxy.heal()
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* Fiber.join(early), [{ one: 1 }])
    }))
})

// Stock has no such option.
describeOurs("ours alone: who wants to fail early", () => {
  hazard("eager: true fails within connectTimeout", () =>
    Effect.gen(function*() {
      const down = yield* Effect.scoped(Effect.map(Proxy.start(serverUrl), (proxy) => proxy.url))
      const silent = yield* Proxy.start(serverUrl)
      silent.blackhole()
      for (const url of [down, silent.url]) {
        const build = Effect.scoped(Layer.build(PgPool.layer({ url, eager: true, connectTimeout: 300 })))
        yield* atOnce(failure(build))
      }
    }))
})

describe("closing with a query in flight: 1 s, and the backend runs on; waiters hang", () => {
  hazard("what is in flight is cancelled after closeTimeout, its callers fail typed", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { close, sql, until } = yield* makeClient({ connections: 3, ours: { closeTimeout: 100 } })
      const uses: Array<Effect.Effect<unknown, SqlError.SqlError>> = [
        sql`SELECT pg_sleep(60)`,
        Stream.runDrain(sql`SELECT pg_sleep(60)`.stream),
        sql.withTransaction(Effect.zipRight(sql`INSERT INTO ${sql(table.name)} VALUES (1)`, sql`SELECT pg_sleep(60)`))
      ]
      const fibers = yield* Effect.forEach(uses, (use) => Effect.forkDaemon(failure(use)))
      yield* until((sessions) => sessions.filter(isSleeping).length === 3)
      yield* atOnce(close)
      for (const fiber of fibers) yield* atOnce(Fiber.join(fiber))
      yield* until((sessions) => sessions.length === 0)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  hazard("what ends within closeTimeout is let end", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { close, sql, until } = yield* makeClient({ ours: { closeTimeout: "10 seconds" } })
      const busy = yield* Effect.forkDaemon(sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO ${sql(table.name)} VALUES (1)`
        yield* sql`SELECT pg_sleep(1.5)`
        yield* sql`INSERT INTO ${sql(table.name)} VALUES (2)`
      })))
      yield* until((sessions) => sessions.some(isSleeping))
      yield* close
      // It was waited for.
      assert.deepStrictEqual(yield* table.ids, [1, 2])
      yield* atOnce(Fiber.join(busy))
    }))

  hazard("waiters and newcomers fail at once, with a typed error", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 1, ours: { closeTimeout: 1500 } })
      const { close, sql } = client
      yield* open(client, 1)
      yield* Effect.forkDaemon(Effect.exit(sql`SELECT pg_sleep(60)`))
      yield* client.until((sessions) => sessions.some(isSleeping))
      const uses = () => [
        sql`SELECT 1`,
        sql.withTransaction(Effect.void),
        Stream.runDrain(sql`SELECT 1`.stream),
        Effect.scoped(sql.reserve)
      ]
      const waiters = yield* Effect.forEach(uses(), (use) =>
        Effect.forkDaemon(failure<unknown, SqlError.SqlError, never>(use)))
      yield* pause(100)
      const closing = yield* Effect.forkDaemon(close)
      for (const waiter of waiters) {
        assert.strictEqual(causeTagOf(yield* atOnce(Fiber.join(waiter))), "PoolClosed")
      }
      for (const use of uses()) {
        const error = yield* atOnce(failure<unknown, SqlError.SqlError, never>(use))
        assert.strictEqual(causeTagOf(error), "PoolClosed")
      }
      yield* Fiber.join(closing)
    }))
})

describe("parallel queries on one connection, a client released in the middle of a query", () => {
  hazard("they are serialised, and no deprecation is printed", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeClient({ connections: 1 })
      const warnings: Array<string> = []
      const onWarning = ({ message }: Error) => warnings.push(message)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("warning", onWarning)),
        () => Effect.sync(() => process.off("warning", onWarning))
      )
      const numbers = range(20)
      const inParallel = <E>(use: (n: number) => Effect.Effect<ReadonlyArray<any>, E>) =>
        Effect.map(
          Effect.forEach(numbers, use, { concurrency: "unbounded" }),
          (answers) => assert.deepStrictEqual(answers.map(([{ n }]) => n), numbers)
        )
      yield* sql.withTransaction(inParallel((n) => sql`SELECT ${n}::integer AS n`))
      yield* Effect.scoped(Effect.flatMap(
        sql.reserve,
        (connection) => inParallel((n) => connection.execute("SELECT $1::integer AS n", [n], undefined))
      ))
      yield* Effect.exit(Effect.timeout(Effect.disconnect(sql`SELECT pg_sleep(1)`), "100 millis"))
      yield* sql`SELECT 1`
      assert.deepStrictEqual(warnings, [])
    }))
})
