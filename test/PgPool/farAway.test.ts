import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { Reach } from "../../src/internal/pool/reach.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import { eventually, isSleeping, makePool, pause, serverUrl } from "../support/pgPool.js"

describe("R17, R24: a server that is far away", () => {
  it("has as long for its clean-up as half as much again as a connect takes, but for what the user has set", () => {
    const reach = new Reach({ millis: 500, isSet: false })
    assert.deepStrictEqual([reach.cleanupTimeout, reach.youngFor], [500, 800])
    reach.connected(2000)
    assert.deepStrictEqual([reach.cleanupTimeout, reach.youngFor], [3000, 3000])
    // What took longer met with something.
    reach.connected(4000)
    assert.deepStrictEqual([reach.cleanupTimeout, reach.youngFor], [3000, 3000])
    reach.connected(10)
    assert.deepStrictEqual([reach.cleanupTimeout, reach.youngFor], [500, 800])
    for (let i = 0; i < 4; i++) reach.connected(2000)
    assert.deepStrictEqual([reach.cleanupTimeout, reach.youngFor], [3000, 3000])
    const set = new Reach({ millis: 200, isSet: true })
    set.connected(2000)
    assert.deepStrictEqual([set.cleanupTimeout, set.youngFor], [200, 3000])
  })

  // A way there and back takes longer than a ping, a rollback or a cancel has near by.
  it.scopedLive("keeps its sessions: a ping, a rollback and a cancel are waited for", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql, until } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, validateAfterIdle: 1 })
      proxy.delay = 300
      yield* sql`SELECT 1`
      yield* pause(20)
      yield* sql`SELECT 2`
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`SELECT 3`, Effect.fail("no"))))
      const sleeper = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
      yield* until((sessions) => sessions.some(isSleeping))
      yield* Fiber.interrupt(sleeper)
      yield* eventually(pool.stats, ({ idle }) => idle === 1)
      assert.deepInclude(yield* pool.stats, { opened: 1, size: 1 })
      assert.strictEqual(proxy.accepted, 2)
    }))

  it.scopedLive("R6: is not dialled again and again for each caller, once it is known how far away it is", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql } = yield* makePool({ url: proxy.url, maxoverflow: 10, validateAfterIdle: "1 hour" })
      proxy.delay = 300
      yield* sql`SELECT 1`
      const { idle } = yield* eventually(pool.stats, ({ opening }) => opening === 0)
      const before = proxy.accepted
      // One more than there are connections causes a connect, of which it waits for the end.
      const callers = Array.from({ length: idle + 1 }, () => Effect.exit(sql`SELECT pg_sleep(3)`))
      assert.isTrue(areAll(yield* Effect.all(callers, { concurrency: "unbounded" }), Exit.isSuccess))
      assert.isAtMost(proxy.accepted - before, 1)
    }))

  it.scopedLive("keeps to what the user has set", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const options = { url: proxy.url, maxsize: 1, maxoverflow: 1, validateAfterIdle: 1, cleanupTimeout: 100 }
      const { pool, sql } = yield* makePool(options)
      proxy.delay = 150
      yield* sql`SELECT 1`
      yield* pause(20)
      const next = yield* Effect.fork(sql`SELECT 2`)
      yield* eventually(pool.stats, ({ closed }) => closed.dirty === 1)
      yield* Fiber.join(next)
    }))
})
