import type { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Redacted } from "effect"
import { PgError } from "effect-pgpool"
import { whereInstalled } from "../support/faults/suite.js"
import * as HaProxy from "../support/haproxy.js"
import { eventually, isSleeping, makePool, nobodySleeps, pause, promptly, serverUrl, watch } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

const startServer = Effect.map(Postgres.start(), (server) => ({ ...server, url: Redacted.make(server.url) }))

const all = <A, E>(count: number, effect: Effect.Effect<A, E>) =>
  Effect.all(Effect.replicate(effect, count), { concurrency: "unbounded", discard: true })

/** Statements and transactions of callers who are there before the server is. */
const wait = (sql: PgClient.PgClient) =>
  Effect.fork(all(10, Effect.zipRight(sql`SELECT 1`, sql.withTransaction(sql`SELECT 1`))))

whereInstalled(HaProxy, "haproxy")("behind HAProxy", () => {
  const seesServers: Record<string, HaProxy.Options["server"]> = {
    // It accepts and cuts.
    "which sees that": "check inter 100 fall 1 rise 1",
    // It accepts and dials once a second: dials are parked in it.
    "which does not, and holds the dials": ""
  }
  for (const [how, server] of Object.entries(seesServers)) {
    it.scopedLive(`R18: a server is restarted behind one ${how}: waiting callers outlive it`, () =>
      Effect.gen(function*() {
        const postgres = yield* startServer
        const settings = ["retries 100", "option redispatch 0"]
        const { url } = yield* HaProxy.start({ servers: [postgres.url], server, settings })
        const { pool, sql } = yield* makePool({ url, maxsize: 4, maxoverflow: 6 })
        yield* all(4, sql`SELECT pg_sleep(0.05)`)
        yield* postgres.stop()
        yield* eventually(pool.stats, ({ size }) => size === 0)
        const callers = yield* wait(sql)
        yield* pause(2500)
        assert.isAtMost((yield* pool.stats).size, 6)
        yield* postgres.start
        yield* Fiber.join(callers)
      }))
  }

  it.scopedLive("R18: another server takes over, and the dials that are parked reach it", () =>
    Effect.gen(function*() {
      const [first, second] = [yield* startServer, yield* startServer]
      yield* second.stop()
      const { url } = yield* HaProxy.start({
        servers: [first.url, second.url],
        settings: ["retries 100", "option redispatch 1"]
      })
      const { pool, sql } = yield* makePool({ url })
      yield* sql`SELECT 1`
      yield* first.stop("immediate")
      yield* eventually(pool.stats, ({ size }) => size === 0)
      const callers = yield* wait(sql)
      yield* pause(500)
      yield* second.start
      yield* Fiber.join(callers)
    }))

  it.scopedLive("R18: dials that wait in its queue are a lower limit", () =>
    Effect.gen(function*() {
      const { url } = yield* HaProxy.start({
        servers: [serverUrl],
        server: "maxconn 2",
        settings: ["timeout queue 300"]
      })
      const { pool, sql } = yield* makePool({ url, maxsize: 6, connectConcurrency: 6 })
      yield* all(40, sql`SELECT pg_sleep(0.05)`)
      assert.isAtMost((yield* pool.stats).opened, 2)
    }))

  it.scopedLive("R17: connections that it cuts for being idle are noticed, what it cuts in flight fails typed", () =>
    Effect.gen(function*() {
      const { url } = yield* HaProxy.start({
        servers: [serverUrl],
        settings: ["timeout client 300", "timeout server 300"]
      })
      const { pool, sql } = yield* makePool({ url, maxsize: 4 })
      for (let round = 0; round < 3; round++) {
        yield* all(8, sql`SELECT 1`)
        yield* eventually(pool.stats, ({ size }) => size === 0)
      }
      assert.isTrue(PgError.isOutcomeUnknown(yield* promptly(Effect.flip(sql`SELECT pg_sleep(60)`))))
    }))

  it.scopedLive("R18: it is restarted itself: nothing fails but what was in flight", () =>
    Effect.gen(function*() {
      const haproxy = yield* HaProxy.start({ servers: [serverUrl] })
      const { pool, sql } = yield* makePool({ url: haproxy.url, maxsize: 4, maxoverflow: 4 })
      let isOver = false
      let done = 0
      let failed = 0
      const worker = Effect.gen(function*() {
        while (!isOver) {
          const answer = yield* Effect.either(sql`SELECT 1`)
          if (answer._tag === "Right") done++
          else {
            failed++
            assert.isTrue(PgError.isOutcomeUnknown(answer.left) || PgError.isRetryable(answer.left))
          }
        }
      })
      const load = yield* Effect.fork(all(16, worker))
      yield* eventually(pool.stats, ({ busy }) => busy === 4)
      yield* haproxy.stop()
      yield* pause(300)
      yield* haproxy.start
      const before = done
      yield* eventually(Effect.sync(() => done), (now) => now > before + 100)
      isOver = true
      yield* Fiber.join(load)
      assert.isAtMost(failed, 4)
    }))

  it.scopedLive("R16: a cancel finds its server, also one of several where the same client has the same one", () =>
    Effect.gen(function*() {
      const other = yield* startServer
      for (const servers of [[serverUrl], [serverUrl, other.url], [other.url, serverUrl]]) {
        const { url } = yield* HaProxy.start({
          servers,
          server: "",
          settings: ["balance source"],
          takesTurns: true
        })
        const { app, pool, sql } = yield* makePool({ url, cleanupTimeout: "5 seconds" })
        const backends = yield* Effect.map(
          Effect.all([watch(), watch(other.url)]),
          (servers) => Effect.map(Effect.all(servers.map(({ sessions }) => sessions(app))), (found) => found.flat())
        )
        const sleeper = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
        yield* eventually(backends, (found) => found.some(isSleeping))
        yield* promptly(Fiber.interrupt(sleeper))
        yield* eventually(backends, nobodySleeps)
        yield* eventually(pool.stats, ({ idle }) => idle === 1)
        assert.strictEqual((yield* pool.stats).opened, 1)
      }
    }))

  it.scopedLive("R16: a cancel that is sent to another server hurts nobody, and the next one finds its own", () =>
    Effect.gen(function*() {
      const [first, second] = [yield* startServer, yield* startServer]
      const { url } = yield* HaProxy.start({
        servers: [first.url, second.url],
        // Nobody but the pool connects, so that they take turns exactly.
        server: "",
        settings: ["balance roundrobin"],
        takesTurns: true
      })
      const { app, pool, sql } = yield* makePool({ url, maxsize: 1, maxoverflow: 1, cleanupTimeout: "5 seconds" })
      const sleepers = yield* Effect.all([watch(first.url), watch(second.url)])
      const sleeper = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
      const isAsleep = Effect.map(
        Effect.all(sleepers.map(({ sessions }) => sessions(app))),
        (backends) => backends.flat().some(isSleeping)
      )
      yield* eventually(isAsleep, (asleep) => asleep)
      assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(sleeper))))
      yield* eventually(isAsleep, (asleep) => !asleep)
      yield* sql`SELECT 1`
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))
})
