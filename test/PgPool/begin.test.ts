import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { PgError } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import type { TransactionLevel } from "../../src/internal/postgres/transaction/level.js"
import { byHand, failed, firsts, optionsOf, spoilBegin, together, watched } from "../support/begin.js"
import type { Sql } from "../support/begin.js"
import { causeTagOf, codeOf, insert, isSleeping, makePool, makeTable, promptly } from "../support/pgPool.js"
import type { Table } from "../support/pgPool.js"

describe("R22: BEGIN goes with the first statement", () => {
  for (const [how, options] of Object.entries(optionsOf)) {
    for (const [name, first] of Object.entries(firsts)) {
      const isTogether = together.includes(name)
      it.scopedLive(`R22: ${name} ${how}: ${isTogether ? "in one piece" : "just after it"}, and it is in the transaction`, () =>
        Effect.gen(function*() {
          const table = yield* makeTable()
          const { pieces, sql } = yield* watched(options)
          yield* sql.withTransaction(Effect.zipRight(first(sql, table), sql`SELECT ${2}::int`))
          assert.include(pieces[0], "BEGIN")
          assert.strictEqual(/INSERT|SELECT/.test(pieces[0]), isTogether)
          assert.include(pieces.at(-1), "COMMIT")
          assert.deepStrictEqual(yield* table.ids, [1])
          const { name } = table
          yield* Effect.flip(sql.withTransaction(Effect.zipRight(first(sql, { ...table, name }), failed)))
          yield* sql.unsafe(`DELETE FROM ${name}`)
          assert.strictEqual(yield* Effect.flip(sql.withTransaction(Effect.zipRight(first(sql, table), failed))), "no")
          assert.deepStrictEqual(yield* table.ids, [])
        }))
    }
  }

  it.scopedLive("gives the statement's own result, and not that of BEGIN", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      const one = { one: 1 }
      assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT ${1}::int AS one`), [one])
      assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT 1 AS one`), [one])
      assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT ${1}::int`.values), [[1]])
      assert.deepStrictEqual(yield* sql.withTransaction(sql.unsafe("SELECT 1 AS one; SELECT 2")), [
        [one],
        [{ "?column?": 2 }]
      ] as never)
      const raw = yield* sql.withTransaction(sql`SELECT 1 AS one`.raw)
      assert.deepInclude(raw, { command: "SELECT", rowCount: 1 })
    }))

  it.scopedLive("with options it is sent before the body", () =>
    Effect.gen(function*() {
      const { pieces, pool } = yield* watched()
      const seen = yield* pool.transaction({ readOnly: true })(Effect.sync(() => pieces.join()))
      assert.include(seen, "BEGIN READ ONLY")
      yield* pool.transaction({ readOnly: true })(pool.client`SELECT ${1}::int`)
      assert.lengthOf(pieces.filter((piece) => piece.includes("BEGIN")), 2)
    }))

  it.scopedLive("a body that sends nothing is a transaction of the server, and one that fails before it sends nothing", () =>
    Effect.gen(function*() {
      const { pieces, sql } = yield* watched()
      yield* Effect.flip(sql.withTransaction(failed))
      assert.deepStrictEqual(pieces, [])
      yield* sql.withTransaction(Effect.void)
      assert.include(pieces[0], "BEGIN")
      assert.include(pieces[1], "COMMIT")
    }))

  it.scopedLive("siblings that begin at once are all in it", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const ids = [1, 2, 3, 4, 5]
      const all = Effect.forEach(ids, (id) => insert(sql, table, id), { concurrency: "unbounded" })
      assert.strictEqual(yield* Effect.flip(sql.withTransaction(Effect.zipRight(all, failed))), "no")
      assert.deepStrictEqual(yield* table.ids, [])
      yield* sql.withTransaction(all)
      assert.deepStrictEqual(yield* table.ids, ids)
    }))

  it.scopedLive("what is sent by pg's own client comes behind it", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool()
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(byHand(table, 1), failed)))
      assert.deepStrictEqual(yield* table.ids, [])
      yield* sql.withTransaction(byHand(table, 1))
      assert.deepStrictEqual(yield* table.ids, [1])
      assert.strictEqual((yield* pool.stats).size, 1)
    }))

  const jobs: Record<string, (sql: Sql, table: Table) => Effect.Effect<unknown, SqlError>> = {
    "a statement": (sql, table) => insert(sql, table, 1),
    "a transaction": (sql, table) => sql.withTransaction(insert(sql, table, 1)),
    "a stream": firsts["a stream"]
  }
  for (const [name, job] of Object.entries(jobs)) {
    it.scopedLive(`a fiber that a body leaves behind which sends nothing itself has a connection of its own: ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makePool()
        const left = yield* sql.withTransaction(Effect.forkDaemon(job(sql, table)))
        yield* promptly(Fiber.join(left))
        assert.deepStrictEqual(yield* table.ids, [1])
      }))
  }
})

describe("R22: BEGIN is refused by the server", () => {
  const refused = (options = {}) =>
    Effect.provide(Testing.layer({
      statements: [{ text: "BEGIN", error: "42P99", times: 1 }, { text: /^INSERT/, count: 1 }],
      pool: { maxsize: 1, maxoverflow: 1, ...options }
    }))
  const sent = Effect.flatMap(
    Testing.Server,
    ({ sent }) =>
      Effect.map(sent, (all) => all.map(({ text }) => text).filter((text) => !text.includes("pg_backend_pid")))
  )

  for (const [how, options] of Object.entries(optionsOf)) {
    it.effect(`the statement is not run, nor what follows, and nothing is committed (${how})`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const codes: Array<unknown> = []
        const insert = Effect.catchAll(
          sql`INSERT INTO t VALUES (${1})`,
          (error) => Effect.sync(() => codes.push(codeOf(error)))
        )
        const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert, insert)))
        assert.strictEqual(codeOf(error), "42P99")
        assert.deepStrictEqual(codes, ["42P99", "42P99"])
        assert.deepStrictEqual(yield* sent, ["BEGIN"])
        // The same text again: its name must not be taken for known.
        yield* sql.withTransaction(sql`INSERT INTO t VALUES (${1})`)
        assert.deepStrictEqual((yield* sent).slice(1), ["BEGIN", "INSERT INTO t VALUES ($1)", "COMMIT"])
      }).pipe(refused(options)))
  }

  it.effect("COMMIT is not sent where the body did not wait for the statement", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const exit = yield* Effect.exit(sql.withTransaction(
        Effect.zipRight(Effect.forkDaemon(sql`INSERT INTO t VALUES (${1})`), Effect.yieldNow())
      ))
      assert.isTrue(Exit.isFailure(exit))
      assert.notInclude(yield* sent, "COMMIT")
    }).pipe(refused()))
})

describe("R47: a script that answers BEGIN with rows", () => {
  for (const [how, options] of Object.entries(optionsOf)) {
    it.effect(`gives them to nobody (${how})`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT ${1}::int`), [{ id: 1 }])
      }).pipe(Effect.provide(Testing.layer({ statements: [{ text: () => true, rows: [{ id: 1 }] }], pool: options }))))
  }
})

describe("R22: the first statement is interrupted", () => {
  it.scopedLive("it is cancelled with its BEGIN, dooms the transaction, and leaves none open", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const body = Effect.gen(function*() {
        const first = yield* Effect.fork(sql`SELECT pg_sleep(${60})`)
        yield* until((sessions) => sessions.some(isSleeping))
        yield* Fiber.interrupt(first)
        yield* Effect.ignore(sql`SELECT 1`)
      })
      const error = yield* promptly(Effect.flip(sql.withTransaction(body)))
      assert.strictEqual(causeTagOf(error), "TransactionDoomed")
      assert.deepStrictEqual(yield* promptly(sql`SELECT now() = statement_timestamp() AS alone`), [{ alone: true }])
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("a session that is killed meanwhile counts as rolled back", () =>
    Effect.gen(function*() {
      const { pool, server, sql, until } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const fiber = yield* Effect.fork(Effect.flip(sql.withTransaction(sql`SELECT pg_sleep(${60})`)))
      const [{ pid }] = yield* until((sessions) => sessions.some(isSleeping))
      yield* Effect.orDie(server.terminate(pid))
      yield* promptly(Fiber.join(fiber))
      assert.strictEqual((yield* pool.stats).rolledBack, 1)
    }))
})

describe("R26: a first statement that the server knows no more", () => {
  it.scopedLive("fails once, and is known anew in the next transaction", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, prepare: true })
      const first = sql.withTransaction(sql`SELECT ${1}::int AS one`)
      for (let i = 0; i < 3; i++) {
        yield* first
        yield* sql`DO $$ BEGIN DEALLOCATE ALL; END $$`
        assert.strictEqual(codeOf(yield* Effect.flip(first)), "26000")
      }
      assert.deepStrictEqual(yield* first, [{ one: 1 }])
    }))
})

describe("R15: the connection of a transaction that has ended", () => {
  it.scopedLive("R15: its pg begins nothing on the session of the next borrower", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      let level: TransactionLevel | undefined = undefined
      const body = Effect.flatMap(Effect.serviceOptional(SqlClient.TransactionConnection), ([connection]) => {
        level = connection as TransactionLevel
        return failed
      })
      yield* Effect.exit(sql.withTransaction(body))
      assert.throws(() => level!.pg, PgError.LeaseEnded)
      yield* insert(sql, table, 1)
      assert.deepStrictEqual(yield* table.ids, [1])
    }))
})

describe("R22: BEGIN by itself", () => {
  it.scopedLive("if it fails, what pg's own client has sent behind it is not run", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { proxy, sql } = yield* watched()
      spoilBegin(proxy)
      assert.isTrue(Exit.isFailure(yield* promptly(Effect.exit(sql.withTransaction(byHand(table, 1))))))
      assert.deepStrictEqual(yield* table.ids, [])
      yield* promptly(insert(sql, table, 2))
    }))

  it.scopedLive("the rows of a rule come as they do elsewhere", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql } = yield* makePool()
      yield* server.query(`CREATE RULE answer AS ON INSERT TO ${table.name} DO INSTEAD SELECT 42 AS answer`)
      const ruled = sql.unsafe(`INSERT INTO ${table.name} (id) VALUES (1)`)
      assert.deepStrictEqual(yield* sql.withTransaction(Effect.all([ruled, ruled])), [[{ answer: 42 }], [{
        answer: 42
      }]])
    }))

  it.scopedLive("a nested transaction that is interrupted while it is under way dooms nothing", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { proxy, sql } = yield* watched()
      const body = Effect.gen(function*() {
        proxy.delay = 100
        const nested = yield* Effect.fork(sql.withTransaction(insert(sql, table, 1)))
        yield* Effect.sleep(30)
        yield* Fiber.interrupt(nested)
        proxy.delay = 0
        yield* insert(sql, table, 2)
      })
      yield* promptly(sql.withTransaction(body))
      assert.deepStrictEqual(yield* table.ids, [2])
    }))
})
