import { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Redacted, Ref, Scope, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import {
  causeTagOf,
  codeOf,
  eventually,
  isSleeping,
  makePool,
  makeTable,
  nobodySleeps,
  pause,
  pidOf,
  promptly,
  serverUrl,
  uniqueName
} from "../support/pgPool.js"
import * as Proxy from "../support/proxy.js"

const run = (connection: PgPool.PgConnection, text: string) => connection.executeRaw(text, [])

const show = (sql: PgClient.PgClient, setting: string) =>
  Effect.map(sql.unsafe<Record<string, string>>(`SHOW ${setting}`), (rows) => Object.values(rows[0])[0])

describe("R15 a clean hand-over", () => {
  for (const reset of ["transaction", "session", "none"] as const) {
    it.scopedLive(`R15 with reset "${reset}" the next borrower sees no transaction`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, reset })
        const dirty = [
          `BEGIN; INSERT INTO ${table.name} (id) VALUES (1)`,
          "BEGIN; SELECT 1 / 0",
          "BEGIN; SAVEPOINT a"
        ]
        for (const text of dirty) {
          const pid = yield* pool.use((connection) =>
            Effect.as(Effect.ignore(run(connection, text)), connection.processId)
          )
          // A failed transaction would refuse it with 25P02, an open one would keep it to itself.
          yield* sql`INSERT INTO ${sql(table.name)} (id) VALUES (2)`
          assert.deepStrictEqual(yield* table.ids, [2])
          yield* sql`DELETE FROM ${sql(table.name)}`
          const [{ pid: next }] = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
          if (reset === "none") assert.notStrictEqual(next, pid)
          else assert.strictEqual(next, pid)
        }
        assert.strictEqual((yield* pool.stats).closed.dirty, reset === "none" ? dirty.length : 0)
      }))
  }

  it.scopedLive("R15 the connection's own fiber rolls back: who gives it back does not wait", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool } = yield* makePool({ url: proxy.url, maxsize: 1, cleanupTimeout: "10 seconds" })
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(pool.get, scope)
      yield* run(connection, "BEGIN")
      proxy.delay = 300
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* pool.stats, { busy: 0, checking: 1 })
      yield* eventually(pool.stats, ({ idle }) => idle === 1)
    }))

  it.scopedLive("R15 a rollback that has no answer within cleanupTimeout retires the connection", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, cleanupTimeout: 200 })
      yield* pool.use((connection) =>
        Effect.zipRight(
          run(connection, "BEGIN"),
          Effect.sync(() => proxy.blackhole())
        )
      )
      const next = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* eventually(pool.stats, ({ closed }) => closed.dirty === 1)
      proxy.heal()
      yield* Effect.sync(() => proxy.cut())
      assert.deepStrictEqual(yield* Fiber.join(next), [{ one: 1 }])
    }))

  it.scopedLive("R15 a BEGIN that was in flight at the release is rolled back as well", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      for (let i = 0; i < 20; i++) {
        yield* pool.use((connection) => Effect.timeoutOption(run(connection, "BEGIN"), i % 3))
        yield* pool.use((connection) =>
          Effect.sync(() => {
            assert.strictEqual((connection.pg as any).getTransactionStatus(), "I")
          })
        )
      }
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R15 reset \"transaction\" costs no round trip where nothing is open", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, maxsize: 1 })
      yield* sql`SELECT 1`
      let requests = 0
      proxy.onRequest = () => requests++
      yield* Effect.repeatN(sql`SELECT 1`, 9)
      assert.strictEqual(requests, 10)
    }))

  it.scopedLive("R15 reset \"session\" leaves no setting, table, lock, LISTEN or statement, and runs onConnect again", () =>
    Effect.gen(function*() {
      const runs = yield* Ref.make(0)
      const { pool, server, sql } = yield* makePool({
        maxsize: 1,
        maxoverflow: 1,
        reset: "session",
        statementTimeout: "7 seconds",
        onConnect: (connection) =>
          Effect.zipRight(run(connection, "SET work_mem = '3MB'"), Ref.update(runs, (n) => n + 1))
      })
      const pid = yield* pidOf(sql)
      yield* eventually(Ref.get(runs), (n) => n === 2)
      const channel = uniqueName()
      yield* pool.use((connection) =>
        Effect.zipRight(
          run(
            connection,
            `SET work_mem = '5MB'; SET statement_timeout = 0; SET search_path = pg_catalog;
             CREATE TEMPORARY TABLE mine (id integer); SELECT pg_advisory_lock(4711, ${pid});
             LISTEN ${channel}; PREPARE mine AS SELECT 1`
          ),
          Effect.sync(() => assert.strictEqual(connection.processId, pid))
        )
      )
      assert.strictEqual(yield* show(sql, "work_mem"), "3MB")
      assert.strictEqual(yield* show(sql, "statement_timeout"), "7s")
      assert.include(yield* show(sql, "search_path"), "public")
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('pg_temp.mine') AS mine`, [{ mine: null }])
      assert.deepStrictEqual(yield* sql`SELECT pg_listening_channels()`, [])
      assert.deepStrictEqual(yield* sql`SELECT name FROM pg_prepared_statements`, [])
      const locks = yield* server.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = $1", [pid])
      assert.deepStrictEqual(locks, [])
      assert.strictEqual(yield* pidOf(sql), pid)
      assert.isAbove(yield* Ref.get(runs), 5)
    }))

  it.scopedLive("R15 reset \"transaction\" leaves the session's settings, as documented", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      yield* pool.use((connection) => run(connection, "SET work_mem = '5MB'"))
      assert.strictEqual(yield* show(sql, "work_mem"), "5MB")
    }))

  it.scopedLive("R15 a lease after its release fails typed and touches nobody", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const fromUse = yield* pool.use((connection) => Effect.succeed(connection))
      const fromGet = yield* Effect.scoped(pool.get)
      const reserved = yield* Effect.scoped(sql.reserve)
      const insert = `INSERT INTO ${table.name} (id) VALUES (1)`
      const stream = yield* Effect.scoped(
        Effect.map(sql.reserve, (connection) => connection.executeStream(insert, [], undefined))
      )
      // The next borrower is in a transaction that fails: what slipped in would be seen as a missing row only.
      yield* sql.withTransaction(Effect.gen(function*() {
        for (const connection of [fromUse, fromGet, reserved]) {
          const uses: Array<Effect.Effect<unknown, SqlError.SqlError>> = [
            connection.execute(insert, [], undefined),
            connection.executeRaw(insert, []),
            connection.executeValues(insert, []),
            connection.executeUnprepared(insert, [], undefined),
            Stream.runDrain(connection.executeStream(insert, [], undefined))
          ]
          for (const use of uses) {
            const result = yield* Effect.either(Effect.asVoid(use))
            assert.include(result._tag === "Left" ? String(result.left.cause) : "it went through", "given back")
          }
        }
        assert.instanceOf(yield* Effect.flip(Stream.runDrain(stream)), SqlError.SqlError)
      }))
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("R15 a stream that is read on after its connection was given back fails and touches nobody", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const scope = yield* Scope.make()
      for (const inTransaction of [false, true]) {
        const pull = yield* Effect.scoped(Effect.gen(function*() {
          const connection = yield* sql.reserve
          if (inTransaction) yield* connection.execute("BEGIN", [], undefined)
          const rows = connection.executeStream("SELECT n FROM generate_series(1, 1000) n", [], undefined)
          const pull = yield* Scope.extend(Stream.toPull(rows), scope)
          yield* pull
          return pull
        }))
        const others = Effect.repeatN(
          Effect.map(sql`SELECT 1 AS one`, (rows) => assert.deepStrictEqual(rows, [{ one: 1 }])),
          20
        )
        const [exit] = yield* Effect.all([promptly(Effect.exit(pull)), others], { concurrency: 2 })
        assert.isTrue(Exit.isFailure(exit))
      }
      yield* promptly(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))

  it.scopedLive("R15 a statement that waits its turn at the release fails, and is not sent", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(pool.get, scope)
      const slow = yield* Effect.fork(run(connection, "SELECT pg_sleep(0.3)"))
      yield* Effect.yieldNow()
      const late = yield* Effect.fork(Effect.flip(run(connection, `INSERT INTO ${table.name} (id) VALUES (1)`)))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.instanceOf(yield* Fiber.join(late), SqlError.SqlError)
      yield* Fiber.join(slow)
      yield* sql`SELECT 1`
      assert.deepStrictEqual(yield* table.ids, [])
    }))
})

describe("R17 alive before use", () => {
  it.scopedLive("R17 an idle session that was killed is retired and not handed out", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool({ maxsize: 2 })
      for (let i = 0; i < 5; i++) {
        const pid = yield* pidOf(sql)
        yield* server.terminate(pid)
        yield* pause(50)
        assert.strictEqual((yield* pool.stats).size, 0)
        assert.notStrictEqual(yield* pidOf(sql), pid)
      }
    }))

  it.scopedLive("R17 many idle sessions killed at once", () =>
    Effect.gen(function*() {
      const { pool, server, sessions, sql } = yield* makePool({ maxsize: 8, connectConcurrency: 8 })
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 8), { concurrency: "unbounded" })
      const before = yield* sessions
      yield* Effect.forEach(before, ({ pid }) => server.terminate(pid))
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* Effect.all(Effect.replicate(sql`SELECT 1`, 20), { concurrency: "unbounded" })
    }))

  it.scopedLive("R17 the statement of a killed session fails typed, and only that one", () =>
    Effect.gen(function*() {
      const { pool, server, sql, until } = yield* makePool({ maxsize: 2 })
      const victim = yield* Effect.fork(Effect.flip(sql`SELECT pg_sleep(60), 'victim'`))
      const other = yield* Effect.fork(sql`SELECT pg_sleep(0.5), 'other'`)
      const sessions = yield* until((sessions) => sessions.filter(({ state }) => state === "active").length === 2)
      const { pid } = sessions.find(({ query }) => query.includes("victim"))!
      yield* server.terminate(pid)
      const error = yield* Fiber.join(victim)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(codeOf(error), "57P01")
      yield* Fiber.join(other)
      yield* eventually(pool.stats, ({ idle, size }) => idle === 1 && size === 1)
      yield* Effect.all(Effect.replicate(sql`SELECT 1`, 5), { concurrency: "unbounded" })
    }))

  it.scopedLive("R22 a session that has raised what a shutdown says lives on, and is believed no more than others", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql, until } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1 })
      const raised = yield* Effect.flip(sql.unsafe("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57P01'; END $$"))
      assert.strictEqual(codeOf(raised), "57P01")
      const insert = sql`INSERT INTO ${sql(table.name)} (id) SELECT ${1}::int FROM pg_sleep(0.5)`
      const running = yield* Effect.fork(Effect.flip(insert))
      yield* until((all) => all.some(isSleeping))
      proxy.reset()
      assert.isTrue(PgError.isOutcomeUnknown(yield* Fiber.join(running)))
      yield* until(nobodySleeps)
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R17 the stream of a killed session fails typed, in a transaction and outside", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool({ maxsize: 1 })
      const killed = Effect.flip(Stream.runForEach(
        sql<{ pid: number }>`SELECT pg_backend_pid() AS pid FROM generate_series(1, 100000)`.stream,
        ({ pid }) => server.terminate(pid)
      ))
      assert.instanceOf(yield* killed, SqlError.SqlError)
      assert.instanceOf(yield* sql.withTransaction(killed).pipe(Effect.merge), SqlError.SqlError)
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R22 a stream whose connection is lost after its last row fails typed, and its permit comes back", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1 })
      for (const end of [proxy.cut, proxy.reset]) {
        yield* sql`SELECT 1`
        // With the last row the cursor closes its portal; the answer to that never comes.
        proxy.onRequest = (chunk) => {
          if (!chunk.includes("PC_")) return
          proxy.onRequest = () => {}
          end()
        }
        const error = yield* promptly(Effect.flip(Stream.runDrain(sql`SELECT 1 AS one`.stream)))
        assert.strictEqual(causeTagOf(error), "OutcomeUnknown")
        yield* eventually(pool.stats, ({ size }) => size === 0)
      }
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R17 a reserved connection that was killed fails, and is not handed on", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool({ maxsize: 1 })
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* pool.get
        yield* server.terminate(connection.processId)
        yield* pause(50)
        assert.instanceOf(yield* Effect.flip(run(connection, "SELECT 1")), SqlError.SqlError)
      }))
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R22 a stream on a connection that is known to be lost was not sent", () =>
    Effect.gen(function*() {
      const { pool, server } = yield* makePool({ maxsize: 1 })
      const connection = yield* pool.get
      yield* server.terminate(connection.processId)
      yield* eventually(Effect.flip(run(connection, "SELECT 1")), (error) => causeTagOf(error) === "NotSent")
      const rows = connection.executeStream("SELECT 1", [], undefined)
      assert.strictEqual(causeTagOf(yield* promptly(Effect.flip(Stream.runDrain(rows)))), "NotSent")
    }))

  it.scopedLive("R17 what was idle for validateAfterIdle is pinged; a silent one is replaced within cleanupTimeout", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({
        url: proxy.url,
        maxsize: 1,
        maxoverflow: 2,
        validateAfterIdle: 50,
        cleanupTimeout: 200
      })
      const pid = yield* pidOf(sql)
      yield* pause(100)
      // Alive: pinged, and kept.
      assert.strictEqual(yield* pidOf(sql), pid)
      yield* pause(100)
      const accepted = proxy.accepted
      proxy.blackhole()
      const next = yield* Effect.fork(pidOf(sql))
      yield* eventually(pool.stats, ({ closed }) => closed.dirty === 1)
      proxy.heal()
      assert.notStrictEqual(yield* promptly(Fiber.join(next)), pid)
      assert.isAbove(proxy.accepted, accepted)
    }))

  it.scopedLive("R17 what was used within validateAfterIdle is not pinged", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, maxsize: 1, validateAfterIdle: "1 hour" })
      yield* sql`SELECT 1`
      let requests = 0
      proxy.onRequest = () => requests++
      yield* pause(50)
      yield* sql`SELECT 1`
      assert.strictEqual(requests, 1)
    }))

  it.scopedLive("R17 a reset of the network in any state ends the connection, and nothing else", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 2 })
      for (const end of [proxy.reset, proxy.cut]) {
        yield* sql`SELECT 1`
        end()
        yield* eventually(pool.stats, ({ size }) => size === 0)
        const busy = yield* Effect.fork(Effect.flip(sql`SELECT pg_sleep(60)`))
        yield* eventually(pool.stats, ({ busy }) => busy === 1)
        yield* pause(50)
        end()
        assert.strictEqual(causeTagOf(yield* Fiber.join(busy)), "OutcomeUnknown")
        yield* eventually(pool.stats, ({ size }) => size === 0)
      }
    }))
})

describe("onConnect and settings", () => {
  it.scopedLive("onConnect runs once for each connection, before its first use", () =>
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

  it.scopedLive("R18 a failing onConnect is a failed connect: it is tried again, and in the end callers hear the reason", () =>
    Effect.gen(function*() {
      const failures: Array<[PgPool.PgPoolOptions["onConnect"], words: string]> = [
        [(connection) => run(connection, "SELECT 1 / 0"), "division by zero"],
        [() => Effect.fail("not today"), "not today"],
        [(connection) => run(connection, "BEGIN"), "transaction"],
        [() => Effect.die(new Error("a bug in onConnect")), "a bug in onConnect"],
        [() => Effect.interrupt, "interrupt"]
      ]
      for (const [onConnect, words] of failures) {
        const { pool, sql, until } = yield* makePool({ onConnect, acquireTimeout: 500, outageTimeout: 500 })
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

  it.scopedLive("R18 one that goes well again serves who waits, and eager fails with its reason", () =>
    Effect.gen(function*() {
      let calls = 0
      const onConnect = () => Effect.suspend(() => ++calls < 3 ? Effect.fail("not yet") : Effect.void)
      const { sql } = yield* makePool({ onConnect })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      const eager = makePool({ onConnect: () => Effect.fail("never"), eager: true, connectTimeout: 300 })
      assert.include((yield* promptly(Effect.flip(eager))).message, "never")
    }))

  it.scopedLive("what fails in onConnect is not taken for the caller's own statement", () =>
    Effect.gen(function*() {
      const unknown = new SqlError.SqlError({ cause: new PgError.OutcomeUnknown({ cause: "of another statement" }) })
      const onConnect = () => Effect.fail(unknown)
      const eager = yield* promptly(Effect.flip(makePool({ onConnect, eager: true, connectTimeout: 300 })))
      assert.match(eager.message, /^Failed to connect/)
      assert.isFalse(PgError.isOutcomeUnknown(eager))
      const { sql } = yield* makePool({ onConnect, acquireTimeout: 200, outageTimeout: 200 })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.include(error.message, "Failed to connect")
      assert.isFalse(PgError.isOutcomeUnknown(error))
    }))

  it.scopedLive("onConnect's connection is dead afterwards", () =>
    Effect.gen(function*() {
      let leaked: PgPool.PgConnection | undefined
      const { sql } = yield* makePool({ onConnect: (connection) => Effect.sync(() => leaked = connection) })
      yield* sql`SELECT 1`
      assert.instanceOf(yield* Effect.flip(run(leaked!, "SELECT 1")), SqlError.SqlError)
    }))

  it.scopedLive("an onConnect that hangs ends at connectTimeout", () =>
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

  it.scopedLive("R24 statementTimeout, lockTimeout and idleInTransactionTimeout are set in each session, by SET", () =>
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

  it.scopedLive("R24 the server's timeouts end what they should", () =>
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

  it.scopedLive("R24 queryTimeout: a typed error, the statement is cancelled, the connection works on", () =>
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
        yield* until((sessions) => sessions.every(({ state }) => state === "idle"))
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
    it.scopedLive(`R24 queryTimeout holds on a silent socket, ${name}`, () =>
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

describe("what can't be sent or read", () => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const throws = (error: unknown) => ({
    toPostgres: () => {
      throw error
    }
  })
  const unserialisable = [circular, throws(new Error("no")), throws(undefined)]

  it.scopedLive.each([{}, { prepare: true }, { multiplex: true }])(
    "a parameter that can't be serialised is a typed error, and the connection works on (%o)",
    (options) =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, ...options })
        const pid = yield* pidOf(sql)
        for (const bad of unserialisable) {
          const uses: Array<Effect.Effect<unknown, SqlError.SqlError>> = [
            sql.unsafe("SELECT $1::text", [bad as any]),
            sql.unsafe("SELECT $1::text", [bad as any]).raw,
            sql.unsafe("SELECT $1::text", [bad as any]).values,
            Stream.runDrain(sql.unsafe("SELECT $1::text", [bad as any]).stream),
            sql.withTransaction(sql.unsafe("SELECT $1::text", [bad as any])),
            sql.withTransaction(Stream.runDrain(sql.unsafe("SELECT $1::text", [bad as any]).stream))
          ]
          for (const [i, use] of uses.entries()) {
            assert.instanceOf(yield* promptly(Effect.flip(use)), SqlError.SqlError)
            assert.deepStrictEqual(yield* promptly(sql`SELECT ${i}::integer AS i`), [{ i }])
            assert.deepStrictEqual(yield* promptly(sql.unsafe(`SELECT ${i} AS i`)), [{ i }])
          }
        }
        assert.strictEqual(yield* pidOf(sql), pid)
        assert.strictEqual((yield* pool.stats).opened, 1)
      })
  )

  const reads: Record<string, (sql: PgClient.PgClient, text: string) => Effect.Effect<unknown, SqlError.SqlError>> = {
    "by the simple protocol": (sql, text) => sql.unsafe(text),
    "in a transaction's stream": (sql, text) => sql.withTransaction(Stream.runDrain(sql.unsafe(text).stream)),
    "in a stream": (sql, text) => Stream.runDrain(sql.unsafe(text).stream)
  }
  for (const [name, read] of Object.entries(reads)) {
    it.scopedLive(`a type parser that throws is a typed error, and the pool works on: ${name}`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool({
          maxsize: 1,
          maxoverflow: 1,
          types: {
            getTypeParser: (oid: number) => (text: string) => {
              if (oid === 16) throw new Error("no booleans here")
              return text
            }
          } as never
        })
        assert.instanceOf(
          yield* promptly(Effect.flip(read(sql, "SELECT true FROM generate_series(1, 3)"))),
          SqlError.SqlError
        )
        assert.deepStrictEqual(yield* promptly(sql`SELECT 'a' AS a`), [{ a: "a" }])
      }))

    it.scopedLive(`COPY from and to the client ends, and the pool works on: ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        yield* sql`INSERT INTO ${sql(table.name)} VALUES (1)`
        for (const text of [`COPY ${table.name} TO STDOUT`, `COPY ${table.name} FROM STDIN`]) {
          yield* promptly(Effect.exit(read(sql, text)))
          assert.deepStrictEqual(yield* promptly(sql`SELECT 1 AS one`), [{ one: 1 }])
        }
      }))
  }

  it.scopedLive("errors of the server are typed, with SQLSTATE, and the connection works on", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const pid = yield* pidOf(sql)
      const errors: Record<string, Effect.Effect<unknown, SqlError.SqlError>> = {
        "42601": sql`SELEC 1`,
        "42P01": sql`SELECT * FROM no_such_table`,
        "22P02": sql`SELECT ${"x"}::integer`,
        "22012": Stream.runDrain(sql`SELECT 1 / (3 - n) FROM generate_series(1, 5) n`.stream),
        "42703": sql`SELECT no_such_column`.values
      }
      for (const [code, use] of Object.entries(errors)) {
        const error = yield* Effect.flip(use)
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(codeOf(error), code)
        assert.strictEqual(yield* pidOf(sql), pid)
      }
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("a password from an Effect is fetched for each connect", () =>
    Effect.gen(function*() {
      let fetched = 0
      const url = new URL(Redacted.value(serverUrl))
      const { pool, server, sql } = yield* makePool({
        url: undefined,
        host: url.hostname,
        port: Number(url.port),
        username: url.username,
        database: url.pathname.slice(1),
        password: Effect.sync(() => {
          fetched++
          return Redacted.make(url.password)
        })
      })
      yield* server.terminate(yield* pidOf(sql))
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* sql`SELECT 1`
      assert.strictEqual(fetched, 2)
    }))
})
