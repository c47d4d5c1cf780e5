import { SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Redacted, Stream } from "effect"
import { Socket } from "node:net"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import type { TestPool } from "../support/pgPool.js"
import {
  causeTagOf,
  eventually,
  isSleeping,
  makePool,
  makeTable,
  nobodySleeps,
  pidOf,
  promptly,
  serverUrl,
  watch
} from "../support/pgPool.js"
import { startOnUnixSocket, startWithTls } from "../support/sockets.js"

/** Interrupts `sleep` when the server is in it, and sees that the server leaves it long before its end. */
const cutOff = <A, E, R>({ until }: Pick<TestPool, "until">, sleep: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(sleep)
    yield* until((sessions) => sessions.some(isSleeping))
    const exit = yield* promptly(Fiber.interrupt(fiber))
    assert.isTrue(Exit.isInterrupted(exit))
    yield* until(nobodySleeps)
  })

const answersAll = (sql: PgClient.PgClient, count: number) =>
  Effect.gen(function*() {
    for (let n = 0; n < count; n++) {
      assert.deepStrictEqual(yield* sql`SELECT ${n}::integer AS n`, [{ n }])
      assert.deepStrictEqual(yield* sql.unsafe(`SELECT ${n} AS n`), [{ n }])
    }
  })

describe("R16: an interrupted statement", () => {
  const statements: Record<string, (sql: PgClient.PgClient) => Effect.Effect<unknown, unknown>> = {
    "by the simple protocol": (sql) => sql`SELECT pg_sleep(60)`,
    "by the extended protocol": (sql) => sql`SELECT pg_sleep(${60})`,
    "raw": (sql) => sql`SELECT pg_sleep(60)`.raw,
    "values": (sql) => sql`SELECT pg_sleep(60)`.values,
    "stream": (sql) => Stream.runDrain(sql`SELECT pg_sleep(60)`.stream),
    "of a stream's later page": (sql) =>
      Stream.runDrain(sql`SELECT n, CASE WHEN n = 300 THEN pg_sleep(60) END FROM generate_series(1, 400) n`.stream),
    "of a reserved connection": (sql) =>
      Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) => connection.execute("SELECT pg_sleep(60)", [], undefined))
      ),
    "stream of a reserved connection": (sql) =>
      Effect.scoped(Effect.flatMap(
        sql.reserve,
        (connection) => Stream.runDrain(connection.executeStream("SELECT pg_sleep(60)", [], undefined))
      )),
    "in a transaction": (sql) => sql.withTransaction(sql`SELECT pg_sleep(60)`),
    "in a nested transaction": (sql) => sql.withTransaction(sql.withTransaction(sql`SELECT pg_sleep(60)`)),
    "stream in a transaction": (sql) => sql.withTransaction(Stream.runDrain(sql`SELECT pg_sleep(60)`.stream))
  }
  for (const [name, statement] of Object.entries(statements)) {
    it.scopedLive(`R16: ${name}: the caller goes at once, the server stops, the connection is used again`, () =>
      Effect.gen(function*() {
        const test = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
        const pid = yield* pidOf(test.sql)
        for (let i = 0; i < 3; i++) {
          yield* cutOff(test, statement(test.sql))
          assert.strictEqual(yield* pidOf(test.sql), pid)
          yield* answersAll(test.sql, 5)
        }
        assert.deepInclude(yield* test.pool.stats, { idle: 1, size: 1, opened: 1 })
      }))
  }

  it.scopedLive("R16: while the pool is full and callers wait, the first of them is served", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const sleeper = yield* Effect.fork(test.sql`SELECT pg_sleep(60)`)
      yield* test.until((sessions) => sessions.some(isSleeping))
      const waiting = yield* Effect.fork(Effect.all([pidOf(test.sql), pidOf(test.sql)], { concurrency: 2 }))
      yield* eventually(test.pool.stats, ({ waiting }) => waiting === 2)
      yield* promptly(Fiber.interrupt(sleeper))
      assert.strictEqual(new Set(yield* Fiber.join(waiting)).size, 1)
      assert.strictEqual((yield* test.pool.stats).opened, 1)
    }))

  it.scopedLive("R16: the cancel never takes a connection of the pool", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 2, maxoverflow: 2, cleanupTimeout: "10 seconds" })
      const fibers = yield* Effect.forEach([1, 2], () => Effect.fork(test.sql`SELECT pg_sleep(60)`))
      yield* test.until((sessions) => sessions.filter(isSleeping).length === 2)
      yield* promptly(Fiber.interruptAll(fibers))
      yield* test.until(nobodySleeps)
      yield* eventually(test.pool.stats, ({ idle }) => idle === 2)
      assert.strictEqual((yield* test.pool.stats).opened, 2)
    }))

  it.scopedLive("R16: the connection serves nobody before the cancel has settled", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const pid = yield* pidOf(test.sql)
      // The request to cancel takes a while; the statement has ended long before.
      const fiber = yield* Effect.fork(test.sql`SELECT pg_sleep(0.3)`)
      yield* test.until((sessions) => sessions.some(isSleeping))
      proxy.delay = 300
      yield* promptly(Fiber.interrupt(fiber))
      const next = yield* Effect.fork(test.sql`SELECT pg_sleep(1)`)
      yield* Fiber.join(next)
      assert.strictEqual(yield* pidOf(test.sql), pid)
    }))

  it.scopedLive("R16: a connection whose cancel does not settle is destroyed after cleanupTimeout", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, cleanupTimeout: 200 })
      const pid = yield* pidOf(test.sql)
      const fiber = yield* Effect.fork(test.sql`SELECT pg_sleep(60)`)
      yield* test.until((sessions) => sessions.some(isSleeping))
      proxy.blackhole()
      yield* promptly(Fiber.interrupt(fiber))
      yield* eventually(test.pool.stats, ({ size }) => size === 0)
      proxy.heal()
      assert.notStrictEqual(yield* pidOf(test.sql), pid)
    }))

  it.scopedLive("R16: in a reserved connection what follows waits for the cancel, and is not hit", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 1, cleanupTimeout: "10 seconds" })
      const connection = yield* test.sql.reserve
      for (let i = 0; i < 30; i++) {
        const sleep = connection.execute(`SELECT pg_sleep(${(i % 5) * 0.004})`, [], undefined)
        yield* Effect.timeoutOption(sleep, "8 millis")
        assert.deepStrictEqual(yield* connection.execute("SELECT $1::integer AS i", [i], undefined), [{ i }])
      }
      assert.strictEqual((yield* test.pool.stats).opened, 1)
    }))

  it.scopedLive("R16: where no socket can be made for a cancel, the session is given up", () =>
    Effect.gen(function*() {
      let isBroken = false
      const stream = () => {
        if (isBroken) throw new Error("no socket today")
        return new Socket()
      }
      const { pool, sql } = yield* makePool({ stream })
      yield* pool.withConnection(Effect.gen(function*() {
        yield* sql`SELECT 1`
        isBroken = true
        yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, 200)
        assert.instanceOf(yield* promptly(Effect.flip(sql`SELECT 1`)), SqlError.SqlError)
      }))
      yield* eventually(pool.stats, ({ size }) => size === 0)
    }))

  it.scopedLive("R24: a stream that waits for a cancel on a dead socket can be interrupted at once", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url, maxsize: 1, cleanupTimeout: "10 seconds" })
      const connection = yield* test.sql.reserve
      const sleep = yield* Effect.fork(connection.execute("SELECT pg_sleep(60)", [], undefined))
      yield* test.until((sessions) => sessions.some(isSleeping))
      proxy.blackhole()
      yield* promptly(Fiber.interrupt(sleep))
      const rows = yield* Effect.fork(Stream.runDrain(connection.executeStream("SELECT 1", [], undefined)))
      yield* Effect.sleep("50 millis")
      yield* promptly(Fiber.interrupt(rows))
    }))
})

describe("R16: innocents", () => {
  it.scopedLive("R16: under heavy timeouts nobody is hit who did not time out", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 2, maxoverflow: 2, cleanupTimeout: "10 seconds" })
      let timedOut = 0
      yield* Effect.forEach(
        Array.from({ length: 400 }, (_, n) => n),
        (n) => {
          if (n % 2 === 0) {
            // No failure is allowed here.
            return Effect.map(test.sql<{ n: number }>`SELECT ${n}::integer AS n, pg_sleep(0.002)`, (rows) => {
              assert.strictEqual(rows[0].n, n)
            })
          }
          return test.pool.use((connection) =>
            connection.execute(`SELECT pg_sleep(${0.001 * (n % 10)})`, [], undefined).pipe(
              Effect.timeoutOption(n % 7),
              Effect.map((result) => {
                if (Option.isNone(result)) timedOut++
              })
            )
          )
        },
        { concurrency: 20, discard: true }
      )
      assert.isAbove(timedOut, 20)
      yield* eventually(test.pool.stats, ({ idle, size }) => idle === size)
      assert.isAtMost((yield* test.pool.stats).opened, 2)
    }))

  it.scopedLive("R16: streams that are left at any point leave a clean connection", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const pid = yield* pidOf(test.sql)
      for (let i = 0; i < 40; i++) {
        const rows = test.sql`SELECT n, pg_sleep(0.0001) FROM generate_series(1, 2000) n`.stream
        yield* Effect.timeoutOption(Stream.runDrain(rows), i)
        assert.deepStrictEqual(yield* test.sql`SELECT ${i}::integer AS i`, [{ i }])
        assert.deepStrictEqual(yield* test.sql.unsafe(`SELECT ${i} AS i; SELECT 2 AS j`), [[{ i }], [{ j: 2 }]])
      }
      assert.strictEqual(yield* pidOf(test.sql), pid)
    }))

  it.scopedLive("R16: streams of a transaction that are left at any point leave it usable or doomed, never mixed up", () =>
    Effect.gen(function*() {
      const test = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds" })
      const seen = { usable: 0, doomed: 0 }
      for (let i = 0; i < 30; i++) {
        yield* test.sql.withTransaction(Effect.gen(function*() {
          const rows = test.sql`SELECT n, pg_sleep(0.0001) FROM generate_series(1, 2000) n`.stream
          yield* Effect.timeoutOption(
            Stream.runDrain(i % 6 === 5 ? Stream.take(rows, i) : rows),
            i % 6 === 5 ? "1 minute" : i
          )
          const answer = yield* Effect.either(test.sql`SELECT ${i}::integer AS i`)
          if (answer._tag === "Right") {
            seen.usable++
            assert.deepStrictEqual(answer.right, [{ i }])
          } else assert.strictEqual(causeTagOf(answer.left), "TransactionDoomed")
        })).pipe(
          Effect.catchTag("SqlError", (error) =>
            Effect.sync(() => {
              seen.doomed++
              assert.include(error.message, "rolled back")
            }))
        )
        assert.deepStrictEqual(yield* test.sql`SELECT ${i}::integer AS i`, [{ i }])
      }
      assert.isAtLeast(seen.usable, 5)
      assert.isAbove(seen.doomed, 0)
      assert.strictEqual((yield* test.pool.stats).opened, 1)
    }))

  it.scopedLive("R16: an interrupted INSERT is there or not, and its connection works on", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const test = yield* makePool({ maxsize: 1, cleanupTimeout: "10 seconds" })
      const seen = { answered: 0, interrupted: 0 }
      // Longer and longer, and at once in between, until both have happened often enough.
      for (let id = 0; Math.min(seen.answered, seen.interrupted) < 8; id++) {
        const insert = test.sql`INSERT INTO ${test.sql(table.name)} (id) VALUES (${id})`
        const result = yield* Effect.timeoutOption(insert, id % 3 === 0 ? 0 : id / 4)
        if (Option.isNone(result)) seen.interrupted++
        else {
          seen.answered++
          assert.include(yield* table.ids, id)
        }
      }
      yield* answersAll(test.sql, 3)
    }))
})

/** Pools on a server of one's own, watched on that server. */
const onServer = (url: string, options: Parameters<typeof makePool>[0]) =>
  Effect.gen(function*() {
    const test = yield* makePool({ maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds", ...options })
    const server = yield* watch(Redacted.make(url))
    const pid = yield* pidOf(test.sql)
    yield* cutOff({ until: (holds) => server.until(test.app, holds) }, test.sql`SELECT pg_sleep(60)`)
    assert.strictEqual(yield* pidOf(test.sql), pid)
    return server
  })

describe("R16: the cancel goes where the session is", () => {
  it.scopedLive("R16: over a Unix socket", () =>
    Effect.gen(function*() {
      const { folder, port, url } = yield* startOnUnixSocket
      const credentials = { username: "postgres", password: Redacted.make("postgres"), database: "postgres" }
      for (const path of [folder, `${folder}/.s.PGSQL.${port}`]) {
        const server = yield* onServer(url, { url: undefined, path, port, ...credentials })
        const peers = yield* server.query(
          "SELECT client_addr FROM pg_stat_activity WHERE application_name LIKE 'test\\_%'"
        )
        assert.isTrue(areAll(peers, ({ client_addr }) => client_addr === null))
      }
    }))

  it.scopedLive("R16: over TLS, both ways to negotiate it", () =>
    Effect.gen(function*() {
      const { authority, port, url } = yield* startWithTls()
      const proxy = yield* Proxy.start(Redacted.make(url))
      const plainCancels: Array<Buffer> = []
      proxy.onRequest = (chunk) => {
        // CancelRequest: 80877102
        if (chunk.length === 16 && chunk.readInt32BE(4) === 80877102) plainCancels.push(chunk)
      }
      for (const query of ["", "&sslnegotiation=direct"]) {
        const server = yield* onServer(url, {
          url: Redacted.make(`postgres://postgres:postgres@127.0.0.1:${proxy.port}/postgres?sslmode=no-verify${query}`)
        })
        const [{ all }] = yield* server.query(
          "SELECT bool_and(ssl) AS all FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'test\\_%'"
        )
        assert.isTrue(all)
      }
      assert.deepStrictEqual(plainCancels, [])
      // The same by the option, with a certificate that is verified by the name of the host.
      yield* onServer(url, {
        url: Redacted.make(`postgres://postgres:postgres@localhost:${port}/postgres`),
        ssl: { ca: authority.cert }
      })
    }))
})
