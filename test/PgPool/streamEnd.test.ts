import type { PgClient } from "@effect/sql-pg"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Either, Exit, Fiber, Option, Scheduler, Scope, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { causeTagOf, isSleeping, makePool, makeTable, promptly, serverUrl, watch } from "../support/pgPool.js"

const one = { maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" } as const

/** Where a stream may run, and what is around it there. */
const places: Record<string, (pool: PgPool.PgPool) => <A, E>(body: Effect.Effect<A, E>) => Effect.Effect<A, unknown>> =
  {
    "on the pool": () => (body) => body,
    "on a kept connection": (pool) => pool.withConnection,
    "in a transaction begun by hand": (pool) => (body) =>
      pool.withConnection(Effect.zipRight(pool.client`BEGIN`, Effect.zipLeft(body, pool.client`ROLLBACK`))),
    "in a transaction": (pool) => pool.client.withTransaction
  }

/** All that a pull gives until it ends, and how it ends. */
const drain = (pull: Effect.Effect<Chunk.Chunk<unknown>, Option.Option<unknown>>, count = 0): Effect.Effect<
  readonly [count: number, end: Option.Option<unknown>]
> =>
  Effect.matchEffect(pull, {
    onFailure: (end) => Effect.succeed([count, end]),
    onSuccess: (rows) => drain(pull, count + Chunk.size(rows))
  })

const assertEndsTyped = (end: Option.Option<unknown>) => {
  const error = Option.getOrThrow(end)
  assert.instanceOf(error, SqlError)
  return error as SqlError
}

describe("R22: a stream whose session ends between two pulls", () => {
  it.scopedLive("R22: the next pull fails with the server's words, on the pool and in a transaction", () =>
    Effect.gen(function*() {
      const server = yield* watch()
      for (const place of ["on the pool", "in a transaction"]) {
        const { pool, sql, until } = yield* makePool(one)
        const pulls = Effect.gen(function*() {
          const pull = yield* Stream.toPull(
            sql<{ pid: number }>`SELECT pg_backend_pid() AS pid FROM generate_series(1, 3000)`.stream
          )
          const [{ pid }] = Chunk.toReadonlyArray(yield* pull)
          yield* server.terminate(pid)
          yield* until((sessions) => sessions.length === 0)
          return assertEndsTyped((yield* promptly(drain(pull)))[1])
        })
        const told = yield* Effect.either(places[place](pool)(Effect.flatMap(Effect.scoped(pulls), Effect.fail)))
        assert.isTrue(Either.isLeft(told) && PgError.isRetryable(told.left), `${place}: ${told}`)
      }
    }))

  it.scopedLive("R16: a pull that was interrupted has lost its page: those that follow never end well", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool(one)
      const text = "SELECT n, pg_sleep(CASE WHEN n = 200 THEN 0.3 ELSE 0 END) FROM generate_series(1, 300) n"
      yield* Effect.scoped(Effect.gen(function*() {
        const pull = yield* Stream.toPull(sql.unsafe(text).stream)
        yield* pull
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(pull, 50)))
        const [count, end] = yield* promptly(drain(pull))
        assert.isBelow(count, 300 - 128)
        assertEndsTyped(end)
      }))
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
    }))
})

describe("R16: a stream whose end the server has not told never succeeds", () => {
  const slow = (sql: PgClient.PgClient) =>
    sql`SELECT n, pg_sleep(CASE WHEN n = 300 THEN 1 ELSE 0 END) FROM
    generate_series(1, 400) n`.stream

  for (const [place, within] of Object.entries(places)) {
    it.scopedLive(`its scope is closed by another fiber during a pull: ${place}`, () =>
      Effect.gen(function*() {
        const { pool, sql, until } = yield* makePool(one)
        const body = Effect.gen(function*() {
          const scope = yield* Scope.make()
          const pull = yield* Scope.extend(Stream.toPull(slow(sql)), scope)
          const reading = yield* Effect.fork(drain(pull))
          yield* until((sessions) => sessions.some(isSleeping))
          yield* promptly(Scope.close(scope, Exit.void))
          const [count, end] = yield* Fiber.join(reading)
          assert.isBelow(count, 400)
          assert.strictEqual(causeTagOf(assertEndsTyped(end)), "LeaseEnded")
          // Nor does a pull that comes later find an end.
          assertEndsTyped((yield* promptly(drain(pull)))[1])
        })
        yield* within(pool)(body)
        assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
      }))

    it.scopedLive(`after a failure it fails again: ${place}`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool(one)
        const { stream } = sql`SELECT 1 / (200 - n) FROM generate_series(1, 300) n`
        const ends = Effect.scoped(Effect.flatMap(Stream.toPull(stream), (pull) =>
          Effect.gen(function*() {
            const [count, end] = yield* drain(pull)
            assert.isBelow(count, 200)
            assertEndsTyped(end)
            for (let i = 0; i < 3; i++) assertEndsTyped((yield* promptly(drain(pull)))[1])
          })))
        yield* Effect.exit(within(pool)(Effect.tap(ends, () => Effect.fail("done")))).pipe(
          Effect.tap((exit) => assert.deepStrictEqual(exit, Exit.fail("done")))
        )
        assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
      }))

    it.scopedLive(`its connection is lost at any time, between pulls too: ${place}`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        const { pool, sql } = yield* makePool({ ...one, url: proxy.url })
        for (const pulls of [0, 1, 2]) {
          for (const loss of ["cut", "reset"] as const) {
            yield* Effect.exit(
              within(pool)(Effect.scoped(Effect.gen(function*() {
                yield* sql`SELECT 1`
                const pull = yield* Stream.toPull(sql`SELECT n FROM generate_series(1, 3000) n`.stream)
                for (let i = 0; i < pulls; i++) yield* pull
                proxy[loss]()
                const [count, end] = yield* promptly(drain(pull))
                // Where the pool has heard of the loss before the stream begins, it begins on another connection.
                if (pulls === 0 && count === 3000) return
                assert.isBelow(count, 3000)
                assertEndsTyped(end)
                assertEndsTyped((yield* promptly(drain(pull)))[1])
              })))
            ).pipe(
              Effect.tap((exit) => assert.isFalse(Exit.isFailure(exit) && exit.cause._tag === "Die", String(exit)))
            )
          }
        }
      }))

    it.scopedLive(`all rows, and none, end well: ${place}`, () =>
      Effect.gen(function*() {
        const { name } = yield* makeTable()
        const { pool, sql } = yield* makePool(one)
        yield* within(pool)(Effect.gen(function*() {
          for (
            const [text, expected] of [
              ["SELECT n FROM generate_series(1, 256) n", 256],
              ["SELECT 1 WHERE false", 0],
              ["", 0],
              [`INSERT INTO ${name} SELECT generate_series(1, 200) RETURNING id`, 200],
              [`DELETE FROM ${name}`, 0]
            ] as const
          ) {
            const [count, end] = yield* Effect.scoped(Effect.flatMap(Stream.toPull(sql.unsafe(text).stream), drain))
            assert.deepStrictEqual([count, end], [expected, Option.none()])
          }
        }))
      }))
  }
})

describe("R12: the connection of a stream", () => {
  const rows = (sql: PgClient.PgClient) => sql<{ n: number }>`SELECT n FROM generate_series(1, 200) n`.stream

  for (const place of ["on the pool", "on a kept connection"]) {
    it.scopedLive(`others may have it while the last rows are read: ${place}`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ ...one, acquireTimeout: 500 })
        const ask = ({ n }: { readonly n: number }) => sql<{ n: number }>`SELECT ${n}::integer AS n`
        // A page is 128 rows. Before the second one has come, the stream has its connection for itself.
        const last = Stream.mapEffect(Stream.drop(rows(sql), 128), ask)
        const answers = yield* promptly(places[place](pool)(Stream.runCollect(last)))
        assert.strictEqual(Chunk.size(answers), 72)
        assert.strictEqual((yield* pool.stats).opened, 1)
      }))
  }

  it.scopedLive("R16: a reader that is interrupted after its scope was closed cancels nothing of others", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(one)
      for (const place of ["on the pool", "on a kept connection"]) {
        yield* places[place](pool)(Effect.gen(function*() {
          const scope = yield* Scope.make()
          const slow = sql`SELECT pg_sleep(0.1)`
          const pull = yield* Scope.extend(Stream.toPull(slow.stream), scope)
          const holding = new HoldingScheduler()
          const reader = yield* Effect.fork(Effect.withScheduler(Effect.zipRight(Effect.yieldNow(), pull), holding))
          yield* Effect.sleep(50)
          holding.isHeld = true
          // Its page comes, and the reader does not get to run.
          while (!holding.hasTasks) yield* Effect.sleep(1)
          yield* Scope.close(scope, Exit.void)
          const innocent = yield* Effect.fork(sql`SELECT pg_sleep(0.2)`)
          yield* Effect.sleep(50)
          yield* Fiber.interruptFork(reader)
          yield* Effect.yieldNow()
          holding.release()
          yield* Fiber.await(reader)
          yield* Fiber.join(innocent)
        }))
      }
    }))

  it.scopedLive("comes back, at whichever of its steps the reader is interrupted", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(one)
      yield* sql`SELECT 1`
      const inAnother = Stream.flatMap(Stream.make(1), () => rows(sql))
      const readers = [["on the pool", rows(sql)], ["on the pool", inAnother], [
        "on a kept connection",
        rows(sql)
      ]] as const
      for (const [place, read] of readers) {
        let step = 0
        for (let wasInTime = true; wasInTime; step++) {
          const interrupting = new InterruptingScheduler(step)
          const reading = Effect.withScheduler(Effect.zipRight(Effect.yieldNow(), Stream.runDrain(read)), interrupting)
          yield* places[place](pool)(Effect.gen(function*() {
            interrupting.fiber = yield* Effect.fork(reading)
            yield* Fiber.await(interrupting.fiber)
            yield* promptly(sql`SELECT 1`)
          }))
          wasInTime = interrupting.hasInterrupted
          assert.deepStrictEqual(yield* promptly(sql`SELECT 1 AS a`), [{ a: 1 }], `${place}, step ${step}`)
          assert.strictEqual((yield* pool.stats).busy, 0, `${place}, step ${step}`)
        }
        assert.isAbove(step, 200)
      }
    }), 60_000)
})

/** Lets the fibers that it runs yield at that step of theirs, and interrupts one there. */
class InterruptingScheduler implements Scheduler.Scheduler {
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  hasInterrupted = false
  private step = 0

  constructor(private readonly at: number) {}

  shouldYield(): number | false {
    if (this.step++ !== this.at) return false
    this.hasInterrupted = true
    return 0
  }

  scheduleTask(task: () => void, priority: number): void {
    if (this.hasInterrupted && this.fiber !== undefined) {
      const { fiber } = this
      this.fiber = undefined
      fiber.unsafeInterruptAsFork(fiber.id())
    }
    Scheduler.defaultScheduler.scheduleTask(task, priority)
  }
}

/** Keeps what the fibers that it runs are to do until it is told to let them. */
class HoldingScheduler implements Scheduler.Scheduler {
  isHeld = false
  private readonly tasks: Array<() => void> = []

  get hasTasks(): boolean {
    return this.tasks.length > 0
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return Scheduler.defaultScheduler.shouldYield(fiber)
  }

  scheduleTask(task: () => void, priority: number): void {
    if (this.isHeld) this.tasks.push(task)
    else Scheduler.defaultScheduler.scheduleTask(task, priority)
  }

  release(): void {
    this.isHeld = false
    for (const task of this.tasks.splice(0)) this.scheduleTask(task, 0)
  }
}
