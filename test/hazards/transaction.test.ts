import type { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { PgError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { atOnce, failure, hazard, killSleeper, makeClient, range } from "../support/hazards.js"
import {
  causeTagOf,
  codeOf,
  eventually,
  insert,
  makeSlowCommit,
  makeTable,
  pause,
  pidOf,
  serverUrl
} from "../support/pgPool.js"

describe("failing COMMIT or ROLLBACK, and a session killed inside a transaction, are defects", () => {
  hazard("a failing COMMIT is an SqlError with the SQLSTATE in its cause", () =>
    Effect.gen(function*() {
      const table = yield* makeTable("id integer UNIQUE DEFERRABLE INITIALLY DEFERRED")
      const { sql } = yield* makeClient()
      const error = yield* failure(sql.withTransaction(Effect.zipRight(insert(sql, table, 1), insert(sql, table, 1))))
      assert.strictEqual(codeOf(error), "23505")
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  hazard("a session killed inside a transaction is an SqlError with its SQLSTATE", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const client = yield* makeClient()
      const { sql } = client
      const use = sql.withTransaction(Effect.zipRight(insert(sql, table, 1), sql`SELECT pg_sleep(60)`))
      const transaction = yield* Effect.fork(failure(use))
      yield* killSleeper(client)
      assert.strictEqual(codeOf(yield* Fiber.join(transaction)), "57P01")
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  hazard("a session killed between two statements of a transaction is no other", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql } = yield* makeClient()
      const error = yield* failure(sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        yield* server.terminate(yield* pidOf(sql))
        // Time to see it.
        yield* pause(50)
        yield* insert(sql, table, 2)
      })))
      assert.deepStrictEqual(PgError.sqlState(error), Option.some("57P01"))
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  hazard("the body's own error is kept where ROLLBACK fails", () =>
    Effect.gen(function*() {
      const { server, sql } = yield* makeClient()
      const error = yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        yield* server.terminate(yield* pidOf(sql))
        return yield* Effect.fail("mine" as const)
      })))
      assert.strictEqual(error, "mine")
    }))

  hazard("the body's own error is kept where its session was killed under a statement", () =>
    Effect.gen(function*() {
      const client = yield* makeClient()
      const { sql } = client
      const transaction = yield* Effect.fork(Effect.flip(sql.withTransaction(
        Effect.mapError(sql`SELECT pg_sleep(60)`, () => "mine" as const)
      )))
      yield* killSleeper(client)
      assert.strictEqual(yield* Fiber.join(transaction), "mine")
    }))
})

describe("COMMIT of an aborted transaction reports success with nothing stored", () => {
  hazard("it is a failure", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      yield* failure(sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        yield* Effect.flip(sql`SELECT 1 / 0`)
        return "all is well"
      })))
      assert.deepStrictEqual(yield* table.ids, [])
    }))
})

describe("a lost answer looks like any lost connection, an interrupt during COMMIT is undefined", () => {
  hazard("a lost COMMIT answer is CommitOutcomeUnknown", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makeClient({ url: proxy.url })
      proxy.onRequest = (chunk) => {
        if (chunk.includes("COMMIT")) proxy.blackhole("answers")
      }
      const transaction = yield* Effect.fork(failure(sql.withTransaction(insert(sql, table, 1))))
      yield* eventually(table.ids, (ids) => ids.length === 1)
      proxy.reset()
      assert.strictEqual(causeTagOf(yield* Fiber.join(transaction)), "CommitOutcomeUnknown")
    }))

  hazard("a lost answer of a statement is OutcomeUnknown", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makeClient({ url: proxy.url })
      proxy.onRequest = (chunk) => {
        if (chunk.includes("INSERT")) proxy.blackhole("answers")
      }
      const statement = yield* Effect.fork(failure(insert(sql, table, 1)))
      yield* eventually(table.ids, (ids) => ids.length === 1)
      proxy.cut()
      assert.strictEqual(causeTagOf(yield* Fiber.join(statement)), "OutcomeUnknown")
    }))

  hazard("a caller interrupted in COMMIT returns at once, the COMMIT goes on", () =>
    Effect.gen(function*() {
      const table = yield* makeSlowCommit(2)
      const { sql, until } = yield* makeClient()
      const transaction = yield* Effect.fork(sql.withTransaction(insert(sql, table, 1)))
      yield* until(([session]) => session?.query === "COMMIT" && session.state === "active")
      assert.isTrue(Exit.isInterrupted(yield* atOnce(Fiber.interrupt(transaction))))
      assert.deepStrictEqual(yield* table.ids, [])
      yield* eventually(table.ids, (ids) => ids.length === 1)
    }))
})

describe("a statement interrupted inside a transaction whose body goes on: 25P02 or success, by chance", () => {
  const doomed = (error: SqlError) => assert.strictEqual(causeTagOf(error), "TransactionDoomed")

  const cuts: Record<string, (sql: PgClient.PgClient) => Effect.Effect<unknown, SqlError>> = {
    "statement": (sql) => sql`SELECT pg_sleep(60)`,
    "stream": (sql) => Stream.runDrain(sql`SELECT pg_sleep(60)`.stream)
  }
  for (const [name, use] of Object.entries(cuts)) {
    hazard(`after an interrupted ${name} all fails, and nothing is stored`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makeClient()
        const error = yield* failure(sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 1)
          assert.isTrue(Option.isNone(yield* Effect.timeoutOption(use(sql), "200 millis")))
          doomed(yield* failure(insert(sql, table, 2)))
          doomed(yield* failure(sql`SELECT 1`.values))
          doomed(yield* failure(Stream.runDrain(sql`SELECT 1`.stream)))
          doomed(yield* failure(sql.withTransaction(insert(sql, table, 3))))
          return "all is well"
        })))
        doomed(error)
        assert.deepStrictEqual(yield* table.ids, [])
      }))
  }

  hazard("where nothing follows, the transaction fails all the same", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      doomed(
        yield* failure(sql.withTransaction(Effect.zipRight(
          insert(sql, table, 1),
          Effect.timeoutOption(sql`SELECT pg_sleep(60)`, "200 millis")
        )))
      )
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  hazard("a nested transaction is doomed alone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, table, 1)
        doomed(
          yield* failure(sql.withTransaction(Effect.gen(function*() {
            yield* insert(sql, table, 2)
            yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, "200 millis")
            doomed(yield* failure(insert(sql, table, 3)))
          })))
        )
        yield* insert(sql, table, 4)
      }))
      assert.deepStrictEqual(yield* table.ids, [1, 4])
    }))

  hazard("a statement that ends at about the time of its interrupt is done, or dooms it", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      for (let id = 0; id < 40; id++) {
        const cut = sql`INSERT INTO ${sql(table.name)} (id) SELECT ${id}::integer FROM pg_sleep(0.02)`
        const transaction = sql.withTransaction(Effect.gen(function*() {
          yield* Effect.timeoutOption(cut, 15 + id % 15)
          const next = yield* Effect.either(sql`SELECT 1`)
          if (next._tag === "Left") doomed(next.left)
        }))
        const result = yield* Effect.either(transaction)
        if (result._tag === "Left") doomed(result.left)
        assert.strictEqual((yield* table.ids).includes(id), result._tag === "Right")
      }
    }))
})

describe("concurrent nested transactions share savepoint names: a successful sibling's row is lost", () => {
  hazard("each is undone alone", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      yield* sql.withTransaction(Effect.forEach(
        range(10),
        (id) =>
          sql.withTransaction(Effect.gen(function*() {
            yield* insert(sql, table, id)
            yield* sql`SELECT 1`
            if (id % 3 === 0) return yield* Effect.fail("no")
          })).pipe(Effect.ignore),
        { concurrency: "unbounded" }
      ))
      assert.deepStrictEqual(yield* table.ids, [1, 2, 4, 5, 7, 8])
    }))

  hazard("a plain statement beside a nested one is not undone with it", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      const inside = yield* Deferred.make<void>()
      yield* sql.withTransaction(Effect.gen(function*() {
        const nested = yield* Effect.fork(Effect.flip(sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, table, 1)
          yield* Deferred.succeed(inside, undefined)
          yield* pause(200)
          return yield* Effect.fail("no")
        }))))
        yield* Deferred.await(inside)
        yield* insert(sql, table, 2)
        yield* Fiber.join(nested)
      }))
      assert.deepStrictEqual(yield* table.ids, [2])
    }))

  hazard("each savepoint has a name of its own, and is released when done", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makeClient({ url: proxy.url })
      const names: Array<string> = []
      const open = new Set<string>()
      proxy.onRequest = (chunk) => {
        for (const [, verb, name] of chunk.toString("latin1").matchAll(/(TO |RELEASE )?SAVEPOINT (\w+)/g)) {
          if (verb === "RELEASE ") open.delete(name)
          if (verb !== undefined) continue
          names.push(name)
          open.add(name)
        }
      }
      yield* sql.withTransaction(Effect.forEach(range(6), (n) =>
        sql.withTransaction(n % 2 === 0 ? Effect.void : Effect.fail("no")).pipe(
          Effect.ignore,
          Effect.zipRight(Effect.sync(() => assert.deepStrictEqual([...open], [])))
        )))
      assert.strictEqual(new Set(names).size, 6)
      assert.strictEqual(names.length, 6)
    }))
})

describe("inside a.withTransaction, a query of client b runs on a's database", () => {
  hazard("each client has its own", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const [a, b] = [yield* makeClient(), yield* makeClient()]
      const appOf = (sql: PgClient.PgClient) =>
        Effect.map(sql<{ app: string }>`SELECT current_setting('application_name') AS app`, ([{ app }]) => app)
      yield* Effect.flip(a.sql.withTransaction(Effect.gen(function*() {
        assert.strictEqual(yield* appOf(a.sql), a.app)
        assert.strictEqual(yield* appOf(b.sql), b.app)
        yield* insert(a.sql, table, 1)
        yield* insert(b.sql, table, 2)
        yield* b.sql.withTransaction(insert(b.sql, table, 3))
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [2, 3])
    }))
})

describe("a daemon forked inside a transaction runs in someone else's transaction later", () => {
  hazard("a fiber that outlives the transaction gets a connection of the pool", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient({ connections: 2 })
      const ended = yield* Deferred.make<void>()
      const daemon = yield* sql.withTransaction(
        Effect.forkDaemon(Effect.zipRight(
          Deferred.await(ended),
          Effect.all([insert(sql, table, 1), sql.withTransaction(insert(sql, table, 2))])
        ))
      )
      // Another transaction on the same connection, which fails.
      yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT 1`
        yield* Deferred.succeed(ended, undefined)
        yield* Fiber.join(daemon)
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))

  hazard("a statement already queued on the transaction's connection gets a typed error", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient()
      const [slow, queued] = yield* sql.withTransaction(Effect.gen(function*() {
        const slow = yield* Effect.forkDaemon(sql`SELECT pg_sleep(0.3)`)
        yield* Effect.yieldNow()
        const queued = yield* Effect.forkDaemon(insert(sql, table, 1))
        yield* Effect.yieldNow()
        return [slow, queued] as const
      }))
      yield* failure(Fiber.join(queued))
      yield* Fiber.join(slow)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  hazard("a leaked reserve is dead after its release", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makeClient({ connections: 1 })
      const leaked = yield* Effect.scoped(sql.reserve)
      const text = `INSERT INTO ${table.name} (id) VALUES (1)`
      // The next borrower of the connection commits, with all that has slipped in.
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT 1`
        yield* failure(leaked.execute(text, [], undefined))
        yield* failure(leaked.executeRaw(text, []))
        yield* failure(leaked.executeValues(text, []))
        yield* failure(leaked.executeUnprepared(text, [], undefined))
        yield* failure(Stream.runDrain(leaked.executeStream(text, [], undefined)))
      }))
      assert.deepStrictEqual(yield* table.ids, [])
    }))
})
