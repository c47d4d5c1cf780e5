import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import {
  causeTagOf,
  eventually,
  insert,
  isSleeping,
  makePool,
  makeTable,
  nobodySleeps,
  promptly,
  serverUrl,
  uniqueName
} from "../support/pgPool.js"

const never = "1 hour"

/** A pool with an idle connection to a server that can be made silent. */
const makeSilent = (options: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.start(serverUrl)
    const made = yield* makePool({
      url: proxy.url,
      cleanupTimeout: 300,
      closeTimeout: 0,
      validateAfterIdle: never,
      ...options
    })
    yield* made.sql`SELECT 1`
    return { ...made, proxy }
  })

/** Runs an effect in a finaliser, of a fiber that was interrupted. */
const inFinaliser = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const [begun, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<Exit.Exit<A, E>>()]
    const finaliser = Effect.flatMap(Effect.exit(effect), (exit) => Deferred.succeed(ended, exit))
    const fiber = yield* Effect.forkDaemon(
      Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never).pipe(Effect.onInterrupt(() => finaliser))
    )
    yield* Deferred.await(begun)
    fiber.unsafeInterruptAsFork(fiber.id())
    return yield* Deferred.await(ended)
  })

const failureOf = <A, E>(exit: Exit.Exit<A, E>): E => {
  if (Exit.isFailure(exit) && exit.cause._tag === "Fail") return exit.cause.error
  throw new Error(`It has not failed: ${String(exit)}`)
}

describe("R24: queryTimeout ends what waits for a silent server where nothing can be interrupted", () => {
  const uses: ReadonlyArray<readonly [string, (pool: PgPool.PgPool) => Effect.Effect<unknown, unknown>]> = [
    ["a statement", ({ client: sql }) => sql`SELECT 1`],
    [
      "a statement of a connection",
      ({ client: sql }) => Effect.scoped(Effect.flatMap(sql.reserve, (c) => c.executeRaw("SELECT 1", [])))
    ],
    ["pool.use", (pool) => pool.use((connection) => connection.executeRaw("SELECT 1", []))],
    ["withConnection", (pool) => pool.withConnection(pool.client`SELECT 1`)],
    ["a transaction, whose BEGIN is the first", ({ client: sql }) => sql.withTransaction(sql`SELECT 1`)],
    ["a stream", ({ client: sql }) => Stream.runDrain(sql`SELECT 1`.stream)],
    ["notify", ({ client: sql }) => sql.notify("channel", "payload")]
  ]
  for (const multiplex of [false, true]) {
    for (const [what, use] of uses) {
      it.scopedLive(`R24: ${what}${multiplex ? ", with multiplex" : ""}`, () =>
        Effect.gen(function*() {
          const { pool, proxy } = yield* makeSilent({ queryTimeout: 200, multiplex })
          proxy.blackhole()
          const error = failureOf(yield* promptly(inFinaliser(use(pool))))
          assert.instanceOf(error, SqlError.SqlError)
          assert.include(["OutcomeUnknown", "NotCommitted"], causeTagOf(error))
        }))
    }
  }

  it.scopedLive("R22: a COMMIT", () =>
    Effect.gen(function*() {
      const { proxy, sql } = yield* makeSilent({ queryTimeout: 200 })
      const body = Effect.zipRight(sql`SELECT 1`, Effect.sync(() => proxy.blackhole()))
      const error = failureOf(yield* promptly(inFinaliser(sql.withTransaction(body))))
      assert.strictEqual(causeTagOf(error), "CommitOutcomeUnknown")
    }))

  it.scopedLive("R23, R24: a nested transaction behind what a stream has left in flight", () =>
    Effect.gen(function*() {
      const { proxy, sql } = yield* makeSilent({ queryTimeout: 200 })
      const stream = sql`SELECT generate_series(1, 1000) AS n`.stream.pipe(
        Stream.take(1),
        Stream.tap(() => Effect.sync(() => proxy.blackhole())),
        Stream.runDrain
      )
      const body = Effect.zipRight(stream, Effect.flip(sql.withTransaction(Effect.void)))
      const nested = yield* Deferred.make<SqlError.SqlError>()
      yield* promptly(inFinaliser(sql.withTransaction(Effect.flatMap(body, (error) =>
        Deferred.succeed(nested, error as SqlError.SqlError)))))
      assert.strictEqual(causeTagOf(yield* Deferred.await(nested)), "NotSent")
    }))
})

describe("R22, R24: without queryTimeout, where nothing can be interrupted", () => {
  it.scopedLive("R22: the ROLLBACK of a transaction has cleanupTimeout", () =>
    Effect.gen(function*() {
      const { pool, proxy, sql } = yield* makeSilent({})
      const body = sql`SELECT 1`.pipe(
        Effect.zipRight(Effect.sync(() => proxy.blackhole())),
        Effect.zipRight(Effect.fail("no"))
      )
      assert.strictEqual(failureOf(yield* promptly(inFinaliser(sql.withTransaction(body)))), "no")
      yield* eventually(pool.stats, ({ size }) => size === 0)
    }))

  for (const queryTimeout of [200, undefined]) {
    it.scopedLive(`R22: what comes behind a COMMIT that was given up, on the same connection, ${queryTimeout === undefined ? "without" : "with"} queryTimeout`, () =>
      Effect.gen(function*() {
        const { pool, proxy, sql } = yield* makeSilent({ queryTimeout })
        const body = Effect.zipRight(sql`SELECT 1`, Effect.sync(() => proxy.blackhole()))
        const commit = sql.withTransaction(body).pipe(Effect.interruptible, Effect.timeout(400))
        for (
          const next of [
            sql`SELECT 1`,
            sql.withTransaction(sql`SELECT 1`),
            Stream.runDrain(sql`SELECT 1`.stream)
          ]
        ) {
          const both = Effect.all([Effect.flip(commit), Effect.flip(next as Effect.Effect<unknown, SqlError.SqlError>)])
          const exit = yield* promptly(inFinaliser(pool.withConnection(both)))
          const [first, second] = Exit.getOrElse(exit, () => assert.fail("withConnection has failed"))
          assert.include(["CommitOutcomeUnknown", undefined], causeTagOf(first))
          assert.strictEqual(causeTagOf(second), "NotSent")
          proxy.heal()
        }
      }))
  }

  it.scopedLive("R23: who waits for a transaction of the same connection has acquireTimeout", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makeSilent({ acquireTimeout: 200 })
      const release = yield* Effect.makeLatch()
      const both = pool.withConnection(Effect.gen(function*() {
        const holder = yield* Effect.fork(sql.withTransaction(release.await))
        yield* Effect.sleep(50)
        const error = yield* Effect.flip(sql.withTransaction(Effect.void))
        yield* release.open
        yield* Fiber.join(holder)
        return error
      }))
      assert.strictEqual(
        causeTagOf(Exit.getOrElse(yield* promptly(inFinaliser(both)), () => undefined)),
        "ConnectionBusy"
      )
    }))

  it.scopedLive("who waits for a connection has acquireTimeout, and in an outage outageTimeout", () =>
    Effect.gen(function*() {
      const { pool, proxy, sql } = yield* makeSilent({
        maxsize: 1,
        maxoverflow: 1,
        acquireTimeout: 200,
        outageTimeout: 400
      })
      const holder = yield* Effect.forkDaemon(pool.use(() => Effect.never))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      for (const use of [sql`SELECT 1`, sql.withTransaction(Effect.void), Stream.runDrain(sql`SELECT 1`.stream)]) {
        const error = failureOf(yield* promptly(inFinaliser(use as Effect.Effect<unknown, unknown>)))
        assert.strictEqual(causeTagOf(error), "PoolExhausted")
      }
      yield* Fiber.interrupt(holder)
      proxy.refusing = true
      proxy.cut()
      yield* eventually(pool.stats, ({ size }) => size === 0)
      assert.strictEqual(causeTagOf(failureOf(yield* promptly(inFinaliser(sql`SELECT 1`)))), "PoolExhausted")
    }))

  it.scopedLive("R21: a listener ends, though its session is silent, and who waits for the first one has outageTimeout", () =>
    Effect.gen(function*() {
      const { pool, proxy, until } = yield* makeSilent({ acquireTimeout: 200, outageTimeout: 400 })
      const isListening = (channel: string) =>
        until((sessions) => sessions.some(({ query }) => query.includes(channel)))
      const channel = uniqueName()
      const ended = yield* Effect.makeLatch()
      const listener = yield* Effect.forkDaemon(
        inFinaliser(Stream.runDrain(Stream.interruptWhen(pool.listen(channel), ended.await)))
      )
      yield* isListening(channel)
      proxy.blackhole()
      yield* ended.open
      assert.isTrue(Exit.isSuccess(yield* promptly(Fiber.join(listener))))
      const error = failureOf(yield* promptly(inFinaliser(Stream.runDrain(pool.listen(uniqueName())))))
      assert.instanceOf(error, SqlError.SqlError)
    }))

  it.scopedLive("suspend keeps a deadline that its caller puts round it, resume ends at once, and the close has its own", () =>
    Effect.gen(function*() {
      const { close, pool, proxy, sql } = yield* makeSilent({ suspendTimeout: never })
      yield* Effect.forkDaemon(Effect.ignore(sql`SELECT pg_sleep(60)`))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      proxy.blackhole()
      const suspended = yield* promptly(inFinaliser(Effect.timeoutOption(pool.suspend, 100)))
      assert.deepStrictEqual(suspended, Exit.succeed(Option.none()))
      yield* promptly(inFinaliser(pool.resume))
      yield* promptly(inFinaliser(pool.evict()))
      yield* promptly(inFinaliser(close))
      assert.strictEqual((yield* pool.stats).size, 0)
    }))

  it.scopedLive("a deadline round a statement is kept with Effect.interruptible inside it, and the server stops", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makeSilent({ maxsize: 3 })
      const uses = [
        sql`SELECT pg_sleep(60)`,
        sql.withTransaction(sql`SELECT pg_sleep(60)`),
        Stream.runDrain(sql`SELECT pg_sleep(60)`.stream)
      ] as ReadonlyArray<Effect.Effect<unknown, SqlError.SqlError>>
      for (const use of uses) {
        const exit = yield* promptly(inFinaliser(use.pipe(Effect.interruptible, Effect.timeoutOption(100))))
        assert.deepStrictEqual(exit, Exit.succeed(Option.none()))
      }
      yield* until(nobodySleeps)
      assert.strictEqual((yield* pool.stats).busy, 0)
    }))

  it.scopedLive("Effect.uninterruptible round a statement is kept: its caller has asked for the end of it", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql, until } = yield* makeSilent({})
      const work = Effect.zipRight(sql`SELECT pg_sleep(0.3)`, insert(sql, table, 1))
      const fiber = yield* Effect.fork(Effect.uninterruptible(work))
      yield* until((sessions) => sessions.some(isSleeping))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* table.ids, [1])
    }))
})
