import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import type { PoolEvent } from "effect-pgpool"
import type { Lease } from "../../src/internal/postgres/lease/lease.js"
import { Listening } from "../support/listening.js"
import type { TestPool } from "../support/pgPool.js"
import { eventually, makePool, pidOf } from "../support/pgPool.js"

const until = <Event extends object>({ heard }: Listening<Event>, holds: (events: ReadonlyArray<Event>) => boolean) =>
  eventually(Effect.sync(() => heard), holds)

const isClosed = (event: PoolEvent.PoolEvent): event is PoolEvent.Closed => event._tag === "Closed"

/** What a caller may do with a connection. */
const ways: Record<string, (test: TestPool) => Effect.Effect<unknown, unknown>> = {
  statement: ({ sql }) => sql`SELECT 1`,
  "statement that fails": ({ sql }) => Effect.flip(sql`SELECT 1 / 0`),
  transaction: ({ sql }) => sql.withTransaction(Effect.zipRight(sql`SELECT 1`, sql`SELECT 2`)),
  stream: ({ sql }) => Stream.runDrain(sql`SELECT generate_series(1, 1000)`.stream),
  withConnection: ({ pool, sql }) => pool.withConnection(sql`SELECT 1`),
  use: ({ pool }) => pool.use(() => Effect.void),
  get: ({ pool }) => Effect.scoped(pool.get)
}

describe("R39: the events of a pool of sessions", () => {
  it.scopedLive("a session that is killed: which one, and why it was closed", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool({ maxsize: 1 })
      const listening = yield* Listening.to(pool.events)
      const pid = yield* pidOf(sql)
      yield* server.query(`SELECT pg_terminate_backend(${pid})`)
      yield* until(listening, (events) => events.some(isClosed))
      const [opening, opened, closed] = listening.heard
      assert.deepInclude(opening, { _tag: "Opening", connection: 1 })
      assert.deepInclude(opened, { _tag: "Opened", connection: 1, processId: pid })
      assert.deepInclude(closed, { _tag: "Closed", connection: 1, reason: "invalidated", uses: 1 })
      assert.isAtLeast(closed.at, opened.at)
      const next = yield* pidOf(sql)
      assert.deepInclude(listening.heard.at(-1), { _tag: "Opened", connection: 2, processId: next })
    }))

  for (const [name, way] of Object.entries(ways)) {
    it.scopedLive(`one loan, with the caller's span: ${name}`, () =>
      Effect.gen(function*() {
        const test = yield* makePool({ maxsize: 1 })
        yield* test.sql`SELECT 1`
        const listening = yield* Listening.to(test.pool.loans)
        const before = Date.now()
        yield* Effect.withSpan(way(test), "caller")
        const after = Date.now()
        // It is the last: the one before was told.
        yield* Effect.withSpan(test.pool.use(() => Effect.void), "last")
        yield* until(listening, (loans) => loans.some((loan) => loan._tag === "Loan" && loan.span === "last"))
        assert.lengthOf(listening.heard, 2)
        const [loan] = listening.heard
        assert.deepInclude(loan, { _tag: "Loan", outcome: "returned", span: "caller" })
        // The parts are whole milliseconds.
        assert.isTrue(loan._tag === "Loan" && before - 2 <= loan.asked && loan.at <= after + 2)
      }))
  }

  it.scopedLive("a stream that finds its session lost before its first request, and has another one, is a loan", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1 })
      const { session } = (yield* Effect.scoped(pool.get)) as unknown as Lease
      let kills = 0
      const deadly = {
        toPostgres: () => {
          if (kills++ === 0) session.destroy("it was lost")
          return "1"
        }
      }
      const listening = yield* Listening.to(pool.loans)
      const before = yield* pool.stats
      yield* Effect.withSpan(Stream.runDrain(sql.unsafe("SELECT $1::int", [deadly]).stream), "caller")
      yield* Effect.withSpan(pool.use(() => Effect.void), "last")
      yield* until(listening, (loans) => loans.some((loan) => loan._tag === "Loan" && loan.span === "last"))
      assert.isAtLeast(kills, 2)
      assert.lengthOf(listening.heard, 2)
      assert.strictEqual((yield* pool.stats).acquired, before.acquired + 2)
    }))

  it.scopedLive("statements that share a connection are a loan each", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, multiplex: true })
      yield* sql`SELECT 1`
      const listening = yield* Listening.to(pool.loans)
      yield* Effect.all(Array.from({ length: 5 }, () => sql`SELECT pg_sleep(0.05)`), { concurrency: "unbounded" })
      yield* until(listening, (loans) => loans.length >= 5)
      assert.lengthOf(listening.heard, 5)
    }))

  it.scopedLive("statements that are handed a lost session and then another one are a loan each", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, multiplex: true })
      const scope = yield* Scope.make()
      const { session } = (yield* Scope.extend(pool.get, scope)) as unknown as Lease
      const listening = yield* Listening.to(pool.loans)
      let kills = 0
      const deadly = {
        toPostgres: () => {
          if (kills++ === 0) session.destroy("it was lost")
          return "1"
        }
      }
      const first = yield* Effect.fork(Effect.withSpan(Effect.exit(sql.unsafe("SELECT $1::int", [deadly])), "first"))
      const second = yield* Effect.fork(Effect.withSpan(pidOf(sql), "second"))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 2)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      assert.isAtLeast(kills, 1)
      yield* until(listening, (loans) => loans.length >= 3)
      assert.strictEqual((yield* pool.stats).acquired, 3)
      assert.sameMembers(
        listening.heard.map((loan) => loan._tag === "Loan" ? loan.span : loan._tag),
        [undefined, "first", "second"]
      )
    }))
})
