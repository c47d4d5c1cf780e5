import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type { Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { inject } from "vitest"
import * as Proxy from "../../src/internal/testing/proxy.js"
import {
  causeTagOf,
  eventually,
  makePool,
  makeTable,
  pause,
  promptly,
  serverUrl,
  uniqueName
} from "../support/pgPool.js"

const nobody = (sessions: Array<unknown>) => sessions.length === 0

describe("R13: close", () => {
  it.scopedLive("R13: no session is left: idle, reserved, in a transaction, in a stream, listening, being reset", () =>
    Effect.gen(function*() {
      const { close, pool, sql, until } = yield* makePool({ maxsize: 8, connectConcurrency: 8, closeTimeout: 200 })
      const holding = yield* Deferred.make<void>()
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 5), { concurrency: "unbounded" })
      yield* Effect.forkDaemon(Effect.scoped(Effect.zipRight(sql.reserve, Effect.never)))
      yield* Effect.forkDaemon(Effect.ignore(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.never))))
      yield* Effect.forkDaemon(Effect.ignore(Stream.runForEach(
        sql`SELECT n FROM generate_series(1, 1000) n`.stream,
        () => Effect.zipRight(Deferred.succeed(holding, undefined), Effect.never)
      )))
      yield* Effect.forkDaemon(Effect.ignore(Stream.runDrain(sql.listen(uniqueName()))))
      yield* Deferred.await(holding)
      yield* until((sessions) => sessions.some(({ query }) => query.startsWith("LISTEN")))
      yield* pool.use((connection) => connection.execute("BEGIN", [], undefined))
      yield* close
      yield* until(nobody)
      assert.deepInclude(yield* pool.stats, { size: 0, idle: 0, busy: 0, waiting: 0 })
    }))

  it.scopedLive("R13: what is busy has closeTimeout to come back", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { close, pool, sql, until } = yield* makePool({ closeTimeout: "10 seconds" })
      const busy = yield* Effect.fork(sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO ${sql(table.name)} VALUES (1)`
        yield* sql`SELECT pg_sleep(0.3)`
        // Newcomers are refused, but not the statements of a lease.
        yield* sql`INSERT INTO ${sql(table.name)} VALUES (2)`
      })))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      yield* pause(50)
      yield* close
      yield* Fiber.join(busy)
      assert.deepStrictEqual(yield* table.ids, [1, 2])
      yield* until(nobody)
    }))

  it.scopedLive("R13: after closeTimeout a running query is cancelled on the server, its caller fails typed", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { close, sql, until } = yield* makePool({ closeTimeout: 100 })
      const running = yield* Effect.forEach([
        sql`SELECT pg_sleep(60)`,
        sql.withTransaction(Effect.zipRight(sql`INSERT INTO ${sql(table.name)} VALUES (1)`, sql`SELECT pg_sleep(60)`)),
        Stream.runDrain(sql`SELECT pg_sleep(60)`.stream)
      ], (use) => Effect.fork(Effect.flip(use as Effect.Effect<unknown, SqlError.SqlError>)))
      yield* until((sessions) =>
        sessions.filter(({ query, state }) => state === "active" && query.includes("pg_sleep")).length === 3
      )
      yield* promptly(close)
      for (const fiber of running) assert.instanceOf(yield* promptly(Fiber.join(fiber)), SqlError.SqlError)
      yield* until(nobody)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R13: waiters fail with PoolClosed at once, newcomers too", () =>
    Effect.gen(function*() {
      const { close, pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, closeTimeout: "10 seconds" })
      const release = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(pool.use(() => Deferred.await(release)))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      const uses = () => [
        sql`SELECT 1`,
        sql`SELECT 1`.raw,
        sql.reserve,
        sql.withTransaction(Effect.void),
        Stream.runDrain(sql`SELECT 1`.stream)
      ]
      const waiters = yield* Effect.forEach(uses(), (use) =>
        Effect.fork(Effect.flip(Effect.scoped(use as Effect.Effect<unknown, SqlError.SqlError, Scope.Scope>))))
      const getter = yield* Effect.fork(Effect.flip(Effect.scoped(pool.get)))
      yield* eventually(pool.stats, ({ waiting }) =>
        waiting === 6)
      const closing = yield* Effect.fork(close)
      for (const waiter of waiters) {
        const error = yield* promptly(Fiber.join(waiter))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(causeTagOf(error), "PoolClosed")
        assert.include((error as Error).message, "scope")
      }
      assert.strictEqual((yield* promptly(Fiber.join(getter)))._tag, "PoolClosed")
      for (const use of uses()) {
        const error = yield* promptly(
          Effect.flip(Effect.scoped(use as Effect.Effect<unknown, SqlError.SqlError, Scope.Scope>))
        )
        assert.strictEqual(causeTagOf(error), "PoolClosed")
      }
      assert.strictEqual(causeTagOf(yield* promptly(Effect.flip(sql.notify("a", "b")))), "PoolClosed")
      assert.isNull(closing.unsafePoll())
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(holder)
      yield* Fiber.join(closing)
    }))

  it.scopedLive("R13: a server that says nothing does not hold the close", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { close, sql } = yield* makePool({ url: proxy.url, maxsize: 3, closeTimeout: 100, cleanupTimeout: 200 })
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.05)`, 3), { concurrency: 3 })
      const busy = yield* Effect.fork(Effect.exit(sql`SELECT pg_sleep(60)`))
      yield* pause(100)
      proxy.blackhole()
      yield* promptly(close)
      yield* promptly(Fiber.join(busy))
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
    }))

  it.scopedLive("R13: a dial in flight does not hold the close", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const { close, pool, sql } = yield* makePool({ url: proxy.url })
      const caller = yield* Effect.fork(Effect.flip(sql`SELECT 1`))
      yield* eventually(pool.stats, ({ opening }) => opening === 1)
      yield* promptly(close)
      assert.strictEqual(causeTagOf(yield* Fiber.join(caller)), "PoolClosed")
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
    }))

  it.scopedLive("R13: nothing keeps the process alive", () =>
    Effect.gen(function*() {
      const program = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(
            process.execPath,
            ["--import", "tsx", fileURLToPath(new URL("../support/poolProgram.ts", import.meta.url)), inject("pgUrl")],
            { stdio: ["ignore", "pipe", "inherit"] }
          )
        ),
        (program) => Effect.sync(() => program.kill("SIGKILL"))
      )
      const [output, [status]] = yield* Effect.promise(() => Promise.all([text(program.stdout), once(program, "exit")]))
      assert.strictEqual(status, 0)
      assert.deepStrictEqual(JSON.parse(output), [])
    }))
})
