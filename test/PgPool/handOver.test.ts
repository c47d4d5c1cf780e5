import type { Connection } from "@effect/sql/SqlConnection"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Scope, Stream } from "effect"
import type { Lease } from "../../src/internal/postgres/lease/lease.js"
import type { TestPool } from "../support/pgPool.js"
import { eventually, makePool, pidOf, promptly } from "../support/pgPool.js"

const pidOn = (connection: Connection) =>
  Effect.map(
    connection.executeUnprepared("SELECT pg_backend_pid() AS pid", [], undefined),
    ([row]) => (row as { pid: number }).pid
  )

/** The ways to a session, but for plain statements: each tells its process. */
const ways: { readonly [name: string]: (pool: TestPool) => Effect.Effect<number, unknown> } = {
  reserve: ({ sql }) => Effect.scoped(Effect.flatMap(sql.reserve, pidOn)),
  get: ({ pool }) => Effect.scoped(Effect.flatMap(pool.get, pidOn)),
  use: ({ pool }) => pool.use(pidOn),
  withTransaction: ({ sql }) => sql.withTransaction(pidOf(sql)),
  withConnection: ({ pool, sql }) => pool.withConnection(pidOf(sql)),
  "a stream": ({ sql }) =>
    Effect.map(
      Stream.runCollect(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.stream),
      (rows) => Chunk.unsafeHead(rows).pid
    )
}

/** Somebody has the only connection, and can give it back so that it is lost just after it was handed over. */
const held = (test: TestPool) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const { session } = (yield* Scope.extend(test.pool.get, scope)) as unknown as Lease
    return { session, release: Scope.close(scope, Exit.void) }
  })

describe("a session that is lost between its hand-over and its use", () => {
  for (const [name, pid] of Object.entries(ways)) {
    it.scopedLive(`R17: ${name}: the caller does not notice`, () =>
      Effect.gen(function*() {
        const test = yield* makePool({ maxsize: 1, maxoverflow: 1 })
        const { release, session } = yield* held(test)
        const { processId } = session
        const borrower = yield* Effect.fork(pid(test))
        yield* eventually(test.pool.stats, ({ waiting }) => waiting === 1)
        // In one step: the borrower's fiber has not gone on yet.
        yield* Effect.zipRight(release, Effect.sync(() => session.destroy("it was lost")))
        assert.notStrictEqual(yield* promptly(Fiber.join(borrower)), processId)
        assert.strictEqual((yield* test.pool.stats).opened, 2)
      }))
  }

  // A plain statement is sent in the moment of its hand-over: only what is told before it in that moment can come between.
  it.scopedLive("R17: a plain statement: the caller does not notice", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 1, maxoverflow: 1, multiplex: true })
      const { release, session } = yield* held(test)
      const { processId } = session
      let kills = 0
      const deadly = {
        toPostgres: () => {
          if (kills++ === 0) session.destroy("it was lost")
          return "1"
        }
      }
      const first = yield* Effect.fork(Effect.exit(test.sql.unsafe("SELECT $1::int", [deadly])))
      const second = yield* Effect.fork(pidOf(test.sql))
      yield* eventually(test.pool.stats, ({ waiting }) => waiting === 2)
      yield* release
      assert.notStrictEqual(yield* promptly(Fiber.join(second)), processId)
      yield* promptly(Fiber.join(first))
      assert.isAtLeast(kills, 1)
      assert.strictEqual((yield* test.pool.stats).opened, 2)
    }))
})
