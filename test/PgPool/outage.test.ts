import { SqlError } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Redacted, Scope, Stream } from "effect"
import type { PoolError } from "effect-pgpool"
import { PgError, PgPool } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import { causeTagOf, codeOf, eventually, makePool, pause, pidOf, promptly, serverUrl } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"
import { withLogs } from "../support/testPool.js"

const changed = (change: (url: URL) => void) => {
  const url = new URL(Redacted.value(serverUrl))
  change(url)
  return Redacted.make(url.href)
}

describe("R18: the server is away", () => {
  it.scopedLive("R1: the layer is built while the server is down, and serves when it is up", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      yield* server.stop()
      const context = yield* Layer.build(PgPool.layer({ url: Redacted.make(server.url) }))
      const sql = Context.get(context, PgClient.PgClient)
      const pool = Context.get(context, PgPool.PgPool)
      const early = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* eventually(pool.stats, ({ closed }) => closed.failed > 0)
      yield* server.start
      assert.deepStrictEqual(yield* Fiber.join(early), [{ one: 1 }])
    }))

  it.scopedLive("R18: the second incident: a restart soon after a refused password is in the log as well", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const server = yield* Postgres.start()
        let password = "wrong"
        const { pool, sql } = yield* makePool({
          name: "test",
          url: Redacted.make(server.url),
          password: Effect.sync(() => Redacted.make(password))
        })
        yield* Effect.flip(sql`SELECT 1`)
        password = "postgres"
        yield* eventually(Effect.option(sql`SELECT 1`), Option.isSome)
        yield* server.stop()
        yield* eventually(pool.stats, ({ size }) => size === 0)
        const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
        yield* eventually(Effect.sync(() => logs), (logs) => logs.some((line) => line.includes("ECONNREFUSED")))
        yield* server.start
        assert.deepStrictEqual(yield* Fiber.join(caller), [{ one: 1 }])
        yield* eventually(Effect.sync(() => logs), (logs) => logs.at(-1)!.startsWith("INFO"))
        assert.match(logs[0], /^WARN test: Connects fail, .*: Failed to connect: password authentication failed/)
        assert.match(logs.at(-1)!, /^INFO test: Connects succeed again: \d+ had failed in /)
        assert.isTrue(areAll(logs, (line) => !line.includes("\n")))
      })
    ))

  it.scopedLive("R18: waiting callers outlive a restart, and what is busy fails typed", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      const { pool, sql } = yield* makePool({ url: Redacted.make(server.url), maxsize: 2, maxoverflow: 3 })
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.05)`, 2), { concurrency: 2 })
      for (const mode of ["fast", "immediate"] as const) {
        const busy = yield* Effect.fork(Effect.flip(sql`SELECT pg_sleep(60)`))
        yield* eventually(pool.stats, ({ busy }) => busy === 1)
        yield* pause(100)
        yield* server.stop(mode)
        assert.instanceOf(yield* Fiber.join(busy), SqlError.SqlError)
        // Its sockets have told so: no caller gets a dead connection.
        yield* eventually(pool.stats, ({ size }) => size === 0)
        const callers = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          (n) => Effect.fork(n % 2 === 0 ? sql`SELECT 1` : sql.withTransaction(sql`SELECT 1`))
        )
        yield* eventually(pool.stats, ({ waiting }) => waiting === 20)
        yield* pause(300)
        yield* server.start
        yield* Fiber.joinAll(callers)
      }
    }))

  it.scopedLive("R18: an outage that lasts fails its callers after outageTimeout, with the last connect error and the pool's counts", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      yield* server.stop()
      const { sql } = yield* makePool({
        url: Redacted.make(server.url),
        maxwait: 10,
        acquireTimeout: 50,
        outageTimeout: 400
      })
      const started = Date.now()
      const error = yield* Effect.flip(sql`SELECT 1`)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "PoolExhausted")
      assert.strictEqual(codeOf((error.cause as PoolError.PoolExhausted).cause), "ECONNREFUSED")
      assert.match(error.message, /outageTimeout: 400 ms.*ECONNREFUSED.*0 busy, 0 idle.*maxoverflow 20/)
      assert.isTrue(PgError.isRetryable(error))
      assert.isAtLeast(Date.now() - started, 350)
    }))

  it.scopedLive("R18: a connection that is lost in its settings or in onConnect is a connect that is tried again", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const onConnect: PgPool.PgPoolOptions["onConnect"] = (connection) =>
        connection.executeRaw("SET work_mem = '3MB'", [])
      for (const [mark, option] of [["lock_timeout", { lockTimeout: 1000 }], ["work_mem", { onConnect }]] as const) {
        const { sql } = yield* makePool({ url: proxy.url, ...option })
        proxy.onRequest = (chunk) => {
          if (!chunk.includes(mark)) return
          proxy.onRequest = () => {}
          proxy.reset()
        }
        assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      }
    }))

  it.scopedLive("R18: a full server is a lower limit: all are served by the connections that there are", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start({
        parameters: { max_connections: "4", superuser_reserved_connections: "0" }
      })
      const { pool, sql } = yield* makePool({ url: Redacted.make(server.url), maxsize: 10, connectConcurrency: 10 })
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.1)`, 30), { concurrency: "unbounded" })
      assert.isAtMost((yield* pool.stats).opened, 4)
    }))

  it.scopedLive("R18: when a full server has room again the pool grows to what is wanted", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start({
        parameters: { max_connections: "6", superuser_reserved_connections: "0" }
      })
      const others = yield* makePool({ url: Redacted.make(server.url) })
      const scope = yield* Scope.make()
      yield* Effect.all(Effect.replicate(Scope.extend(others.pool.get, scope), 4), { concurrency: 4 })
      const { pool, sql } = yield* makePool({ url: Redacted.make(server.url), maxsize: 6, maxoverflow: 6 })
      const callers = yield* Effect.forkScoped(
        Effect.all(Effect.replicate(Effect.forever(sql`SELECT pg_sleep(0.02)`), 6), { concurrency: 6 })
      )
      yield* eventually(pool.stats, ({ busy, closed }) => busy === 2 && closed.failed > 0)
      yield* others.close
      yield* eventually(pool.stats, ({ busy }) => busy === 6)
      yield* Fiber.interrupt(callers)
    }))
})

describe("R18: failures that time does not heal", () => {
  it.scopedLive("R18: a wrong password fails at once, with the server's words", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ url: changed((url) => url.password = "s3cret") })
      for (const use of [sql`SELECT 1`, sql.withTransaction(Effect.void), Stream.runDrain(sql`SELECT 1`.stream)]) {
        const error = yield* promptly(Effect.flip(use as Effect.Effect<unknown, SqlError.SqlError>))
        assert.instanceOf(error, SqlError.SqlError)
        assert.strictEqual(codeOf(error), "28P01")
        assert.include(error.message, "password authentication failed")
        assert.notInclude(`${error.message} ${JSON.stringify(error)} ${String(error)}`, "s3cret")
      }
    }))

  it.scopedLive("R18: credentials that are refused are not tried again by each caller", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ url: changed((url) => url.password = "wrong"), connectConcurrency: 1 })
      const started = Date.now()
      for (let i = 0; i < 200; i++) {
        const error = yield* Effect.flip(sql`SELECT 1`)
        assert.strictEqual(codeOf(error), "28P01")
        assert.isFalse(PgError.isRetryable(error))
      }
      assert.isAtMost((yield* pool.stats).closed.failed, 1 + (Date.now() - started) / 500)
    }))

  it.scopedLive("R18: where good connections are open nobody hears of it", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      let password = new URL(server.url).password
      const { pool, sql } = yield* makePool({
        url: Redacted.make(server.url),
        password: Effect.sync(() => Redacted.make(password))
      })
      yield* sql`SELECT 1`
      password = "wrong"
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.05)`, 10), { concurrency: "unbounded" })
      assert.deepInclude(yield* pool.stats, { opened: 1, acquired: 11 })
    }))

  it.scopedLive("R18: a database that is not there fails at once, with its name", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ url: changed((url) => url.pathname = "/nowhere") })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.strictEqual(codeOf(error), "3D000")
      assert.include(error.message, "nowhere")
    }))

  it.scopedLive("R18: a password that can't be had fails at once, with its reason", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ password: Effect.fail("the vault is shut") })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.instanceOf(error, SqlError.SqlError)
      assert.include(error.message, "the vault is shut")
    }))

  it.scopedLive("R18: TLS where the server has none fails at once", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ ssl: true })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.instanceOf(error, SqlError.SqlError)
      assert.include(error.message, "SSL")
    }))
})

describe("R24: a server that says nothing", () => {
  it.scopedLive("R6: a dial ends at connectTimeout, its socket is closed, and the next one may succeed", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const { pool, sql } = yield* makePool({ url: proxy.url, connectTimeout: 200 })
      const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* eventually(pool.stats, ({ closed }) => closed.failed >= 2)
      assert.isAtMost(proxy.open, 1)
      proxy.heal()
      assert.deepStrictEqual(yield* Fiber.join(caller), [{ one: 1 }])
    }))

  it.scopedLive("R24: its callers fail in the end, and say why", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const { sql } = yield* makePool({
        url: proxy.url,
        connectTimeout: 100,
        acquireTimeout: 300,
        outageTimeout: 300
      })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(causeTagOf(error), "PoolExhausted")
      assert.include(error.message, "connectTimeout")
    }))

  it.scopedLive("R12: a caller that waits for it can be interrupted at once", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const { pool, sql } = yield* makePool({ url: proxy.url })
      const uses: ReadonlyArray<Effect.Effect<unknown, unknown, Scope.Scope>> = [
        sql`SELECT 1`,
        sql.reserve,
        sql.withTransaction(Effect.void),
        Stream.runDrain(sql`SELECT 1`.stream)
      ]
      const fibers = yield* Effect.forEach(uses, (use) => Effect.fork(Effect.scoped(use)))
      yield* eventually(pool.stats, ({ waiting }) => waiting === uses.length)
      for (const fiber of fibers) assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(fiber))))
    }))
})

describe("R18: eager and warm", () => {
  it.scopedLive("eager connects while the layer is built", () =>
    Effect.gen(function*() {
      const { pool, sessions, sql } = yield* makePool({ eager: true })
      const [{ pid }] = yield* sessions
      assert.deepInclude(yield* pool.stats, { idle: 1, opened: 1 })
      assert.strictEqual(yield* pidOf(sql), pid)
    }))

  it.scopedLive("eager fails within connectTimeout where the server is down, silent or refuses", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      yield* server.stop()
      const silent = yield* Proxy.start(serverUrl)
      silent.blackhole()
      const urls = [
        Redacted.make(server.url),
        silent.url,
        changed((url) => url.password = "wrong"),
        changed((url) => url.pathname = "/nowhere")
      ]
      for (const url of urls) {
        const build = Effect.scoped(Layer.build(PgPool.layer({ url, eager: true, connectTimeout: 300 })))
        assert.instanceOf(yield* promptly(Effect.flip(build)), SqlError.SqlError)
        assert.instanceOf(yield* promptly(Effect.uninterruptible(Effect.flip(build))), SqlError.SqlError)
      }
    }))

  it.scopedLive("warm opens its connections in the background", () =>
    Effect.gen(function*() {
      const { pool, until } = yield* makePool({ warm: 3, maxsize: 4 })
      yield* until((sessions) => sessions.length === 3)
      yield* eventually(pool.stats, ({ idle }) => idle === 3)
    }))
})
