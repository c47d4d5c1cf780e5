import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe } from "@effect/vitest"
import { Effect, Either, Fiber, Option, Stream } from "effect"
import { PgError } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import type { Client } from "../support/hazards.js"
import {
  describeOurs,
  failure,
  hazard,
  killSleeper,
  makeClient,
  onUnixSocket,
  open,
  range
} from "../support/hazards.js"
import { codeOf, isSleeping, makePool, makeTable, pause, pidOf, serverUrl, uniqueName } from "../support/pgPool.js"

describe("the next borrower gets an open transaction", () => {
  const left: Record<string, (table: string) => string> = {
    "an open transaction": (table) => `BEGIN; INSERT INTO ${table} (id) VALUES (1)`,
    "an aborted transaction": () => "BEGIN; SELECT 1 / 0"
  }
  for (const [name, text] of Object.entries(left)) {
    hazard(`${name} is rolled back`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makeClient({ connections: 1 })
        yield* Effect.scoped(Effect.flatMap(
          sql.reserve,
          (connection) => Effect.exit(connection.executeRaw(text(table.name), []))
        ))
        yield* sql`INSERT INTO ${sql(table.name)} (id) VALUES (2)`
        assert.deepStrictEqual(yield* table.ids, [2])
      }))
  }
})

// Stock has no such option.
describeOurs("ours alone: the next borrower gets search_path, temp tables, advisory locks, LISTEN, statements", () => {
  hazard("none with reset \"session\", and onConnect is run again", () =>
    Effect.gen(function*() {
      const { pool, server, sql } = yield* makePool({
        maxsize: 1,
        maxoverflow: 1,
        reset: "session",
        onConnect: (connection) => connection.executeRaw("SET work_mem = '3MB'", [])
      })
      const pid = yield* pidOf(sql)
      yield* Effect.scoped(Effect.flatMap(
        sql.reserve,
        (connection) =>
          connection.executeRaw(
            `SET work_mem = '5MB'; SET search_path = pg_catalog; CREATE TEMPORARY TABLE mine (id integer);
             SELECT pg_advisory_lock(4711, ${pid}); LISTEN ${uniqueName()}; PREPARE mine AS SELECT 1`,
            []
          )
      ))
      // The connection's own fiber does it: who gives back does not wait.
      assert.deepInclude(yield* pool.stats, { busy: 0, checking: 1 })
      assert.deepStrictEqual(
        yield* sql`
          SELECT pg_backend_pid() AS pid, current_setting('work_mem') AS work_mem,
            current_setting('search_path') LIKE '%public%' AS is_public, to_regclass('pg_temp.mine') AS mine,
            (SELECT count(*)::integer FROM pg_listening_channels()) AS channels,
            (SELECT count(*)::integer FROM pg_prepared_statements) AS statements
        `,
        [{ pid, work_mem: "3MB", is_public: true, mine: null, channels: 0, statements: 0 }]
      )
      const locks = yield* server.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = $1", [pid])
      assert.deepStrictEqual(locks, [])
    }))
})

describe("one killed backend also fails the next innocent waiter, to whom the dying client is handed", () => {
  hazard("only the statement that was running fails", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 1 })
      const { sql } = client
      for (let i = 0; i < 5; i++) {
        const running = yield* Effect.fork(failure(sql`SELECT pg_sleep(60)`))
        const waiting = yield* Effect.fork(
          Effect.forEach(range(5), (n) => sql`SELECT ${n}::integer AS n`, { concurrency: "unbounded" })
        )
        yield* killSleeper(client)
        assert.strictEqual(codeOf(yield* Fiber.join(running)), "57P01")
        assert.deepStrictEqual(yield* Fiber.join(waiting), range(5).map((n) => [{ n }]))
      }
    }))

  hazard("under load, what was not sent yet goes to another session", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 3 })
      const { sql } = client
      yield* open(client, 3)
      let kills = 0
      const killing = Effect.gen(function*() {
        for (let i = 0; i < 20; i++) {
          yield* pause(30)
          kills += (yield* client.server.query(killAll(client))).length
        }
      })
      const failures: Array<SqlError> = []
      const querying = Effect.all(
        Effect.replicate(
          Effect.forever(Effect.catchAll(sql`SELECT 1`, (error) => Effect.sync(() => failures.push(error)))),
          9
        ),
        { concurrency: "unbounded" }
      )
      yield* Effect.raceFirst(killing, Effect.disconnect(querying))
      assert.isAtMost(failures.length, kills)
      for (const error of failures) assert.strictEqual(codeOf(error), "57P01", String(error.cause))
    }))
})

const killAll = ({ app }: Client): string =>
  `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${app}'`

/** The failures of queries that are sent before their process has had a chance to see what was done to its sessions. */
const failuresAfter = (
  deed: () => void,
  use: Effect.Effect<unknown, SqlError>,
  count: number
): Effect.Effect<Array<SqlError>> =>
  Effect.flatMap(
    Effect.sync(() => {
      deed()
      return range(count).map(() => Effect.runFork(Effect.either(use)))
    }),
    (fibers) =>
      Effect.map(
        Effect.forEach(fibers, (fiber) => Fiber.join(fiber)),
        (results) => results.filter(Either.isLeft).map(({ left }) => left)
      )
  )

/** Kills all sessions, and lets this process wait on the spot meanwhile. */
const killUnseen = (client: Client) => () => {
  client.server.unsafeSend(killAll(client))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
}

describe("a query soon after idle sessions were killed fails", () => {
  hazard("50 ms after the kill none fails, at once at most one per killed session", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 50 })
      const { server, sql, until } = client
      yield* open(client, 50)
      yield* server.query(killAll(client))
      yield* until((sessions) => sessions.length === 0)
      yield* pause(50)
      yield* Effect.forEach(range(150), () => sql`SELECT 1`, { concurrency: "unbounded" })

      yield* open(client, 50)
      const failures = yield* failuresAfter(killUnseen(client), sql`SELECT 1`, 150)
      assert.isAtMost(failures.length, 50)
      for (const error of failures) assert.isTrue(PgError.isRetryable(error), String(error.cause))
    }), "20 seconds")

  /** Whatever was done to idle sessions, nothing was done on them, and can be done again. */
  const retryable = (client: Client, deed: () => void, ...uses: ReadonlyArray<Effect.Effect<unknown, SqlError>>) =>
    Effect.forEach(uses, (use) =>
      Effect.gen(function*() {
        yield* open(client, 5)
        const failures = yield* failuresAfter(deed, use, 15)
        assert.isAtMost(failures.length, 5)
        for (const error of failures) assert.isTrue(PgError.isRetryable(error), String(error.cause))
      }))

  hazard("at once, statements and transactions: at most one, typed and retryable", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 5 })
      const { sql } = client
      yield* retryable(client, killUnseen(client), sql`SELECT ${1}::integer`, sql.withTransaction(sql`SELECT 1`))
    }))

  hazard("at once, streams: at most one, typed and retryable", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 5 })
      yield* retryable(client, killUnseen(client), Stream.runDrain(client.sql`SELECT 1`.stream))
    }))

  hazard("at once after a reset of the network: at most one, typed and retryable", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const client = yield* makeClient({ connections: 5, url: proxy.url })
      const { sql } = client
      const stream = Stream.runDrain(sql`SELECT 1`.stream)
      yield* retryable(client, proxy.reset, sql`SELECT 1`, sql.withTransaction(sql`SELECT 1`), stream)
    }))

  hazard("at once over a Unix socket: at most one, typed and retryable", () =>
    Effect.gen(function*() {
      const client = yield* makeClient({ connections: 5, ...(yield* onUnixSocket) })
      const { sql } = client
      const stream = Stream.runDrain(sql`SELECT 1`.stream)
      yield* retryable(
        client,
        killUnseen(client),
        sql`SELECT ${1}::integer`,
        sql.withTransaction(sql`SELECT 1`),
        stream
      )
    }), "20 seconds")
})

describe("a client released in the middle of a query", () => {
  hazard("the next borrower does not wait for what the last one left running", () =>
    Effect.gen(function*() {
      const { sql, until } = yield* makeClient({ connections: 1 })
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        yield* Effect.forkDaemon(Effect.exit(connection.executeRaw("SELECT pg_sleep(60)", [])))
        yield* until((sessions) => sessions.some(isSleeping))
      }))
      const next = yield* Effect.timeoutOption(Effect.disconnect(sql`SELECT 1`), "5 seconds")
      assert.isTrue(Option.isSome(next))
    }))
})
