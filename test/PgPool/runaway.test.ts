import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import type { PgPool } from "effect-pgpool"
import { OutcomeUnknown } from "effect-pgpool/PgError"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { Sockets } from "../support/faults/sockets.js"
import type { Server } from "../support/pgPool.js"
import { eventually, isSleeping, makePool, pause, promptly, serverUrl, watch } from "../support/pgPool.js"
import { within } from "../support/server.js"

/** A function for the session that heeds no cancel. */
const stubborn = (connection: PgPool.PgConnection) =>
  connection.executeRaw(
    `CREATE FUNCTION pg_temp.stubborn(seconds float) RETURNS void LANGUAGE plpgsql AS $$
      DECLARE until timestamptz := clock_timestamp() + seconds * interval '1 second';
      BEGIN
        WHILE clock_timestamp() < until LOOP
          BEGIN
            PERFORM pg_sleep(extract(epoch FROM until - clock_timestamp()));
          EXCEPTION WHEN query_canceled THEN
          END;
        END LOOP;
      END $$`,
    []
  )

/** The sessions at the server. One that was closed a moment ago may still be there, but not for long. */
const felt = (server: Server, app: string, limit: number) =>
  within(300, server.sessions(app), (sessions) => sessions.length <= limit)

describe("I1: the hard limit is what the server feels", () => {
  it.scopedLive("of sessions that heed no cancel there are no more than twice as many, and no caller is held", () =>
    Effect.gen(function*() {
      const options = { maxsize: 2, maxoverflow: 2, onConnect: stubborn, cleanupTimeout: 60 } as const
      const { app, close, pool, server, sql } = yield* makePool(options)
      let most = 0
      for (let i = 0; i < 16; i++) {
        yield* promptly(Effect.exit(Effect.timeout(sql`SELECT pg_temp.stubborn(${2.5})`, 100)))
        most = Math.max(most, (yield* felt(server, app, 4)).length)
      }
      assert.isAtMost(most, 4)
      assert.isAtLeast(most, 3)
      // As the server ends them their permits come back.
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.isAtMost((yield* pool.stats).size, 2)
      yield* close
    }))

  it.scopedLive("also through a proxy, which has its own end of each socket", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const options = { maxsize: 2, maxoverflow: 2, onConnect: stubborn, cleanupTimeout: 100 } as const
      const { app, server, sql } = yield* makePool({ url: proxy.url, ...options })
      let most = 0
      for (let i = 0; i < 16; i++) {
        yield* promptly(Effect.exit(Effect.timeout(sql`SELECT pg_temp.stubborn(${5})`, 150)))
        most = Math.max(most, (yield* felt(server, app, 4)).length)
      }
      assert.isAtMost(most, 4)
    }))

  it.scopedLive("also where several statements of one session are given up", () =>
    Effect.gen(function*() {
      const options = { maxsize: 1, maxoverflow: 2, multiplex: 4, onConnect: stubborn, cleanupTimeout: 60 } as const
      const { app, server, sql } = yield* makePool(options)
      const statements = [sql`SELECT pg_temp.stubborn(${5})`, sql`SELECT pg_temp.stubborn(${5})`]
      let most = 0
      for (let i = 0; i < 16; i++) {
        const all = Effect.all(statements, { concurrency: "unbounded" })
        yield* promptly(Effect.exit(Effect.timeout(all, 100)))
        most = Math.max(most, (yield* felt(server, app, 4)).length)
      }
      assert.isAtMost(most, 4)
    }))

  it.scopedLive("one that was shared does not keep its place either", () =>
    Effect.gen(function*() {
      const options = { maxsize: 1, maxoverflow: 1, multiplex: 4, onConnect: stubborn, cleanupTimeout: 100 } as const
      const { sql, until } = yield* makePool(options)
      const fiber = yield* Effect.fork(sql`SELECT pg_temp.stubborn(${20})`)
      yield* until((sessions) => sessions.some(({ wait_event }) => wait_event === "PgSleep"))
      yield* promptly(Fiber.interrupt(fiber))
      assert.deepStrictEqual(yield* Effect.timeout(sql`SELECT 1 AS n`, "10 seconds"), [{ n: 1 }])
    }))

  it.scopedLive("those that the network has lost, and that run nothing, keep no permit", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const options = { maxsize: 2, maxoverflow: 2, cleanupTimeout: 200, queryTimeout: 200 } as const
      const { sql } = yield* makePool({ url: proxy.url, ...options })
      const both = Effect.all([sql`SELECT 1`, sql`SELECT 2`], { concurrency: 2 })
      for (let i = 0; i < 3; i++) {
        const isServed = Effect.map(Effect.exit(both), Exit.isSuccess)
        yield* Effect.timeout(Effect.repeat(isServed, { until: (isServed) => isServed }), "10 seconds")
        proxy.halfOpen()
        yield* Effect.exit(both)
      }
      assert.deepStrictEqual(yield* Effect.timeout(Effect.retry(sql`SELECT 1 AS n`, { times: 20 }), "10 seconds"), [
        { n: 1 }
      ])
    }))

  it.scopedLive.each([1, 4])(
    "a pool that closes waits for none of them (multiplex %s)",
    (multiplex) =>
      Effect.gen(function*() {
        const options = { maxsize: 1, maxoverflow: 1, multiplex, onConnect: stubborn, cleanupTimeout: 60 } as const
        const { close, sql, until } = yield* makePool(options)
        for (let i = 0; i < 2; i++) {
          const fiber = yield* Effect.fork(sql`SELECT pg_temp.stubborn(${3})`)
          yield* until((sessions) => sessions.filter(({ wait_event }) => wait_event === "PgSleep").length === i + 1)
          yield* Fiber.interrupt(fiber)
        }
        yield* promptly(close)
      })
  )

  it.scopedLive("one that the server ends while the pool waits for it to heed a cancel harms nobody", () =>
    Effect.gen(function*() {
      const options = { maxsize: 1, maxoverflow: 1, onConnect: stubborn, cleanupTimeout: 5000 } as const
      const { sql, until } = yield* makePool(options)
      const fiber = yield* Effect.fork(sql`SELECT pg_temp.stubborn(${30})`)
      const [{ pid }] = yield* until((sessions) => sessions.some(({ wait_event }) => wait_event === "PgSleep"))
      yield* promptly(Fiber.interrupt(fiber))
      yield* pause(100)
      const server = yield* watch()
      yield* server.query(`SELECT pg_terminate_backend(${pid})`)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scopedLive("onConnect that hangs, and can't be interrupted, is left behind without its socket", () =>
    Effect.gen(function*() {
      const sockets = new Sockets()
      const { app, pool, server, sql } = yield* makePool({
        maxsize: 2,
        maxoverflow: 2,
        stream: sockets.make,
        onConnect: () => Effect.uninterruptible(Effect.never),
        connectTimeout: 150,
        cleanupTimeout: 50,
        acquireTimeout: 2000,
        outageTimeout: 2000
      })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`SELECT 1`)))
      assert.isAtLeast(sockets.dials.length, 3)
      assert.isAtMost(sockets.most, 2)
      yield* pause(500)
      yield* eventually(pool.stats, ({ size }) => size === 0)
      assert.strictEqual(sockets.open, 0)
      yield* server.until(app, (sessions) => sessions.length === 0)
    }))
})

/** The messages in a chunk of the server's, but those of a kind. */
const without = (kind: string, chunk: Buffer): Buffer => {
  const kept: Array<Buffer> = []
  for (let at = 0; at < chunk.length;) {
    const end = at + 1 + chunk.readInt32BE(at + 1)
    if (chunk.toString("latin1", at, at + 1) !== kind) kept.push(chunk.subarray(at, end))
    at = end
  }
  return Buffer.concat(kept)
}

describe("R13: a server that gives no key to cancel with, as some proxies do", () => {
  it.scopedLive("is said good-bye, and what is interrupted there ends by itself", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.onAnswer = (chunk) => without("K", chunk)
      let requests = ""
      proxy.onRequest = (chunk) => requests += chunk.toString("latin1")
      const { close, pool, sql, until } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1 })
      yield* sql`SELECT 1`
      const fiber = yield* Effect.fork(sql`SELECT pg_sleep(0.2)`)
      yield* until((sessions) => sessions.some(isSleeping))
      yield* promptly(Fiber.interrupt(fiber))
      assert.deepStrictEqual(yield* sql`SELECT 2 AS n`, [{ n: 2 }])
      assert.strictEqual((yield* pool.stats).opened, 1)
      yield* close
      assert.isTrue(requests.endsWith("X\0\0\0\u0004"))
    }))
})

describe("R22: what a statement fails with whose session was given up", () => {
  it.scopedLive("is the reason for which it was", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, maxsize: 1 })
      yield* sql`SELECT 1`
      // A message that can't be read.
      proxy.onAnswer = (chunk) => Buffer.concat([Buffer.from("D\0\0\0\u0005\0", "latin1"), chunk])
      const error = yield* Effect.flip(sql`SELECT ${2}::int`)
      assert.instanceOf(error.cause, OutcomeUnknown)
      assert.notMatch(error.message, /Connection terminated/)
    }))
})
