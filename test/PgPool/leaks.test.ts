import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { PoolError } from "effect-pgpool"
import { areAll } from "../support/areAll.js"
import type { TestPool } from "../support/pgPool.js"
import { eventually, makePool, pidOf } from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

const long = Effect.sleep("200 millis")

/** What a connection may be held for. */
const ways: Record<string, (test: TestPool) => Effect.Effect<unknown, SqlError | PoolError.PoolError>> = {
  statement: ({ sql }) => sql`SELECT pg_sleep(0.2)`,
  stream: ({ sql }) => Stream.runDrain(sql`SELECT pg_sleep(0.2)`.stream),
  transaction: ({ sql }) => sql.withTransaction(long),
  withConnection: ({ pool }) => pool.withConnection(long),
  reserve: ({ sql }) => Effect.scoped(Effect.zipRight(sql.reserve, long)),
  use: ({ pool }) => pool.use(() => long),
  get: ({ pool }) => Effect.scoped(Effect.zipRight(pool.get, long))
}

describe("R36: leakThreshold", () => {
  for (const [name, way] of Object.entries(ways)) {
    it.scopedLive(`names the server's process, and the caller's span: ${name}`, () =>
      withLogs((logs) =>
        Effect.gen(function*() {
          const test = yield* makePool({ name: "test", leakThreshold: 100 })
          // The connect and the statement are two different things: only what is held counts.
          const pid = yield* pidOf(test.sql)
          logs.length = 0
          yield* Effect.withSpan(way(test), name)
          yield* eventually(Effect.sync(() => logs), (logs) => logs.length === 2)
          assert.match(
            logs[0],
            new RegExp(`^WARN test: A connection \\(server process ${pid}\\) has been held .* ${name} `)
          )
          assert.match(
            logs[1],
            new RegExp(`^INFO test: A connection \\(server process ${pid}\\) .* came back .* ${name} `)
          )
        })
      ))
  }

  it.scopedLive("statements that share a connection are a loan each", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { sql } = yield* makePool({ leakThreshold: 100, maxsize: 1, maxoverflow: 1, multiplex: true })
        const pid = yield* pidOf(sql)
        logs.length = 0
        yield* Effect.all(
          ["a", "b"].map((span) => Effect.withSpan(sql`SELECT pg_sleep(0.3)`, span)),
          { concurrency: 2 }
        )
        const late = logs.filter((line) => line.startsWith("WARN"))
        assert.lengthOf(late, 2)
        assert.isTrue(areAll(late, (line) => line.includes(`(server process ${pid})`)))
      })
    ))

  it.scopedLive("LISTEN holds no connection of the pool's", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { pool } = yield* makePool({ leakThreshold: "50 millis" })
        yield* Effect.timeoutOption(Stream.runDrain(pool.listen("channel")), "500 millis")
        assert.deepStrictEqual(logs, [])
      })
    ))
})
