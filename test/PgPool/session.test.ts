import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Ref, Scope, Stream } from "effect"
import { PgError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
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
  run,
  serverUrl,
  show,
  uniqueName
} from "../support/pgPool.js"

describe("R15: a clean hand-over", () => {
  for (const reset of ["transaction", "session", "none"] as const) {
    it.scopedLive(`R15: with reset "${reset}" the next borrower sees no transaction`, () =>
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

  it.scopedLive("R15: the connection's own fiber rolls back: who gives it back does not wait", () =>
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

  it.scopedLive("R15: a rollback that has no answer within cleanupTimeout retires the connection", () =>
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

  it.scopedLive("R15: a BEGIN that was in flight at the release is rolled back as well", () =>
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

  it.scopedLive("R15: reset \"transaction\" costs no round trip where nothing is open", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, maxsize: 1 })
      yield* sql`SELECT 1`
      let requests = 0
      proxy.onRequest = () => requests++
      yield* Effect.repeatN(sql`SELECT 1`, 9)
      assert.strictEqual(requests, 10)
    }))

  it.scopedLive("R15: reset \"session\" leaves no setting, table, lock, LISTEN or statement, and runs onConnect again", () =>
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

  it.scopedLive("R15: reset \"transaction\" leaves the session's settings, as documented", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      yield* pool.use((connection) => run(connection, "SET work_mem = '5MB'"))
      assert.strictEqual(yield* show(sql, "work_mem"), "5MB")
    }))

  it.scopedLive("R15: a lease after its release fails typed and touches nobody", () =>
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

  it.scopedLive("R15: a stream that is read on after its connection was given back fails and touches nobody", () =>
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

  it.scopedLive("R15: a statement that waits its turn at the release fails, and is not sent", () =>
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

describe("R17: alive before use", () => {
  it.scopedLive("R17: an idle session that was killed is retired and not handed out", () =>
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

  it.scopedLive("R17: many idle sessions killed at once", () =>
    Effect.gen(function*() {
      const { pool, server, sessions, sql } = yield* makePool({ maxsize: 8, connectConcurrency: 8 })
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 8), { concurrency: "unbounded" })
      const before = yield* sessions
      yield* Effect.forEach(before, ({ pid }) => server.terminate(pid))
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* Effect.all(Effect.replicate(sql`SELECT 1`, 20), { concurrency: "unbounded" })
    }))

  it.scopedLive("R17: the statement of a killed session fails typed, and only that one", () =>
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

  it.scopedLive("R22: a session that has raised what a shutdown says lives on, and is believed no more than others", () =>
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

  it.scopedLive("R17: the stream of a killed session fails typed, in a transaction and outside", () =>
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

  it.scopedLive("R22: a stream whose connection is lost after its last row fails typed, and its permit comes back", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1 })
      for (const end of [proxy.cut, proxy.reset]) {
        yield* sql`SELECT 1`
        // After the last row the stream sends its Sync; the answer to that never comes.
        proxy.onRequest = (chunk) => {
          if (!chunk.includes("S\0\0\0\x04")) return
          proxy.onRequest = () => {}
          end()
        }
        const error = yield* promptly(Effect.flip(Stream.runDrain(sql`SELECT 1 AS one`.stream)))
        assert.strictEqual(causeTagOf(error), "OutcomeUnknown")
        yield* eventually(pool.stats, ({ size }) => size === 0)
      }
      yield* sql`SELECT 1`
    }))

  it.scopedLive("R17: a reserved connection that was killed fails, and is not handed on", () =>
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

  it.scopedLive("R22: a stream on a connection that is known to be lost was not sent", () =>
    Effect.gen(function*() {
      const { pool, server } = yield* makePool({ maxsize: 1 })
      const connection = yield* pool.get
      yield* server.terminate(connection.processId)
      yield* eventually(Effect.flip(run(connection, "SELECT 1")), (error) => causeTagOf(error) === "NotSent")
      const rows = connection.executeStream("SELECT 1", [], undefined)
      assert.strictEqual(causeTagOf(yield* promptly(Effect.flip(Stream.runDrain(rows)))), "NotSent")
    }))

  it.scopedLive("R17: what was idle for validateAfterIdle is pinged; a silent one is replaced within cleanupTimeout", () =>
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

  it.scopedLive("R17: what was used within validateAfterIdle is not pinged", () =>
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

  it.scopedLive("R17: a reset of the network in any state ends the connection, and nothing else", () =>
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
