import { Statement } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Option, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { Socket } from "node:net"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import { causeTagOf, eventually, makePool, makeTable, pause, promptly, serverUrl } from "../support/pgPool.js"

describe("R15: a lease that has ended", () => {
  it.scopedLive("what waited in it for a cancel to settle is never sent", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const table = yield* makeTable()
      for (let id = 0; id < 10; id++) {
        const late = yield* Effect.scoped(Effect.gen(function*() {
          const connection = yield* sql.reserve
          const sleeper = yield* Effect.fork(connection.execute("SELECT pg_sleep(10)", [], undefined))
          yield* pause(20)
          yield* Fiber.interrupt(sleeper)
          const late = yield* Effect.forkDaemon(connection.executeRaw("BEGIN", []))
          yield* Effect.yieldNow()
          return late
        }))
        yield* sql.unsafe(`INSERT INTO ${table.name} VALUES (${id})`)
        const error = yield* promptly(Effect.flip(Fiber.join(late)))
        assert.include(String(error.cause), "given back")
      }
      assert.deepStrictEqual(yield* table.ids, Array.from({ length: 10 }, (_, id) => id))
    }))

  it.scopedLive("a stream that waited in it for a cancel to settle is never sent", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const sent: Array<string> = []
      proxy.onRequest = (chunk) => sent.push(chunk.toString("latin1"))
      const late = yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        const sleeper = yield* Effect.fork(connection.execute("SELECT pg_sleep(10)", [], undefined))
        yield* pause(20)
        proxy.delay = 100
        yield* Fiber.interrupt(sleeper)
        const rows = connection.executeStream("SELECT 1 AS too_late", [], undefined)
        const late = yield* Effect.forkDaemon(Stream.runDrain(rows))
        yield* pause(20)
        return late
      }))
      assert.strictEqual(causeTagOf(yield* promptly(Effect.flip(Fiber.join(late)))), "LeaseEnded")
      yield* sql`SELECT 1`
      assert.isEmpty(sent.filter((text) => text.includes("too_late")))
    }))

  it.scopedLive("a session that its borrower has ended is lent to nobody", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      yield* pool.use((connection) => Effect.sync(() => void connection.pg.end()))
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      assert.deepInclude(yield* pool.stats, { opened: 2 })
    }))

  it.scopedLive("it is dead as well after a callback that threw", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      let leaked: PgPool.PgConnection | undefined
      yield* Effect.exit(pool.use((connection): Effect.Effect<void> => {
        leaked = connection
        throw new Error("a bug")
      }))
      assert.isTrue(Exit.isFailure(yield* promptly(Effect.exit(leaked!.executeRaw("BEGIN", [])))))
      assert.deepStrictEqual(yield* pool.use((connection) => connection.executeValues("SELECT 1", [])), [[1]])
    }))
})

describe("R23: a statement that is none", () => {
  const none = undefined as unknown as string

  it.scopedLive("it gives the turn back", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ maxsize: 1, maxoverflow: 1, prepare: true })
      const connection = yield* pool.get
      assert.isTrue(Exit.isFailure(yield* Effect.exit(promptly(connection.executeRaw(none, [])))))
      assert.deepStrictEqual(yield* promptly(connection.execute("SELECT 1 AS one", [], undefined)), [{ one: 1 }])
    }))

  for (const options of [{}, { prepare: true }, { multiplex: true }]) {
    it.scopedLive(`of a transformer, alone and behind another one, with ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, ...options })
        const bad = compiledAs([none, [1]])(sql`SELECT 1`)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(promptly(bad))))
        const innocent = yield* Effect.fork(sql`SELECT pg_sleep(0.1)`)
        yield* Effect.sleep(20)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(promptly(bad))))
        yield* Fiber.join(innocent)
        assert.deepStrictEqual(yield* promptly(sql`SELECT ${1}::integer AS one`), [{ one: 1 }])
        assert.strictEqual((yield* pool.stats).busy, 0)
      }))

    it.scopedLive(`without values it is one, with ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, ...options })
        const statement = compiledAs(["SELECT 1 AS one"])
        assert.deepStrictEqual(yield* promptly(statement(sql`SELECT 2`)), [{ one: 1 }])
        assert.deepStrictEqual(yield* promptly(pool.withConnection(statement(sql`SELECT 2`))), [{ one: 1 }])
        const values = yield* promptly(statement(sql`SELECT 2`.values))
        assert.deepStrictEqual(values, [[1]])
        for (const none of [undefined, null]) {
          const statement = compiledAs(["SELECT 1 AS one", none])
          assert.deepStrictEqual(yield* promptly(statement(sql`SELECT 2`)), [{ one: 1 }])
          const rows = statement(Stream.runCollect(sql`SELECT 2`.stream))
          assert.deepStrictEqual(Chunk.toReadonlyArray(yield* promptly(rows)), [{ one: 1 }])
          assert.deepStrictEqual(Chunk.toReadonlyArray(yield* promptly(sql.withTransaction(rows))), [{ one: 1 }])
        }
      }))
  }
})

/** Runs statements as if they were compiled to that. */
const compiledAs = (compiled: ReadonlyArray<unknown>) =>
  Statement.withTransformer((self) =>
    Effect.succeed(Object.assign(Object.create(self), { compile: () => compiled }) as typeof self)
  )

describe("R24: a socket that says nothing", () => {
  for (const when of ["BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"] as const) {
    it.scopedLive(`queryTimeout holds for ${when}`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        const { sql } = yield* makePool({ url: proxy.url, queryTimeout: 200, cleanupTimeout: 200 })
        yield* sql`SELECT 1`
        proxy.onRequest = (chunk) => chunk.includes(when) ? proxy.blackhole() : undefined
        const inner = sql.withTransaction(sql`SELECT 1`)
        const error = yield* promptly(Effect.flip(sql.withTransaction(inner)))
        assert.strictEqual(causeTagOf(error), when === "COMMIT" ? "CommitOutcomeUnknown" : "NotCommitted")
        proxy.heal()
      }))
  }

  it.scopedLive("queryTimeout holds where nothing can be interrupted, as in a finaliser", () =>
    Effect.gen(function*() {
      const { sql, until } = yield* makePool({ queryTimeout: 200, cleanupTimeout: "10 seconds" })
      const sleep = Effect.exit(sql`SELECT pg_sleep(60)`)
      assert.isTrue(Exit.isFailure(yield* promptly(Effect.uninterruptible(sleep))))
      yield* promptly(Effect.scoped(Effect.addFinalizer(() => sleep)))
      yield* until((sessions) => areAll(sessions, ({ state }) => state === "idle"))
    }))

  it.scopedLive("a caller's own deadline is kept in nested transactions", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, cleanupTimeout: "10 seconds" })
      const silent = Effect.zipRight(Effect.sync(() => proxy.blackhole()), sql`SELECT 1`)
      const nested = sql.withTransaction(sql.withTransaction(sql.withTransaction(silent)))
      assert.isTrue(Option.isNone(yield* promptly(Effect.timeoutOption(nested, 100))))
    }))

  it.scopedLive("when the pool has closed no socket is left, not even that of a cancel", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const sockets: Array<Socket> = []
      const stream = () => {
        const socket = new Socket()
        sockets.push(socket)
        return socket
      }
      const { close, sql, until } = yield* makePool({ url: proxy.url, stream, closeTimeout: 100, cleanupTimeout: 1000 })
      yield* Effect.fork(Effect.exit(sql`SELECT pg_sleep(60)`))
      yield* until(([session]) => session?.wait_event === "PgSleep")
      proxy.blackhole()
      yield* promptly(close)
      assert.deepStrictEqual(sockets.map(({ destroyed }) => destroyed), [true, true])
    }))

  it.scopedLive("a listener on it can be begun and ended", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql } = yield* makePool({ url: proxy.url, cleanupTimeout: 200 })
      const first = yield* Effect.fork(Stream.runDrain(sql.listen("a")))
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 1)
      yield* pause(100)
      proxy.blackhole()
      yield* promptly(Effect.exit(Effect.timeout(Stream.runDrain(sql.listen("b")), 100)))
      yield* promptly(Fiber.interrupt(first))
    }))
})

describe("R15: what would end the process", () => {
  it.scopedLive("a getTypeParser that throws is a typed failure", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({
        types: {
          getTypeParser: () => {
            throw new Error("no parser")
          }
        }
      })
      const failing = { query: sql`SELECT 1`, stream: Stream.runDrain(sql`SELECT 1`.stream) }
      for (const effect of Object.values<Effect.Effect<unknown, unknown>>(failing)) {
        assert.isTrue(Exit.isFailure(yield* promptly(Effect.exit(effect))))
      }
      assert.isTrue(Exit.isFailure(yield* promptly(Effect.exit(sql.withTransaction(failing.stream)))))
    }))

  for (
    const [option, value] of [
      ["url", Redacted.make("nonsense")],
      ["url", Redacted.make("mysql://localhost/x")],
      ["username", {}],
      ["applicationName", 5],
      ["path", 5],
      ["types", 5],
      ["onConnect", Effect.void],
      ["stream", "tcp"],
      ["statementTimeout", "30 days"]
    ] as const
  ) {
    it.scopedLive(`${option} of the wrong kind is a bad option: ${String(value)}`, () =>
      Effect.gen(function*() {
        const cause = yield* Effect.flip(Effect.sandbox(makePool({ [option]: value } as PgPool.PgPoolOptions)))
        assert.match(Cause.pretty(cause), new RegExp(`${option}: .* is not allowed, it must be `))
      }))
  }
})
