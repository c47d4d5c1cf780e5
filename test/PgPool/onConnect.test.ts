import { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import {
  causeTagOf,
  codeOf,
  eventually,
  makePool,
  makeTable,
  pidOf,
  promptly,
  run,
  serverUrl,
  show
} from "../support/pgPool.js"

describe("onConnect and settings", () => {
  it.scopedLive("R37: onConnect runs once for each connection, before its first use", () =>
    Effect.gen(function*() {
      const pids: Array<number> = []
      const { sql } = yield* makePool({
        maxsize: 2,
        onConnect: (connection) =>
          Effect.zipRight(
            run(connection, "SET work_mem = '3MB'"),
            Effect.sync(() => pids.push(connection.processId))
          )
      })
      const sleepers = Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 2), { concurrency: 2 })
      yield* sleepers
      yield* sleepers
      assert.strictEqual(yield* show(sql, "work_mem"), "3MB")
      assert.strictEqual(new Set(pids).size, 2)
      assert.strictEqual(pids.length, 2)
    }))

  it.scopedLive("R18: a failing onConnect is a failed connect: it is tried again, and in the end callers hear the reason", () =>
    Effect.gen(function*() {
      const failures: Array<[PgPool.PgPoolOptions["onConnect"], words: string]> = [
        [(connection) => run(connection, "SELECT 1 / 0"), "division by zero"],
        [() => Effect.fail("not today"), "not today"],
        [(connection) => run(connection, "BEGIN"), "transaction"],
        [() => Effect.die(new Error("a bug in onConnect")), "a bug in onConnect"],
        [() => Effect.interrupt, "interrupt"]
      ]
      for (const [onConnect, words] of failures) {
        const { pool, sql, until } = yield* makePool({ onConnect, acquireTimeout: 1500, outageTimeout: 1500 })
        const started = Date.now()
        const error = yield* promptly(Effect.flip(sql`SELECT 1`))
        const elapsed = Date.now() - started
        assert.strictEqual(causeTagOf(error), "PoolExhausted")
        assert.include(error.message, words)
        assert.isTrue(PgError.isRetryable(error))
        yield* until((sessions) => sessions.length === 0)
        const { closed } = yield* eventually(pool.stats, ({ size }) => size === 0)
        assert.isTrue(closed.failed >= 2 && closed.failed <= 3 + elapsed / 40, `${closed.failed} dials`)
      }
    }))

  it.scopedLive("R18: one that goes well again serves who waits, and eager fails with its reason", () =>
    Effect.gen(function*() {
      let calls = 0
      const onConnect = () => Effect.suspend(() => ++calls < 3 ? Effect.fail("not yet") : Effect.void)
      const { sql } = yield* makePool({ onConnect })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      const eager = makePool({ onConnect: () => Effect.fail("never"), eager: true, connectTimeout: 300 })
      assert.include((yield* promptly(Effect.flip(eager))).message, "never")
    }))

  it.scopedLive("R37: what fails in onConnect is not taken for the caller's own statement", () =>
    Effect.gen(function*() {
      const unknown = new SqlError.SqlError({ cause: new PgError.OutcomeUnknown({ cause: "of another statement" }) })
      const onConnect = () => Effect.fail(unknown)
      const eager = yield* promptly(Effect.flip(makePool({ onConnect, eager: true, connectTimeout: 300 })))
      assert.match(eager.message, /^Failed to connect/)
      assert.isFalse(PgError.isOutcomeUnknown(eager))
      const { sql } = yield* makePool({ onConnect, acquireTimeout: 1000, outageTimeout: 1000 })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.include(error.message, "Failed to connect")
      assert.isFalse(PgError.isOutcomeUnknown(error))
    }))

  it.scopedLive("R37: onConnect's connection is dead afterwards", () =>
    Effect.gen(function*() {
      let leaked: PgPool.PgConnection | undefined
      const { sql } = yield* makePool({ onConnect: (connection) => Effect.sync(() => leaked = connection) })
      yield* sql`SELECT 1`
      assert.instanceOf(yield* Effect.flip(run(leaked!, "SELECT 1")), SqlError.SqlError)
    }))

  it.scopedLive("R37: an onConnect that hangs ends at connectTimeout", () =>
    Effect.gen(function*() {
      let calls = 0
      const { sql, until } = yield* makePool({
        connectTimeout: 200,
        onConnect: () => Effect.suspend(() => ++calls === 1 ? Effect.never : Effect.void)
      })
      yield* sql`SELECT 1`
      assert.isAtLeast(calls, 2)
      yield* until((sessions) => sessions.length === 1)
    }))

  it.scopedLive("R24: statementTimeout, lockTimeout and idleInTransactionTimeout are set in each session, by SET", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const first: Array<string> = []
      proxy.onRequest = (chunk) => first.push(chunk.toString("latin1"))
      const { sql } = yield* makePool({
        url: proxy.url,
        statementTimeout: "3 seconds",
        lockTimeout: 1500,
        idleInTransactionTimeout: "1 minute"
      })
      assert.strictEqual(yield* show(sql, "statement_timeout"), "3s")
      assert.strictEqual(yield* show(sql, "lock_timeout"), "1500ms")
      assert.strictEqual(yield* show(sql, "idle_in_transaction_session_timeout"), "1min")
      // Poolers refuse unknown start-up parameters.
      assert.include(first[0], "application_name")
      assert.notInclude(first[0], "timeout")
    }))

  it.scopedLive("R24: the server's timeouts end what they should", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({
        maxsize: 2,
        statementTimeout: 600,
        lockTimeout: 100,
        idleInTransactionTimeout: 100
      })
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SELECT pg_sleep(60)`)), "57014")
      const locked = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(sql.withTransaction(Effect.gen(function*() {
        yield* sql`LOCK TABLE ${sql(table.name)}`
        yield* Deferred.succeed(locked, undefined)
        yield* sql`SELECT pg_sleep(0.5)`
      })))
      yield* Deferred.await(locked)
      assert.strictEqual(codeOf(yield* Effect.flip(sql`SELECT * FROM ${sql(table.name)}`)), "55P03")
      yield* Fiber.join(holder)
      const error = yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(sql`SELECT 1`, Effect.zipRight(Effect.sleep("500 millis"), sql`SELECT 1`))
      ))
      assert.instanceOf(error, SqlError.SqlError)
      yield* sql`SELECT 1`
      yield* eventually(pool.stats, ({ idle, size }) => idle === size)
    }))

  it.scopedLive("R24: queryTimeout: a typed error, the statement is cancelled, the connection works on", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({
        maxsize: 1,
        maxoverflow: 1,
        queryTimeout: 200,
        cleanupTimeout: "10 seconds"
      })
      const pid = yield* pidOf(sql)
      for (const slow of [sql`SELECT pg_sleep(60)`, sql`SELECT pg_sleep(60)`.raw, sql`SELECT pg_sleep(${60})`.values]) {
        const error = yield* promptly(Effect.flip(slow))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(causeTagOf(error), "OutcomeUnknown")
        yield* until((sessions) => areAll(sessions, ({ state }) => state === "idle"))
      }
      assert.strictEqual(yield* pidOf(sql), pid)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  const onSilentSockets: Record<string, (sql: PgClient.PgClient) => Effect.Effect<unknown, SqlError.SqlError>> = {
    "for statements": (sql) => sql`SELECT 1`,
    "in transactions": (sql) => sql.withTransaction(sql`SELECT 1`),
    "for streams": (sql) => Stream.runDrain(sql`SELECT 1`.stream),
    "for streams in transactions": (sql) => sql.withTransaction(Stream.runDrain(sql`SELECT 1`.stream))
  }
  for (const [name, use] of Object.entries(onSilentSockets)) {
    it.scopedLive(`R24: queryTimeout holds on a silent socket, ${name}`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        const { sql } = yield* makePool({ url: proxy.url, queryTimeout: 200, cleanupTimeout: 200, maxsize: 1 })
        yield* sql`SELECT 0`
        proxy.onRequest = (chunk) => {
          if (chunk.includes("SELECT 1")) proxy.blackhole()
        }
        const error = yield* promptly(Effect.flip(use(sql)))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(causeTagOf(error), name.endsWith("transactions") ? "NotCommitted" : "OutcomeUnknown")
      }))
  }
})
