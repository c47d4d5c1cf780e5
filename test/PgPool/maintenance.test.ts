import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Redacted, Stream } from "effect"
import { PoolError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { causeTagOf, eventually, makePool, promptly, serverUrl, uniqueName } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

/** A pool behind a proxy with `n` idle connections, which are not checked because of their idling. */
const makeIdle = (n: number) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.start(serverUrl)
    const idle = yield* makePool({ url: proxy.url, warm: n, validateAfterIdle: "1 hour" })
    yield* eventually(idle.pool.stats, ({ idle }) => idle === n)
    const pings: Array<string> = []
    proxy.onRequest = (chunk) => {
      if (chunk.includes("SELECT 1")) pings.push("ping")
    }
    return { ...idle, proxy, pings }
  })

describe("R19: suspicion", () => {
  for (const state of ["idle", "in use"] as const) {
    it.scopedLive(`R19: a session that is killed while ${state} costs the others one ping each, before their next use`, () =>
      Effect.gen(function*() {
        const { pings, pool, server, sessions, sql } = yield* makeIdle(3)
        if (state === "idle") yield* server.terminate((yield* sessions)[0].pid)
        else {
          const victim = yield* Effect.fork(
            Effect.flip(
              pool.use((connection) =>
                Effect.zipRight(
                  server.terminate(connection.processId),
                  connection.executeRaw("SELECT pg_sleep(60)", [])
                )
              )
            )
          )
          yield* Fiber.join(victim)
        }
        yield* eventually(pool.stats, ({ size }) => size === 2)
        for (let round = 0; round < 2; round++) {
          yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.05)`, 2), { concurrency: 2 })
          assert.strictEqual(pings.length, 2)
        }
        assert.strictEqual((yield* pool.stats).opened, 3)
      }))
  }

  it.scopedLive("R19, R24: a cancel that is not answered makes the others suspect: no caller meets their silence", () =>
    Effect.gen(function*() {
      const { pool, proxy, sql } = yield* makeIdle(3)
      const sleeping = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      proxy.blackhole()
      yield* promptly(Fiber.interrupt(sleeping))
      yield* eventually(pool.stats, ({ size }) => size === 2)
      // What hangs would be told by nothing else: there is no queryTimeout.
      const caller = yield* Effect.fork(sql`SELECT 2 AS two`)
      yield* eventually(pool.stats, ({ closed }) => closed.dirty === 2)
      proxy.heal()
      assert.deepStrictEqual(yield* Fiber.join(caller), [{ two: 2 }])
    }))

  it.scopedLive("R19: with multiplex what is suspect takes nobody new before it was pinged", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool({ multiplex: 4, maxsize: 2, maxoverflow: 2 })
      const run = Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.01)`, 40), { concurrency: "unbounded" })
      yield* run
      const victim = yield* pool.use((connection) => Effect.succeed(connection.processId))
      yield* server.terminate(victim)
      yield* run
      assert.isAtMost((yield* pool.stats).opened, 3)
    }))
})

describe("R36: drain", () => {
  it.scopedLive("the queue is served, newcomers fail with PoolClosed, listeners end, and no session is left", () =>
    Effect.gen(function*() {
      const { pool, sessions, sql, until } = yield* makePool({ name: "test", maxsize: 1, maxoverflow: 1 })
      const listener = yield* Effect.fork(Effect.flip(Stream.runDrain(pool.listen(uniqueName()))))
      yield* until((sessions) => sessions.some(({ query }) => query.startsWith("LISTEN")))
      const queue = yield* Effect.fork(
        Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 4), { concurrency: 4 })
      )
      yield* eventually(pool.stats, ({ waiting }) => waiting === 3)
      const drain = yield* Effect.fork(pool.drain)
      yield* eventually(pool.stats, ({ state }) => state === "draining")
      for (const late of [sql`SELECT 1`, sql.withTransaction(Effect.void), Stream.runDrain(pool.listen("late"))]) {
        const error = yield* promptly(Effect.flip(late as Effect.Effect<unknown, Error>))
        assert.strictEqual(causeTagOf(error), "PoolClosed")
      }
      const { cause } = yield* promptly(Fiber.join(listener))
      assert.instanceOf(cause, PoolError.PoolClosed)
      assert.strictEqual(cause.message, "The pool test is drained: it takes no new callers.")
      assert.strictEqual((yield* Fiber.join(queue)).length, 4)
      yield* Fiber.join(drain)
      yield* until((sessions) => sessions.length === 0)
      assert.deepStrictEqual(yield* sessions, [])
    }))

  it.scopedLive("goes on where its caller does not wait", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool()
      yield* sql`SELECT 1`
      const listener = yield* Effect.fork(Effect.flip(Stream.runDrain(pool.listen(uniqueName()))))
      yield* until((sessions) => sessions.some(({ query }) => query.startsWith("LISTEN")))
      const drain = Effect.runFork(pool.drain)
      yield* Fiber.interrupt(drain)
      assert.strictEqual(causeTagOf(yield* promptly(Fiber.join(listener))), "PoolClosed")
      yield* until((sessions) => sessions.length === 0)
    }))
})

describe("R36: suspend and resume", () => {
  it.scopedLive("a restart of the server between them fails nobody", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      const { pool, sql } = yield* makePool({
        url: Redacted.make(server.url),
        maxsize: 4,
        maxoverflow: 4,
        acquireTimeout: 1000
      })
      let isOver = false
      const load = yield* Effect.forkScoped(Effect.all(
        Effect.replicate(
          Effect.repeat(sql.withTransaction(sql`SELECT pg_sleep(0.01)`), { until: () => isOver }),
          8
        ),
        { concurrency: 8 }
      ))
      yield* eventually(pool.stats, ({ busy }) => busy === 4)
      assert.isTrue(yield* pool.suspend)
      assert.deepInclude(yield* pool.stats, { state: "suspended", size: 0 })
      yield* server.stop()
      yield* eventually(pool.stats, ({ waiting }) => waiting === 8)
      yield* server.start
      yield* pool.resume
      yield* eventually(pool.stats, ({ busy }) => busy === 4)
      isOver = true
      yield* Fiber.join(load)
      assert.strictEqual((yield* pool.stats).closed.failed, 0)
    }))

  it.scopedLive("suspendTimeout is an option, also of the environment", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ suspendTimeout: 100 })
      assert.isTrue(yield* pool.suspend)
      yield* sql`SELECT 1`
      assert.strictEqual((yield* pool.stats).state, "open")
    }))
})

describe("R13, R24: the close of a pool whose server is silent", () => {
  it.scopedLive("nothing that a dead socket does holds it: not an idle, a busy or an opening connection, nor a listener", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { close, pool, sql, until } = yield* makePool({
        url: proxy.url,
        maxsize: 4,
        closeTimeout: 200,
        cleanupTimeout: 200
      })
      const listener = yield* Effect.fork(Effect.exit(Stream.runDrain(pool.listen(uniqueName()))))
      yield* until((sessions) => sessions.some(({ query }) => query.startsWith("LISTEN")))
      const uses = [
        sql`SELECT pg_sleep(60)`,
        sql.withTransaction(sql`SELECT pg_sleep(60)`),
        Stream.runDrain(sql`SELECT pg_sleep(60)`.stream),
        sql`SELECT pg_sleep(60)`
      ]
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.05)`, 4), { concurrency: 4 })
      const busy = yield* Effect.forEach(
        uses.slice(0, 3),
        (use) => Effect.fork(Effect.exit(use as Effect.Effect<unknown>))
      )
      yield* eventually(pool.stats, ({ busy, idle }) => busy === 3 && idle === 1)
      proxy.blackhole()
      const last = yield* Effect.fork(Effect.exit(uses[3] as Effect.Effect<unknown>))
      const opening = yield* Effect.fork(Effect.exit(sql`SELECT 1`))
      yield* eventually(pool.stats, ({ opening, waiting }) => opening + waiting >= 1)
      yield* promptly(close)
      assert.strictEqual((yield* pool.stats).size, 0)
      for (const fiber of [...busy, last, opening, listener]) {
        const exit = yield* promptly(Fiber.join(fiber as Fiber.Fiber<Exit.Exit<unknown, unknown>>))
        assert.isTrue(Exit.isFailure(exit) && Option.isSome(Cause.failureOption(exit.cause)))
      }
    }))
})
