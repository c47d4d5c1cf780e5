import { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Deferred, Effect, Exit, Fiber, Option, Schedule, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import { causeTagOf, eventually, makePool, makeTable, serverUrl } from "../support/pgPool.js"

const characteristics = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<Record<string, string>>`SELECT current_setting('transaction_isolation') AS isolation,
      current_setting('transaction_read_only') AS read_only, current_setting('transaction_deferrable') AS deferrable`,
    ([row]) => [row.isolation, row.read_only, row.deferrable]
  )

/** Two serializable transactions, each of which reads what the other writes. One of them fails with 40001. */
const conflict = (
  { pool, sql }: { readonly pool: PgPool.PgPool; readonly sql: PgClient.PgClient },
  table: string,
  retry: PgPool.TransactionOptions["retry"]
) =>
  Effect.gen(function*() {
    const hasRead = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    let runs = 0
    const transaction = (me: 0 | 1) =>
      Effect.gen(function*() {
        runs++
        const [{ sum }] = yield* sql<{ sum: number }>`SELECT coalesce(sum(id), 0)::integer AS sum FROM ${sql(table)}`
        yield* Deferred.succeed(hasRead[me], undefined)
        yield* Deferred.await(hasRead[1 - me])
        yield* sql`INSERT INTO ${sql(table)} (id) VALUES (${sum + me + 1})`
      }).pipe(pool.transaction({ isolation: "serializable", retry }), Effect.exit)
    const exits = yield* Effect.all([transaction(0), transaction(1)], { concurrency: "unbounded" })
    return { exits, runs }
  })

class Wrapped extends Data.TaggedError("Wrapped")<{ readonly cause: unknown }> {}

const soon = Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(10))

describe("R25: transaction", () => {
  it.scopedLive("begins with the characteristics that it was given, and else with the server's", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const cases: Array<[PgPool.TransactionOptions, Array<string>]> = [
        [{}, ["read committed", "off", "off"]],
        [{ isolation: "read committed" }, ["read committed", "off", "off"]],
        [{ isolation: "repeatable read" }, ["repeatable read", "off", "off"]],
        [{ isolation: "serializable", readOnly: true, deferrable: true }, ["serializable", "on", "on"]],
        [{ readOnly: false, deferrable: false }, ["read committed", "off", "off"]]
      ]
      for (const [options, expected] of cases) {
        assert.deepStrictEqual(yield* pool.transaction(options)(characteristics(sql)), expected)
      }
      yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`SET default_transaction_read_only = on`
        assert.deepStrictEqual(yield* pool.transaction({})(characteristics(sql)), ["read committed", "on", "off"])
        const writing = pool.transaction({ readOnly: false })(characteristics(sql))
        assert.deepStrictEqual(yield* writing, ["read committed", "off", "off"])
        yield* sql`RESET default_transaction_read_only`
      }))
    }))

  it.scopedLive("read only: a write is refused, typed", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool()
      const error = yield* Effect.flip(pool.transaction({ readOnly: true })(sql`DELETE FROM ${sql(table.name)}`))
      assert.deepStrictEqual(PgError.sqlState(error), Option.some("25006"))
    }))

  it.scopedLive("a bad option is a defect that names what is allowed, and nothing is sent", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool()
      const bad = [
        [{ isolation: "serializable; DROP TABLE users" }, "repeatable read"],
        [{ readOnly: "no" }, "it must be true or false"],
        [{ deferrable: null }, "deferrable: null is not allowed"],
        [{ retry: 3 }, "a Schedule"],
        ["serializable", "an object of options"]
      ] as const
      for (const [options, message] of bad) {
        const exit = yield* Effect.exit(pool.transaction(options as never)(Effect.void))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.include(String(exit), message)
      }
      assert.strictEqual((yield* pool.stats).acquired, 0)
    }))

  it.scopedLive("without retry a serialization failure is the caller's", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { exits, runs } = yield* conflict(yield* makePool(), table.name, undefined)
      const failures = exits.flatMap((exit) => Exit.isFailure(exit) ? [Cause.squash(exit.cause)] : [])
      assert.strictEqual(failures.length, 1)
      assert.isTrue(PgError.isSerializationFailure(failures[0]))
      assert.strictEqual(runs, 2)
      assert.strictEqual((yield* table.ids).length, 1)
    }))

  it.scopedLive("with retry the whole transaction runs again after a serialization failure", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { exits, runs } = yield* conflict(yield* makePool(), table.name, soon)
      assert.isTrue(areAll(exits, Exit.isSuccess))
      assert.isAbove(runs, 2)
      // As if one had run after the other.
      assert.include([[1, 3], [2, 3]].map(String), String(yield* table.ids))
    }))

  it.scopedLive("with retry it runs again after a deadlock", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id integer PRIMARY KEY, n integer DEFAULT 0")
      const { pool, server, sql } = yield* makePool({
        onConnect: (connection) => connection.executeRaw("SET deadlock_timeout = '50ms'", [])
      })
      yield* server.query(`INSERT INTO ${table.name} (id) VALUES (1), (2)`)
      const has = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let runs = 0
      const transaction = (first: number) =>
        Effect.gen(function*() {
          runs++
          yield* sql`UPDATE ${sql(table.name)} SET n = n + 1 WHERE id = ${first}`
          yield* Deferred.succeed(has[first - 1], undefined)
          yield* Deferred.await(has[2 - first])
          yield* sql`UPDATE ${sql(table.name)} SET n = n + 1 WHERE id = ${3 - first}`
        }).pipe(pool.transaction({ retry: soon }))
      yield* Effect.all([transaction(1), transaction(2)], { concurrency: "unbounded" })
      assert.isAbove(runs, 2)
      assert.deepStrictEqual(yield* server.query(`SELECT n FROM ${table.name}`), [{ n: 2 }, { n: 2 }])
    }))

  it.scopedLive("a conflict that the program wrapped in an error of its own is seen", () =>
    Effect.gen(function*() {
      class Mine extends Data.TaggedError("Mine")<{ readonly cause: unknown }> {}
      const { pool, sql } = yield* makePool()
      let runs = 0
      const raise = sql.unsafe("DO $$ BEGIN RAISE 'conflict' USING ERRCODE = '40001'; END $$")
      const wrapped = Effect.mapError(raise, (cause) => new Mine({ cause }))
      const body = Effect.suspend((): Effect.Effect<unknown, Mine | SqlError.SqlError> => ++runs < 3 ? wrapped : raise)
      const error = yield* Effect.flip(
        pool.transaction({ retry: Schedule.recurs(3) })(body)
      )
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(runs, 4)
    }))

  it.scopedLive("no other failure runs it again", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      let runs = 0
      const bodies: Array<Effect.Effect<unknown, unknown>> = [
        Effect.fail("no"),
        Effect.die("bug"),
        sql`SELECT 1 / 0`,
        Effect.timeoutOption(sql`SELECT pg_sleep(60)`, 100)
      ]
      for (const body of bodies) {
        runs = 0
        const counted = Effect.zipRight(Effect.sync(() => runs++), body)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(pool.transaction({ retry: soon })(counted))))
        assert.strictEqual(runs, 1)
      }
    }))

  it.scopedLive("R22: an unknown outcome never runs it again", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url })
      let runs = 0
      proxy.onRequest = (chunk) => chunk.includes("COMMIT") ? proxy.blackhole("answers") : undefined
      const body = Effect.zipRight(Effect.sync(() => runs++), sql`INSERT INTO ${sql(table.name)} (id) VALUES (1)`)
      const fiber = yield* Effect.fork(Effect.flip(pool.transaction({ retry: soon })(body)))
      yield* eventually(table.ids, (ids) => ids.length === 1)
      proxy.reset()
      assert.strictEqual(causeTagOf(yield* Fiber.join(fiber)), "CommitOutcomeUnknown")
      assert.strictEqual(runs, 1)
    }))

  /** A pool behind a proxy whose next chunk with `word` in it ends its connection. */
  const losing = (options?: PgPool.PgPoolOptions) =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, cleanupTimeout: 200, ...options })
      let runs = 0
      return {
        pool,
        sql,
        ids: table.ids,
        run: Effect.sync(() => ++runs),
        runs: () => runs,
        insert: (id: number) => sql`INSERT INTO ${sql(table.name)} (id) VALUES (${id})`,
        lose: (word: string) => {
          proxy.onRequest = (chunk) => {
            if (!chunk.includes(word)) return
            proxy.onRequest = () => {}
            proxy.reset()
          }
        }
      }
    })

  for (const word of ["BEGIN", "INSERT", "SAVEPOINT", "FETCH_ME", "RELEASE"]) {
    it.scopedLive(`R22: ${word} lost its answer: from its exit it is known not to be committed, and runs again`, () =>
      Effect.gen(function*() {
        const { ids, insert, lose, pool, run, runs, sql } = yield* losing()
        const body = Effect.all([
          run,
          insert(1),
          sql.withTransaction(sql`SELECT 2`),
          Stream.runDrain(sql`SELECT 3 AS "FETCH_ME"`.stream)
        ])
        yield* sql`SELECT 1`
        lose(word)
        const error = yield* Effect.flip(sql.withTransaction(body))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(causeTagOf(error), "NotCommitted")
        assert.isFalse(PgError.isOutcomeUnknown(error))
        assert.isTrue(PgError.isRetryable(error))
        assert.deepStrictEqual(yield* ids, [])
        lose(word)
        const before = runs()
        yield* pool.transaction({ retry: soon })(body)
        assert.strictEqual(runs() - before, 2)
        assert.deepStrictEqual(yield* ids, [1])
      }))
  }

  it.scopedLive("R22: so it is where the program wrapped it, and there the error is its own", () =>
    Effect.gen(function*() {
      const { ids, insert, lose, pool, run, runs, sql } = yield* losing()
      yield* sql`SELECT 1`
      const body = Effect.zipRight(run, Effect.mapError(insert(1), (cause) => new Wrapped({ cause })))
      lose("INSERT")
      const error = yield* Effect.flip(sql.withTransaction(body))
      assert.instanceOf(error, Wrapped)
      assert.strictEqual(causeTagOf((error as Wrapped).cause), "OutcomeUnknown")
      lose("INSERT")
      yield* pool.transaction({ retry: soon })(body)
      assert.strictEqual(runs(), 3)
      assert.deepStrictEqual(yield* ids, [1])
    }))

  it.scopedLive("R22: queryTimeout within: it was not committed, also by a nested one's statement", () =>
    Effect.gen(function*() {
      const { ids, insert, pool, run, runs, sql } = yield* losing({ queryTimeout: 1000, cleanupTimeout: "10 seconds" })
      const slow = Effect.flatMap(run, (n) => n < 3 ? Effect.asVoid(sql`SELECT pg_sleep(60)`) : Effect.void)
      const body = Effect.zipRight(insert(1), sql.withTransaction(slow))
      const error = yield* Effect.flip(sql.withTransaction(body))
      assert.strictEqual(causeTagOf(error), "NotCommitted")
      yield* pool.transaction({ retry: soon })(body)
      assert.strictEqual(runs(), 3)
      assert.deepStrictEqual(yield* ids, [1])
    }))

  it.scopedLive("R22: inside it, and where its body has sent a COMMIT itself, nobody knows", () =>
    Effect.gen(function*() {
      const { insert, lose, pool, run, runs, sql } = yield* losing()
      yield* sql`SELECT 1`
      lose("INSERT")
      const inside = sql.withTransaction(Effect.flip(insert(1)))
      // Its connection is gone, so COMMIT could not be sent.
      assert.strictEqual(causeTagOf(yield* Effect.flip(inside)), "NotSent")
      for (const end of ["COMMIT", "/* now */ commit", "SELECT 1; END", "COMMIT AND CHAIN"]) {
        const before = runs()
        lose(end === "COMMIT AND CHAIN" ? "MARK" : end)
        const body = Effect.all([run, sql.unsafe(end), sql`SELECT 1 AS "MARK"`])
        const error = yield* Effect.flip(pool.transaction({ retry: soon })(body))
        assert.isTrue(PgError.isOutcomeUnknown(error), end)
        assert.isFalse(PgError.isRetryable(error))
        assert.strictEqual(runs() - before, 1)
      }
    }))

  it.scopedLive("R22: an unknown outcome of something else that its body does is left as it is", () =>
    Effect.gen(function*() {
      const { lose, pool, run, runs } = yield* losing()
      const other = yield* losing()
      yield* other.sql`SELECT 1`
      for (const word of ["INSERT", "COMMIT"]) {
        other.lose(word)
        const body = Effect.zipRight(run, other.sql.withTransaction(other.insert(1)))
        const plain = Effect.zipRight(run, other.insert(2))
        const before = runs()
        const error = yield* Effect.flip(pool.transaction({ retry: soon })(word === "COMMIT" ? body : plain))
        assert.isTrue(PgError.isOutcomeUnknown(error), word)
        assert.strictEqual(runs() - before, 1)
      }
      lose("never")
    }))

  it.scopedLive("inside another transaction its options can't be kept: an error says so, and the body never runs", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool()
      const all: Array<PgPool.TransactionOptions> = [
        { isolation: "serializable" },
        { readOnly: false },
        { deferrable: true },
        { retry: soon }
      ]
      yield* sql.withTransaction(Effect.gen(function*() {
        for (const options of all) {
          let ran = false
          const error = yield* Effect.flip(pool.transaction(options)(Effect.sync(() => ran = true)))
          assert.instanceOf(error, SqlError.SqlError)
          assert.include(error.message, `can't have options of its own: ${Object.keys(options)[0]}`)
          assert.isFalse(ran)
        }
        // The outer one goes on, and without options it is a savepoint.
        assert.strictEqual(yield* pool.transaction({ isolation: undefined })(Effect.succeed(1)), 1)
      }))
    }))
})
