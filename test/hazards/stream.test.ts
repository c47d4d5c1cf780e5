import type { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Option, Scope, Stream } from "effect"
import { PgError } from "effect-pgpool"
import { atOnce, failure, hazard, makeClient, open, range, runTogether, timesOut } from "../support/hazards.js"
import { insert, makeTable, pause } from "../support/pgPool.js"

type Within = (
  sql: PgClient.PgClient
) => <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>

const places: Record<string, Within> = {
  "outside a transaction": () => (use) => use,
  "in a transaction": (sql) => sql.withTransaction
}

describe("the interrupt of a stream waits for its query", () => {
  for (const [place, within] of Object.entries(places)) {
    hazard(`${place} it is prompt`, () =>
      Effect.gen(function*() {
        const client = yield* makeClient({ connections: 2 })
        const { sql } = client
        yield* open(client, 2)
        const firstPage = Stream.runDrain(sql`SELECT pg_sleep(60)`.stream)
        yield* timesOut(client, within(sql)(firstPage))
        const laterPage = Stream.runDrain(
          sql`SELECT n, CASE WHEN n = 300 THEN pg_sleep(60) END FROM generate_series(1, 400) n`.stream
        )
        yield* timesOut(client, within(sql)(laterPage))
        yield* runTogether(client, 2)
      }))
  }
})

describe("a transaction with a stream and one statement per row deadlocks from 128 rows on", () => {
  const plan = `EXPLAIN ${range(300).map((n) => `SELECT ${n}`).join(" UNION ALL ")}`
  const texts: Record<string, (table: string) => string> = {
    "SELECT": () => "SELECT n FROM generate_series(1, 300) n",
    "INSERT with RETURNING": (table) => `INSERT INTO ${table} SELECT generate_series(1001, 1300) RETURNING id`,
    "a CTE that writes": (table) =>
      `WITH new AS (INSERT INTO ${table} SELECT generate_series(1001, 1300) RETURNING id) SELECT id FROM new`,
    "EXPLAIN": () => plan,
    "SHOW": () => "SHOW ALL"
  }
  for (const [name, text] of Object.entries(texts)) {
    hazard(`it does not, with ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makeClient({ connections: 1 })
        let rows = 0
        yield* sql.withTransaction(
          Stream.runForEach(sql.unsafe(text(table.name)).stream, () => insert(sql, table, ++rows))
        )
        assert.isAtLeast(rows, 300)
        assert.isAtLeast((yield* table.ids).length, rows)
      }))
  }
})

describe("a stream's error followed by closing the scope hangs", () => {
  for (const [place, within] of Object.entries(places)) {
    hazard(`${place} it does not`, () =>
      Effect.gen(function*() {
        const client = yield* makeClient({ connections: 1 })
        const { sql } = client
        const use = Effect.gen(function*() {
          const scope = yield* Scope.make()
          const rows = sql`SELECT 1 / (2 - n) FROM generate_series(1, 3) n`.stream
          const pull = yield* Scope.extend(Stream.toPull(rows), scope)
          yield* Effect.flip(pull)
          // Whoever handles the error takes a while.
          yield* pause(50)
          yield* atOnce(Effect.uninterruptible(Scope.close(scope, Exit.void)))
          return yield* Effect.fail("seen" as const)
        })
        assert.strictEqual(yield* Effect.flip(within(sql)(use)), "seen")
        yield* runTogether(client, 1)
      }))
  }
})

describe("a parameter that can't be serialised is a defect", () => {
  const circular: Record<string, unknown> = {}
  circular.self = circular

  for (const [place, within] of Object.entries(places)) {
    hazard(`in a stream ${place} it is an SqlError, and the connection is used again`, () =>
      Effect.gen(function*() {
        const client = yield* makeClient({ connections: 1 })
        const { sql } = client
        for (let i = 0; i < 3; i++) {
          const rows = sql.unsafe("SELECT $1::text", [circular as never]).stream
          yield* atOnce(failure(within(sql)(Stream.runDrain(rows))))
        }
        yield* runTogether(client, 1)
      }))
  }
})

describe("a killed backend under a stream: the caller never returns", () => {
  for (const [place, within] of Object.entries(places)) {
    hazard(`${place} it returns with an SqlError at once, and the connection is back`, () =>
      Effect.gen(function*() {
        const client = yield* makeClient({ connections: 2 })
        const { server, sql } = client
        let kills = 0
        const rows = sql<{ pid: number }>`SELECT pg_backend_pid() AS pid FROM generate_series(1, 100000)`.stream
        const use = Stream.runForEach(rows, ({ pid }) => kills++ === 0 ? server.terminate(pid) : Effect.void)
        const error = yield* atOnce(failure(within(sql)(use)))
        assert.deepStrictEqual(PgError.sqlState(error), Option.some("57P01"))
        yield* runTogether(client, 2)
      }))
  }
})
