import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Random, Stream, TestClock } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { areAll } from "../support/areAll.js"

const select = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT name FROM users`)
const users = { text: "SELECT name FROM users", rows: [{ name: "Ada" }] }

const stats = Effect.flatMap(PgPool.PgPool, ({ stats }) => stats)

/** Whether a fiber has ended, and how, once that much time has passed. */
const after = <A, E>(millis: number, fiber: Fiber.RuntimeFiber<A, E>) =>
  Effect.as(TestClock.adjust(millis), fiber).pipe(Effect.map((fiber) => fiber.unsafePoll() ?? "not yet"))

const failureOf = <A, E>(outcome: Exit.Exit<A, E> | "not yet"): E | undefined =>
  outcome !== "not yet" && Exit.isFailure(outcome) && outcome.cause._tag === "Fail" ? outcome.cause.error : undefined

describe("R47: the times of a scripted server are those of the TestClock", () => {
  it.effect("a slow statement", () =>
    Effect.gen(function*() {
      const asked = yield* Effect.fork(select)
      assert.strictEqual(yield* after(1999, asked), "not yet")
      assert.deepStrictEqual(yield* after(1, asked), Exit.succeed([{ name: "Ada" }]))
    }).pipe(Effect.provide(Testing.layer({ statements: [{ ...users, delay: "2 seconds" }] }))))

  it.effect("a slow COMMIT, for which others wait", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const committing = yield* Effect.fork(sql.withTransaction(select))
      const next = yield* Effect.fork(select)
      assert.strictEqual(yield* after(999, next), "not yet")
      assert.deepStrictEqual(yield* after(1, next), Exit.succeed([{ name: "Ada" }]))
      yield* Fiber.join(committing)
    }).pipe(Effect.provide(Testing.layer({
      pool: { maxsize: 1, maxoverflow: 1 },
      statements: [users, { text: "COMMIT", delay: "1 second" }]
    }))))

  it.effect("a statement that hangs: queryTimeout cancels it, and the connection is used again", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const asked = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
      assert.strictEqual(yield* after(4999, asked), "not yet")
      assert.isTrue(PgError.isOutcomeUnknown(failureOf(yield* after(1, asked))))
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      const { cancelled, opened } = yield* stats
      assert.deepStrictEqual({ cancelled, opened }, { cancelled: 1, opened: 1 })
    }).pipe(Effect.provide(Testing.layer({
      pool: { maxsize: 1, maxoverflow: 1, queryTimeout: "5 seconds" },
      statements: [users, { text: "SELECT pg_sleep(60)", hangs: true }]
    }))))

  it.effect("an interrupt cancels what runs, and what was to come of it never happens", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const asked = yield* Effect.fork(sql`BEGIN`)
      assert.strictEqual(yield* after(500, asked), "not yet")
      yield* Fiber.interrupt(asked)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      const { rolledBack } = yield* stats
      assert.strictEqual(rolledBack, 0)
    }).pipe(Effect.provide(Testing.layer({
      pool: { maxsize: 1, maxoverflow: 1 },
      statements: [users, { text: "BEGIN", delay: "1 second" }]
    }))))

  it.effect("a session that dies: the next statement has another one", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.isTrue(PgError.isOutcomeUnknown(yield* Effect.flip(sql`SELECT crash()`)))
      const inTransaction = Effect.zipRight(select, sql`SELECT crash()`).pipe(sql.withTransaction)
      assert.isTrue(PgError.isRetryable(yield* Effect.flip(inTransaction)))
      assert.deepStrictEqual(yield* select, [{ name: "Ada" }])
      assert.strictEqual(yield* Effect.flatMap(Testing.Server, ({ sessions }) => sessions), 1)
    }).pipe(Effect.provide(Testing.layer({ statements: [users, { text: "SELECT crash()", dies: true }] }))))

  it.effect("connects that are slow, refused, silent, and not let in", () =>
    Effect.gen(function*() {
      const asked = yield* Effect.fork(select)
      assert.strictEqual(yield* after(2999, asked), "not yet")
      assert.deepStrictEqual(yield* after(1, asked), Exit.succeed([{ name: "Ada" }]))
      const faults = yield* Testing.Faults
      yield* faults.cut
      const refused = yield* Effect.fork(select)
      yield* after(0, refused)
      assert.match(String((yield* stats).lastConnectError), /ECONNREFUSED scripted:5432/)
      // After a while the pool dials again, and is not answered.
      assert.strictEqual(yield* after(2000, refused), "not yet")
      assert.strictEqual((yield* stats).opening, 1)
      // The silent one is given up at connectTimeout. The next one is not let in.
      assert.match(
        String(failureOf(yield* after(10_000, refused))),
        /^SqlError: .*password authentication failed$/
      )
      assert.strictEqual((yield* stats).connectFailures, 3)
    }).pipe(Effect.provide(Testing.layer({
      pool: { maxsize: 1, maxoverflow: 1, connectTimeout: "4 seconds" },
      statements: [users],
      connect: (n) =>
        n === 1
          ? { delay: "3 seconds" }
          : n === 2
          ? { refused: true }
          : n === 3
          ? { hangs: true }
          : { error: { code: "28P01", message: "password authentication failed" } }
    }))))

  it.effect("an outage of 3 seconds is survived", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      yield* select
      yield* Effect.zipRight(faults.refuse, faults.cut)
      const callers = yield* Effect.fork(Effect.all([select, select, select], { concurrency: "unbounded" }))
      assert.strictEqual(yield* after(3000, callers), "not yet")
      yield* faults.restore
      const outcome = yield* after(1000, callers)
      assert.isTrue(outcome !== "not yet" && Exit.isSuccess(outcome))
    }).pipe(Effect.provide(Testing.layer({ statements: [users] }))))

  it.effect("silence and delay", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      yield* select
      yield* faults.silence
      const silent = yield* Effect.fork(select)
      assert.strictEqual(yield* after(60_000, silent), "not yet")
      yield* faults.restore
      assert.deepStrictEqual(yield* after(0, silent), Exit.succeed([{ name: "Ada" }]))
      yield* faults.delay("200 millis")
      const slow = yield* Effect.fork(select)
      assert.strictEqual(yield* after(399, slow), "not yet")
      assert.deepStrictEqual(yield* after(1, slow), Exit.succeed([{ name: "Ada" }]))
      yield* faults.restore
    }).pipe(Effect.provide(Testing.layer({ pool: { maxsize: 1, validateAfterIdle: "1 hour" }, statements: [users] }))))

  it.effect("a pool closes in the midst of all this without any time", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      yield* Effect.fork(select)
      yield* Effect.fork(select)
      yield* TestClock.adjust(1)
      yield* faults.silence
    }).pipe(Effect.provide(Testing.layer({
      statements: [{ ...users, hangs: true, rows: undefined }],
      connect: (n) => n === 2 ? { hangs: true } : {}
    }))))
})

describe("R47: the same test gives the same result", () => {
  /** Callers that come by chance, with faults in between: what happens in the pool, and when. */
  const story = (seed: number) =>
    Effect.gen(function*() {
      const pool = yield* PgPool.PgPool
      const faults = yield* Testing.Faults
      const told: Array<string> = []
      const began = yield* Clock.currentTimeMillis
      yield* Effect.forkScoped(
        Stream.runForEach(pool.events, ({ _tag, at }) =>
          Effect.sync(() => told.push(`${Math.round(at - began)} ${_tag}`)))
      )
      const callers: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
      for (let i = 0; i < 60; i++) {
        yield* TestClock.adjust(yield* Random.nextIntBetween(0, 40))
        const caller = select.pipe(
          i % 3 === 0
            ? (effect) =>
              pool.client.withTransaction(effect)
            : (effect) => effect,
          Effect.timeout(yield* Random.nextIntBetween(20, 400)),
          Effect.exit,
          Effect.tap((exit) => Effect.sync(() => told.push(`caller ${i} ${exit._tag}`)))
        )
        callers.push(yield* Effect.fork(caller))
        if (i === 20) yield* Effect.zipRight(faults.refuse, faults.cut)
        if (i === 30) yield* faults.restore
        if (i === 40) yield* faults.silence
        if (i === 45) yield* faults.restore
      }
      yield* TestClock.adjust("1 minute")
      assert.isTrue(areAll(callers, (caller) => caller.unsafePoll() !== null))
      return told
    }).pipe(
      Effect.scoped,
      Effect.provide(Testing.layer({
        pool: { maxsize: 2, maxoverflow: 5 },
        statements: [{ ...users, delay: 30 }],
        connect: { delay: 15 }
      })),
      Effect.withRandom(Random.make(seed))
    )

  /** Keeps the event loop busy meanwhile, so that everything that depends on it comes at other moments. */
  const disturbed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        let handle = setImmediate(function busy() {
          const until = performance.now() + 2
          while (performance.now() < until);
          handle = setImmediate(busy)
        })
        return () => clearImmediate(handle)
      }),
      () => effect,
      (stop) => Effect.sync(stop)
    )

  for (const seed of [1, 2, 3]) {
    it.effect(`whatever the event loop does meanwhile (seed ${seed})`, () =>
      Effect.gen(function*() {
        const first = yield* story(seed)
        assert.isAbove(first.length, 90)
        assert.includeMembers([...new Set(first.map((line) => line.split(" ")[1]))], [
          "OutageBegan",
          "OutageEnded",
          "Overflow"
        ])
        assert.deepStrictEqual(yield* disturbed(story(seed)), first)
      }), 60_000)
  }
})
