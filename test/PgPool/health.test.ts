/** The health of a pool of sessions, on real servers that stop, fall silent or are full. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, TestClock } from "effect"
import type { PgPool } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { codeOf, eventually, makePool, pidOf, serverUrl, uniqueName, watch } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

/** A pool behind a proxy that counts what is sent to the server. */
const makeBehindProxy = (options?: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.start(serverUrl)
    const sent = { chunks: 0 }
    proxy.onRequest = () => sent.chunks++
    const { pool, sql } = yield* makePool({ url: proxy.url, ...options })
    return { pool, proxy, sent, sql }
  })

const up = { _tag: "Up" } as const

describe("R36: the health of a pool of sessions", () => {
  it.scoped("nothing is sent while an answer is younger than 5 seconds; then an idle session is pinged", () =>
    Effect.gen(function*() {
      const { pool, proxy, sent, sql } = yield* makeBehindProxy({ expires: "1 hour" })
      yield* sql`SELECT 1`
      const before = sent.chunks
      yield* TestClock.adjust(4999)
      assert.deepStrictEqual(yield* pool.health, up)
      assert.strictEqual(sent.chunks, before)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* pool.health, up)
      assert.strictEqual(sent.chunks, before + 1)
      assert.strictEqual(proxy.accepted, 1)
      assert.deepInclude(yield* pool.stats, { acquired: 1, idle: 1 })
    }))

  it.scoped("a pool that has no session dials one for many that ask, and closes it", () =>
    Effect.gen(function*() {
      const { pool, proxy } = yield* makeBehindProxy()
      const all = yield* Effect.all(Array.from({ length: 20 }, () => pool.health), { concurrency: 20 })
      assert.deepStrictEqual(all, Array.from({ length: 20 }, () => up))
      assert.strictEqual(proxy.accepted, 1)
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
      assert.deepInclude(yield* pool.stats, { size: 0, opened: 0, acquired: 0 })
    }))

  it.scoped("a probe a second makes no storm of logins at a server that refuses them", () =>
    Effect.gen(function*() {
      const { pool, proxy } = yield* makeBehindProxy()
      proxy.refusing = true
      for (let second = 0; second < 10; second++) {
        const [health] = yield* Effect.all([pool.health, pool.health, pool.health], { concurrency: 3 })
        assert.strictEqual(health._tag, "Unreachable")
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(proxy.accepted, 2)
    }))

  it.scoped("a wrong password is a cause, and it is not in it", () =>
    Effect.gen(function*() {
      const url = new URL(Redacted.value(serverUrl))
      url.password = "secret-that-is-wrong"
      const { pool } = yield* makePool({ url: Redacted.make(url.href) })
      const health = yield* pool.health
      assert.strictEqual(health._tag, "Unreachable")
      if (health._tag !== "Unreachable") return
      assert.strictEqual(codeOf(health.cause), "28P01")
      assert.notInclude(JSON.stringify(health) + String(health.cause), "secret-that-is-wrong")
    }))

  it.scoped("a server that is stopped, and started again", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      const { pool, sql } = yield* makePool({ url: Redacted.make(server.url) })
      yield* sql`SELECT 1`
      assert.deepStrictEqual(yield* pool.health, up)
      yield* TestClock.adjust(1234)
      yield* server.stop()
      yield* eventually(pool.stats, ({ size }) => size === 0)
      // The last answer is young, but its session is gone.
      const health = yield* pool.health
      assert.deepInclude(health, { _tag: "Unreachable", since: 1234 })
      assert.strictEqual(codeOf(health._tag === "Unreachable" && health.cause), "ECONNREFUSED")
      yield* server.start
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(yield* pool.health, up)
    }), 60_000)

  it.scoped("R14: a server that falls silent: an answer within a second, then one session shows that it is back", () =>
    Effect.gen(function*() {
      const { pool, proxy, sql } = yield* makeBehindProxy()
      yield* sql`SELECT 1`
      proxy.blackhole()
      yield* TestClock.adjust(5000)
      const health = yield* pool.health
      assert.strictEqual(health._tag, "Unreachable")
      assert.include(String(health._tag === "Unreachable" && health.cause), "within a second")
      // The next one waits for the dial that is under way.
      assert.strictEqual((yield* pool.health)._tag, "Unreachable")
      assert.strictEqual(proxy.accepted, 2)
      proxy.heal()
      proxy.reset()
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(yield* pool.health, up)
    }))

  it.scoped("a session that is half open is no reason to call the server unreachable", () =>
    Effect.gen(function*() {
      const { pool, proxy, sql } = yield* makeBehindProxy()
      yield* sql`SELECT 1`
      proxy.halfOpen()
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(yield* pool.health, up)
      assert.strictEqual(proxy.accepted, 2)
    }))

  it.scoped("full: the queue is not entered, and does not refuse who asks", () =>
    Effect.gen(function*() {
      const { pool } = yield* makeBehindProxy({ maxsize: 1, maxoverflow: 1, maxWaiting: 1, acquireTimeout: "1 hour" })
      const gate = yield* Effect.makeLatch()
      const holder = yield* Effect.fork(pool.use(() => gate.await))
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      assert.deepStrictEqual(yield* pool.health, up)
      const waiter = yield* Effect.fork(pool.use(() => Effect.void))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      // All sessions are in use, and none has been heard of for so long: one is dialled beside the pool.
      yield* TestClock.adjust(6000)
      assert.deepStrictEqual(yield* pool.health, { _tag: "Full", oldestWait: 6000 })
      assert.deepInclude(yield* pool.stats, { waiting: 1 })
      yield* gate.open
      yield* Fiber.join(Fiber.zip(holder, waiter))
      assert.deepStrictEqual(yield* pool.health, up)
    }))

  it.scoped("a server that has no room for one more session is well, if the pool has some", () =>
    Effect.gen(function*() {
      const admin = yield* watch()
      const role = uniqueName()
      yield* Effect.acquireRelease(
        admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'once' CONNECTION LIMIT 1`),
        () => admin.query(`DROP ROLE ${role}`)
      )
      const url = new URL(Redacted.value(serverUrl))
      Object.assign(url, { username: role, password: "once" })
      const { pool, sql, close } = yield* makePool({ url: Redacted.make(url.href) })
      yield* pool.use(() =>
        Effect.zipRight(TestClock.adjust(6000), Effect.map(pool.health, (it) => assert.deepEqual(it, up)))
      )
      // Without one of its own it can't serve anybody.
      const other = yield* makePool({ url: Redacted.make(url.href) })
      const health = yield* other.pool.health
      assert.strictEqual(health._tag, "Unreachable")
      assert.strictEqual(codeOf(health._tag === "Unreachable" && health.cause), "53300")
      yield* pidOf(sql)
      yield* close
    }))

  it.scoped("suspended, draining and closed are said without a word to the server", () =>
    Effect.gen(function*() {
      const { close, pool } = yield* makePool()
      const proxied = yield* makeBehindProxy()
      yield* pool.suspend
      assert.deepStrictEqual(yield* pool.health, { _tag: "Suspended" })
      yield* pool.resume
      assert.deepStrictEqual(yield* pool.health, up)
      yield* pool.drain
      assert.deepStrictEqual(yield* pool.health, { _tag: "Draining" })
      yield* close
      assert.deepStrictEqual(yield* pool.health, { _tag: "Draining" })
      yield* proxied.pool.drain
      assert.deepStrictEqual(yield* proxied.pool.health, { _tag: "Draining" })
      assert.strictEqual(proxied.proxy.accepted, 0)
    }))

  it.scoped("R12: who is interrupted takes the dial along; with a closed pool nothing is left", () =>
    Effect.gen(function*() {
      const { pool, proxy } = yield* makeBehindProxy()
      proxy.blackhole()
      const fiber = yield* Effect.fork(pool.health)
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 1)
      yield* Fiber.interrupt(fiber)
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
      const other = yield* makePool({ url: proxy.url })
      assert.strictEqual((yield* Effect.uninterruptible(other.pool.health))._tag, "Unreachable")
      assert.strictEqual(proxy.open, 1)
      yield* other.close
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
    }))
})
