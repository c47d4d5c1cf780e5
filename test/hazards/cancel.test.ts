import type { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { atOnce, hazard, makeClient, onUnixSocket, open, range, runTogether, timesOut } from "../support/hazards.js"
import type { Client } from "../support/hazards.js"
import { isSleeping, pause, serverUrl } from "../support/pgPool.js"
import { startWithTls } from "../support/sockets.js"

const sleep = (sql: PgClient.PgClient) => sql`SELECT pg_sleep(60)`

describe("a cancel goes through the same pool: a timeout is late, and the query runs on", () => {
  hazard("a timeout is kept while connections are idle, and on the last one", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 2 })
      yield* open(client, 2)
      yield* timesOut(client, sleep(client.sql))
      yield* client.sql.reserve
      yield* timesOut(client, sleep(client.sql))
      yield* timesOut(client, client.sql`SELECT pg_sleep(${60})`)
    }))

  hazard("a timeout is kept while callers wait, and they are served", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 1 })
      const { sql, until } = client
      yield* open(client, 1)
      const sleeper = yield* Effect.fork(timesOut(client, sleep(sql)))
      yield* until((sessions) => sessions.some(isSleeping))
      const impatient = yield* Effect.fork(timesOut(client, sql`SELECT 1, pg_sleep(60)`))
      const patient = yield* Effect.fork(Effect.forEach(range(3), () => sql`SELECT 1`, { concurrency: "unbounded" }))
      yield* Fiber.join(sleeper)
      yield* Fiber.join(impatient)
      yield* atOnce(Fiber.join(patient))
    }))

  const places: Record<string, (sql: PgClient.PgClient) => Effect.Effect<unknown, SqlError>> = {
    "in a transaction": (sql) => sql.withTransaction(sleep(sql)),
    "in a stream": (sql) => Stream.runDrain(sleep(sql).stream),
    "in a stream of a transaction": (sql) => sql.withTransaction(Stream.runDrain(sleep(sql).stream)),
    "on a reserved connection": (sql) =>
      Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) => connection.execute("SELECT pg_sleep(60)", [], undefined))
      )
  }
  for (const [place, use] of Object.entries(places)) {
    hazard(`a timeout is kept on the last connection ${place}`, () =>
      Effect.gen(function*() {
        const client = yield* makeClient({ connections: 1 })
        yield* open(client, 1)
        yield* timesOut(client, use(client.sql))
        yield* runTogether(client, 1)
      }))
  }

  hazard("a timeout is kept over a Unix socket", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 1, ...(yield* onUnixSocket) })
      yield* open(client, 1)
      yield* timesOut(client, sleep(client.sql))
      yield* runTogether(client, 1)
    }), "20 seconds")

  hazard("a timeout is kept over TLS", () =>
    Effect.gen(function*() {
      const server = yield* startWithTls()
      const client = yield* makeClient({
        connections: 1,
        url: Redacted.make(`${server.url}?sslmode=no-verify`),
        watched: Redacted.make(server.url)
      })
      yield* open(client, 1)
      yield* timesOut(client, sleep(client.sql))
      yield* runTogether(client, 1)
    }), "20 seconds")
})

describe("a late cancel kills another borrower's query", () => {
  hazard("none of the innocent is hit, also where a query ends while its cancel travels", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 2 })
      const { sql, until } = client
      yield* open(client, 2)
      // Where the cancel has to wait for a connection, it waits for this one.
      const holder = yield* Effect.fork(sql`SELECT pg_sleep(0.8)`)
      const late = yield* Effect.fork(Effect.timeoutOption(sql`SELECT pg_sleep(0.4)`, "200 millis"))
      yield* until((sessions) => sessions.filter(isSleeping).length === 2)
      yield* sql`SELECT pg_sleep(1.2)`
      yield* Fiber.join(holder)
      assert.isTrue(Option.isNone(yield* Fiber.join(late)))
      // Hundreds whose deadlines are at about their ends, and as many that have none.
      const timed = Effect.forEach(
        range(300),
        (n) => Effect.timeoutOption(sql`SELECT pg_sleep(0.02)`, 15 + n % 15),
        { concurrency: 4 }
      )
      const innocent = Effect.forEach(
        range(300),
        (n) => Effect.map(sql`SELECT ${n}::integer AS n, pg_sleep(0.005)`, ([row]) => assert.strictEqual(row.n, n)),
        { concurrency: 4 }
      )
      const [results] = yield* Effect.all([timed, innocent], { concurrency: 2 })
      assert.isAbove(results.filter(Option.isNone).length, 20)
    }), "25 seconds")
})

describe("an interrupted wait in reserve or a stream loses the connection for ever", () => {
  const waits: Record<string, (sql: PgClient.PgClient) => Effect.Effect<unknown, SqlError, Scope.Scope>> = {
    "in reserve": (sql) => sql.reserve,
    "in a stream": (sql) => Stream.runDrain(sql`SELECT 1`.stream)
  }
  for (const [place, wait] of Object.entries(waits)) {
    hazard(`after 12 interrupted waits ${place} the full pool is usable`, () =>
      Effect.gen(function*() {
        const client = yield* makeClient({ connections: 3 })
        yield* whileFull(
          client,
          3,
          Effect.gen(function*() {
            const waiters = yield* Effect.forEach(range(12), () => Effect.fork(Effect.scoped(wait(client.sql))))
            yield* pause(100)
            for (const waiter of waiters) assert.isTrue(Exit.isInterrupted(yield* atOnce(Fiber.interrupt(waiter))))
          })
        )
        yield* runTogether(client, 3)
      }))
  }
})

/** Runs an effect while all connections are held by somebody else. */
const whileFull = <A, E, R>({ sql }: Client, connections: number, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const release = yield* Deferred.make<void>()
    const held = yield* Effect.forEach(range(connections), () => Deferred.make<void>())
    const holders = yield* Effect.forEach(held, (isHeld) =>
      Effect.fork(Effect.scoped(
        sql.reserve.pipe(Effect.zipRight(Deferred.succeed(isHeld, undefined)), Effect.zipRight(Deferred.await(release)))
      )))
    yield* Effect.forEach(held, Deferred.await)
    const result = yield* effect
    yield* Deferred.succeed(release, undefined)
    yield* Fiber.joinAll(holders)
    return result
  })

describe("withTransaction can't be interrupted while it waits for a connection", () => {
  hazard("it can, while the pool is full", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 1 })
      yield* whileFull(
        client,
        1,
        Effect.gen(function*() {
          const waiter = yield* Effect.forkDaemon(client.sql.withTransaction(Effect.void))
          yield* pause(100)
          assert.isTrue(Exit.isInterrupted(yield* atOnce(Fiber.interrupt(waiter))))
        })
      )
      yield* runTogether(client, 1)
    }))

  hazard("it can, while the server can't be reached", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const client = yield* makeClient({ url: proxy.url, connections: 2 })
      yield* client.sql.reserve
      // The next dial has no answer.
      proxy.blackhole()
      const waiter = yield* Effect.forkDaemon(client.sql.withTransaction(Effect.void))
      yield* pause(100)
      assert.isTrue(Exit.isInterrupted(yield* atOnce(Fiber.interrupt(waiter))))
    }))
})
