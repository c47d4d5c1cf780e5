import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import type { PoolError } from "effect-pgpool"
import { PgPool } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { pidOf } from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

const long = Effect.sleep("200 millis")

/** What a connection may be held for. */
const ways: Record<string, (pool: PgPool.PgPool) => Effect.Effect<unknown, SqlError | PoolError.PoolError>> = {
  statement: ({ client: sql }) => sql`SELECT slowly`,
  stream: ({ client: sql }) => Stream.runDrain(sql`SELECT slowly`.stream),
  transaction: ({ client: sql }) => sql.withTransaction(long),
  withConnection: (pool) => pool.withConnection(long),
  reserve: ({ client: sql }) => Effect.scoped(Effect.zipRight(sql.reserve, long)),
  use: (pool) => pool.use(() => long),
  get: (pool) => Effect.scoped(Effect.zipRight(pool.get, long))
}

/** A test of a pool whose slow statement takes as long as `long`. */
const over = (
  options: PgPool.PgPoolOptions,
  test: (pool: PgPool.PgPool, logs: Array<string>) => Effect.Effect<void, any>
) =>
  withLogs((logs) =>
    Effect.flatMap(PgPool.PgPool, (pool) => test(pool, logs)).pipe(Effect.provide(Testing.layer({
      pool: { name: "test", ...options },
      statements: [{ text: "SELECT slowly", rows: [{ done: true }], delay: "200 millis" }]
    })))
  )

describe("R36: leakThreshold", () => {
  for (const [name, way] of Object.entries(ways)) {
    it.effect(`names the server's process, and the caller's span: ${name}`, () =>
      over({ leakThreshold: 100 }, (pool, logs) =>
        Effect.gen(function*() {
          const pid = yield* pidOf(pool.client)
          const holder = yield* Effect.fork(Effect.withSpan(way(pool), name))
          yield* TestClock.adjust("99 millis")
          assert.deepStrictEqual(logs, [])
          yield* TestClock.adjust("1 millis")
          assert.lengthOf(logs, 1)
          assert.match(
            logs[0],
            new RegExp(`^WARN test: A connection \\(server process ${pid}\\) has been held .* ${name} `)
          )
          yield* TestClock.adjust("100 millis")
          yield* Fiber.join(holder)
          assert.lengthOf(logs, 2)
          assert.match(
            logs[1],
            new RegExp(`^INFO test: A connection \\(server process ${pid}\\) .* came back .* ${name} `)
          )
        })))
  }

  it.effect("statements that share a connection are a loan each", () =>
    over(
      { leakThreshold: 100, maxsize: 1, maxoverflow: 1, multiplex: true },
      ({ client: sql }, logs) =>
        Effect.gen(function*() {
          const pid = yield* pidOf(sql)
          yield* Effect.fork(Effect.all(
            ["a", "b"].map((span) => Effect.withSpan(sql`SELECT slowly`, span)),
            { concurrency: 2 }
          ))
          yield* TestClock.adjust("100 millis")
          assert.lengthOf(logs, 2)
          for (const [i, span] of ["a", "b"].entries()) {
            assert.match(logs[i], new RegExp(`^WARN .*\\(server process ${pid}\\).* ${span} `))
          }
        })
    ))

  it.effect("LISTEN holds no connection of the pool's", () =>
    over({ leakThreshold: "50 millis" }, (pool, logs) =>
      Effect.gen(function*() {
        yield* Effect.fork(Stream.runDrain(pool.listen("channel")))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs, [])
      })))
})
