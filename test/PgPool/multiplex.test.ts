import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { isOutcomeUnknown } from "effect-pgpool/PgError"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import {
  causeTagOf,
  codeOf,
  eventually,
  insert,
  isSleeping,
  makePool,
  makeTable,
  nobodySleeps,
  pidOf,
  serverUrl
} from "../support/pgPool.js"

/** Everything goes through one connection. */
const one = { maxsize: 1, maxoverflow: 1, multiplex: 100, validateAfterIdle: "1 hour" } as const

const together = <A, E>(effects: Iterable<Effect.Effect<A, E>>) =>
  Effect.all(Array.from(effects, (effect) => Effect.exit(effect)), { concurrency: "unbounded" })

const range = (n: number): Array<number> => Array.from({ length: n }, (_, i) => i)

const sleep = (sql: PgClient.PgClient, seconds: number) => sql`SELECT pg_sleep(${seconds})`

/** Takes its time, and leaves a row if it is not cancelled. */
const slowInsert = (sql: PgClient.PgClient, table: { readonly name: string }, id: number, seconds: number) =>
  sql`INSERT INTO ${sql(table.name)} (id) SELECT ${id}::int FROM pg_sleep(${seconds})`

/** A function for the session that needs some time to end when it is cancelled. */
const slowToCancel = (connection: PgPool.PgConnection) =>
  connection.executeRaw(
    `CREATE FUNCTION pg_temp.slow_to_cancel(seconds float) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_sleep(seconds);
      EXCEPTION WHEN query_canceled THEN
        PERFORM pg_sleep(0.2);
        RAISE;
      END $$`,
    []
  )

const failure = <A, E>(exit: Exit.Exit<A, E>): E | undefined =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

describe("R34: multiplex", () => {
  it.scopedLive("is off by default", () =>
    Effect.gen(function*() {
      const { sessions, sql } = yield* makePool({ maxsize: 2, maxoverflow: 2 })
      yield* together(range(9).map((n) => sql`SELECT ${n}::int, pg_sleep(0.02)`))
      assert.lengthOf(yield* sessions, 2)
    }))

  it.scopedLive("the next statement is sent before the last one is answered", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { sql, until } = yield* makePool({ ...one, url: proxy.url })
      yield* sql`SELECT 1`
      let sent = ""
      proxy.onRequest = (chunk) => sent += chunk.toString("latin1")
      const first = yield* Effect.fork(sleep(sql, 3))
      yield* until((all) => all.some(isSleeping))
      const others = yield* Effect.fork(Effect.forEach(range(5), (n) => sql`SELECT ${n}::int AS ${sql(`other${n}`)}`, {
        concurrency: "unbounded"
      }))
      while (!areAll(range(5), (n) => sent.includes(`other${n}`))) yield* Effect.sleep(10)
      const [session] = yield* until((all) => all.some(isSleeping))
      assert.isTrue(isSleeping(session))
      assert.deepStrictEqual(yield* Fiber.join(others), range(5).map((n) => [{ [`other${n}`]: n }]))
      yield* Fiber.join(first)
    }))

  it.scopedLive("many callers get their own rows, over no more connections than are full", () =>
    Effect.gen(function*() {
      const { pool, sessions, sql } = yield* makePool({ maxsize: 5, maxoverflow: 5, multiplex: 40 })
      const rows = yield* Effect.forEach(
        range(400),
        (n) => sql`SELECT ${n}::int AS n, ${"x".repeat(n)} AS text`,
        { concurrency: 80 }
      )
      assert.deepStrictEqual(rows, range(400).map((n) => [{ n, text: "x".repeat(n) }]))
      assert.lengthOf(yield* sessions, 2)
      assert.deepInclude(yield* pool.stats, { acquired: 400, idle: 2, busy: 0, waiting: 0 })
    }))

  it.scopedLive("an error hits only its own statement", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool(one)
      const circle: { self?: unknown } = {}
      circle.self = circle
      const exits = yield* together([
        sql`SELECT ${1}::int AS n`,
        sql`SELECT ${1}::int / ${0}::int AS n`,
        sql`SELECT ${2}::int AS n`,
        sql`SELECT ${1} FROM missing`,
        sql`SELECT ${circle as never}::json AS n`,
        sql`SELECT nonsense`,
        sql`SELECT 3 AS n`
      ])
      assert.deepStrictEqual(exits.map((exit) => Exit.isSuccess(exit) ? exit.value : codeOf(failure(exit))), [
        [{ n: 1 }],
        "22012",
        [{ n: 2 }],
        "42P01",
        undefined,
        "42703",
        [{ n: 3 }]
      ])
      yield* sql`SELECT 1`
    }))

  it.scopedLive("transactions, withConnection, reserve and streams have a connection to themselves, and their turn", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql } = yield* makePool({ ...one, acquireTimeout: "30 seconds" })
      const seen = sql<{ mark: string }>`SELECT coalesce(current_setting('test.mark', true), '') AS mark`
      const load = yield* Effect.fork(
        Effect.all(range(8).map(() => Effect.forever(Effect.tap(seen, ([{ mark }]) => assert.strictEqual(mark, "")))), {
          concurrency: "unbounded"
        })
      )
      const marked = Effect.gen(function*() {
        yield* sql`SELECT set_config('test.mark', 'mine', true)`
        yield* Effect.sleep(5)
        assert.deepStrictEqual(yield* seen, [{ mark: "mine" }])
      })
      for (const n of range(10)) {
        yield* sql.withTransaction(Effect.zipRight(insert(sql, table, n), marked))
        yield* pool.withConnection(sql.withTransaction(marked))
        yield* Effect.scoped(Effect.flatMap(sql.reserve, (one) => one.execute("SELECT 1", [], undefined)))
        const rows = yield* Stream.runCollect(sql<{ i: number }>`SELECT i FROM generate_series(1, 300) AS i`.stream)
        assert.lengthOf(rows, 300)
      }
      assert.isNull(load.unsafePoll())
      yield* Fiber.interrupt(load)
      assert.lengthOf(yield* table.ids, 10)
    }))

  for (
    const [name, text] of [
      ["BEGIN", "BEGIN"],
      ["several in one", "SELECT 1; BEGIN"],
      ["behind a comment", "/* SELECT */ BEGIN"]
    ] as const
  ) {
    it.scopedLive(`what may change the session does not share it: ${name}`, () =>
      Effect.gen(function*() {
        const table = yield* makeTable()
        const { sql } = yield* makePool(one)
        yield* sql`SELECT 1`
        const exits = yield* together([
          sleep(sql, 0.05),
          sql.unsafe(text),
          ...range(5).map((n) => insert(sql, table, n))
        ])
        assert.isTrue(areAll(exits, Exit.isSuccess))
        assert.lengthOf(yield* table.ids, 5)
      }))
  }

  it.scopedLive("I2: who waits behind one that needs a connection of its own is sent once that is refused", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ ...one, acquireTimeout: 600 })
      yield* sql`SELECT 1`
      const slow = yield* Effect.fork(sleep(sql, 1.5))
      yield* until((all) => all.some(isSleeping))
      const own = yield* Effect.fork(Effect.exit(sql`SET work_mem = '5MB'`))
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      yield* Effect.sleep(300)
      const plain = yield* Effect.fork(sql`SELECT 1 AS n`)
      assert.strictEqual(causeTagOf(failure(yield* Fiber.join(own))), "PoolExhausted")
      const newcomer = yield* Effect.fork(sql`SELECT 2 AS n`)
      assert.deepStrictEqual(yield* Fiber.join(plain), [{ n: 1 }])
      assert.deepStrictEqual(yield* Fiber.join(newcomer), [{ n: 2 }])
      yield* Fiber.join(slow)
    }))

  it.scopedLive("maxUses counts statements: no session has more of them", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 3, maxoverflow: 3, multiplex: true, maxUses: 2 })
      const pids = yield* Effect.all(range(6).map(() => pidOf(sql)), { concurrency: "unbounded" })
      for (const pid of pids) assert.lengthOf(pids.filter((other) => other === pid), 2)
      yield* eventually(pool.stats, ({ closed, size }) => size === 0 && closed.used === 3)
    }))

  it.scopedLive("R16: an interrupted statement with nobody behind it is cancelled, the next one is not hit", () =>
    Effect.gen(function*() {
      const { sql, until } = yield* makePool(one)
      for (const n of range(20)) {
        const sleeper = yield* Effect.fork(sleep(sql, 30))
        yield* until((all) => all.some(isSleeping))
        yield* Fiber.interrupt(sleeper)
        assert.deepStrictEqual(yield* sql`SELECT ${n}::int AS n`, [{ n }])
      }
      yield* until(nobodySleeps)
    }))

  it.scopedLive("R16: with somebody behind it, it is left to end, and its answer is nobody's", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { pool, sql, until } = yield* makePool(one)
      const slow = yield* Effect.fork(slowInsert(sql, table, 1, 0.3))
      yield* until((all) => all.some(({ query, state }) => state === "active" && query.includes(table.name)))
      const behind = yield* Effect.fork(sql`SELECT ${2}::int AS n`)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(slow)
      assert.deepStrictEqual(yield* Fiber.join(behind), [{ n: 2 }])
      assert.deepStrictEqual(yield* table.ids, [1])
      assert.deepInclude(yield* pool.stats, { busy: 0, idle: 1 })
    }))

  it.scopedLive("R16: one behind an innocent is cancelled when that has its answer", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql, until } = yield* makePool(one)
      const innocent = yield* Effect.fork(slowInsert(sql, table, 1, 0.3))
      yield* until((all) => all.some(({ query, state }) => state === "active" && query.includes(table.name)))
      const abandoned = yield* Effect.fork(sleep(sql, 30))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(abandoned)
      yield* Fiber.join(innocent)
      assert.deepStrictEqual(yield* table.ids, [1])
      assert.deepStrictEqual(yield* sql`SELECT ${3}::int AS n`, [{ n: 3 }])
      yield* until(nobodySleeps)
    }))

  it.scopedLive("R16: when all that is under way was interrupted, all of it is cancelled", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql, until } = yield* makePool(one)
      const all = yield* Effect.fork(together(range(3).map((n) => slowInsert(sql, table, n, 10))))
      yield* until((all) => all.some(({ query, state }) => state === "active" && query.includes(table.name)))
      yield* Fiber.interrupt(all)
      assert.deepStrictEqual(yield* sql`SELECT ${3}::int AS n`, [{ n: 3 }])
      assert.deepStrictEqual(yield* table.ids, [])
      yield* until((all) => areAll(all, ({ state }) => state === "idle"))
    }))

  it.scopedLive("R16: who comes while a cancelled statement takes its time to end is not lost with that", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql, until } = yield* makePool({ ...one, onConnect: slowToCancel })
      const stubborn = yield* Effect.fork(sql`SELECT pg_temp.slow_to_cancel(${30})`)
      yield* until((all) => all.some(({ query, state }) => state === "active" && query.startsWith("SELECT pg_temp")))
      yield* Fiber.interrupt(stubborn)
      // The cancel is through by then, and the statement ends a little later.
      yield* Effect.sleep(100)
      yield* slowInsert(sql, table, 1, 0.8)
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("R16: under load no cancel ends a session that others have come to", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ ...one, onConnect: slowToCancel })
      yield* Effect.timeoutOption(sql`SELECT pg_temp.slow_to_cancel(${30})`, 100)
      yield* Effect.forEach(range(12), () => Effect.repeatN(sql`SELECT pg_sleep(${0.002})`, 40), {
        concurrency: "unbounded"
      })
      assert.deepInclude((yield* pool.stats).closed, { invalidated: 0, dirty: 0 })
    }))

  it.scopedLive("no innocent statement is hit, whoever is interrupted", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 2, maxoverflow: 3, multiplex: 8, acquireTimeout: "30 seconds" })
      const innocents = Effect.forEach(range(40), (n) =>
        Effect.map(sql`SELECT ${n}::int AS n, pg_sleep(0.001)`, (rows) => assert.strictEqual(rows[0]["n"], n)))
      const interrupted = Effect.forEach(range(40), (n) =>
        Effect.timeoutOption(sql`SELECT pg_sleep(${n % 3 === 0 ? 0.05 : 0.003})`, n % 7))
      yield* Effect.all([
        ...range(6).map(() =>
          innocents
        ),
        ...range(6).map(() =>
          interrupted
        )
      ], {
        concurrency: "unbounded",
        discard: true
      })
      // I8
      const all = yield* Effect.all(range(3).map(() => sql.withTransaction(pidOf(sql))), { concurrency: "unbounded" })
      assert.lengthOf(all, 3)
      assert.deepInclude(yield* pool.stats, { busy: 0, waiting: 0 })
    }))

  it.scopedLive("of a session that was killed only what ran fails; what was behind it runs elsewhere, once", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql, until } = yield* makePool(one)
      const running = yield* Effect.fork(Effect.exit(slowInsert(sql, table, 100, 30)))
      const [{ pid }] = yield* until((all) => all.some(({ state }) => state === "active"))
      const behind = yield* Effect.fork(together(range(5).map((n) => insert(sql, table, n))))
      yield* Effect.yieldNow()
      yield* server.terminate(pid)
      const error = failure(yield* Fiber.join(running))
      assert.strictEqual(codeOf(error), "57P01")
      assert.isTrue(areAll(yield* Fiber.join(behind), Exit.isSuccess))
      assert.deepStrictEqual(yield* table.ids, range(5))
    }))

  it.scopedLive("what was behind others runs, however many sessions are killed before its turn", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { server, sql, until } = yield* makePool(one)
      const all = yield* Effect.fork(together([100, 101, 102].map((n) => slowInsert(sql, table, n, 30))))
      yield* until((sessions) => sessions.some(isSleeping))
      const last = yield* Effect.fork(insert(sql, table, 1))
      const killed: Array<number> = []
      for (let round = 0; round < 3; round++) {
        const [{ pid }] = yield* until((sessions) =>
          sessions.some((session) => isSleeping(session) && !killed.includes(session.pid))
        )
        killed.push(pid)
        yield* server.terminate(pid)
      }
      yield* Fiber.join(last)
      assert.deepStrictEqual((yield* Fiber.join(all)).map((exit) => codeOf(failure(exit))), ["57P01", "57P01", "57P01"])
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scopedLive("what was on its way when the socket did not take another one is told as unknown, and not sent again", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const proxy = yield* Proxy.start(serverUrl)
      const { sql, until } = yield* makePool({ ...one, url: proxy.url })
      const running = yield* Effect.fork(Effect.exit(slowInsert(sql, table, 1, 0.7)))
      yield* until((all) => all.some(isSleeping))
      yield* Effect.suspend(() => {
        proxy.reset()
        // The RST is there before the next write, and nobody has heard of it.
        for (const end = performance.now() + 30; performance.now() < end;);
        return insert(sql, table, 2)
      })
      assert.isTrue(isOutcomeUnknown(failure(yield* Fiber.join(running))))
      yield* until(nobodySleeps)
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))

  it.scopedLive("where the connection is cut without a word, all that was sent is told as unknown", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool, sql, until } = yield* makePool({ ...one, url: proxy.url })
      const all = yield* Effect.fork(together(range(4).map(() => sleep(sql, 30))))
      yield* until((all) => all.some(isSleeping))
      proxy.cut()
      const exits = yield* Fiber.join(all)
      assert.isTrue(areAll(exits, (exit) => isOutcomeUnknown(failure(exit))))
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.deepInclude(yield* pool.stats, { size: 1, busy: 0 })
    }))

  it.scopedLive("R24: queryTimeout is that of one statement, also behind others", () =>
    Effect.gen(function*() {
      const { sql, until } = yield* makePool({ ...one, queryTimeout: 200 })
      yield* sql`SELECT 1`
      const exits = yield* together([sleep(sql, 30), sleep(sql, 30)])
      assert.isTrue(areAll(exits, (exit) => isOutcomeUnknown(failure(exit))))
      yield* until(nobodySleeps)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scopedLive("R13: closing lets what is under way end", () =>
    Effect.gen(function*() {
      const { close, sessions, sql, until } = yield* makePool(one)
      const all = yield* Effect.fork(together(range(3).map((n) => sql`SELECT ${n}::int AS n, pg_sleep(0.1)`)))
      yield* until((all) => all.some(isSleeping))
      yield* close
      assert.isTrue(areAll(yield* Fiber.join(all), Exit.isSuccess))
      assert.lengthOf(yield* sessions, 0)
    }))
})

describe("R16: multiplex: when all who share a connection give up", () => {
  /** All give up after so long. */
  const givenUp = <A, E>(effects: Iterable<Effect.Effect<A, E>>, millis: number) =>
    together(Array.from(effects, (effect) => Effect.timeout(effect, millis)))

  it.scopedLive("what only reads is cancelled one after the other, and the next one is not hit", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ ...one, cleanupTimeout: 400 })
      const pid = yield* pidOf(sql)
      yield* givenUp(range(3).map(() => sleep(sql, 5)), 100)
      // Nobody interrupts this one, and all that could hit it is over before it ends.
      assert.deepStrictEqual(yield* sql`SELECT pg_sleep(${0.6}), ${1}::int AS n`.values, [["", 1]])
      assert.strictEqual(yield* pidOf(sql), pid)
      yield* until(nobodySleeps)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("each cancel has cleanupTimeout for itself", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ ...one, onConnect: slowToCancel, cleanupTimeout: 500 })
      const pid = yield* pidOf(sql)
      yield* givenUp(range(4).map(() => sql`SELECT pg_temp.slow_to_cancel(${5})`), 100)
      assert.strictEqual(yield* pidOf(sql), pid)
      yield* until(nobodySleeps)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scopedLive("what would have stored something does not begin, and the limit holds", () =>
    Effect.gen(function*() {
      const { app, close, server, sql } = yield* makePool(one)
      const table = yield* makeTable("id integer")
      for (let round = 0; round < 3; round++) {
        yield* sql`SELECT 1`
        yield* givenUp([sleep(sql, 5), ...range(20).map((id) => insert(sql, table, id))], 100)
        yield* givenUp(range(20).map((id) => slowInsert(sql, table, id, 0.5)), 100)
        assert.isAtMost((yield* server.sessions(app)).length, 1)
      }
      yield* close
      yield* server.until(app, (sessions) => sessions.length === 0)
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scopedLive("the same when the pool is closed over them", () =>
    Effect.gen(function*() {
      const { app, close, server, sql, until } = yield* makePool({ ...one, closeTimeout: 50 })
      const table = yield* makeTable("id integer")
      yield* sql`SELECT 1`
      const asked = yield* Effect.fork(together([sleep(sql, 5), ...range(20).map((id) => insert(sql, table, id))]))
      yield* until((sessions) => sessions.some(isSleeping))
      yield* close
      yield* Fiber.join(asked)
      yield* server.until(app, (sessions) => sessions.length === 0)
      assert.deepStrictEqual(yield* table.ids, [])
    }))
})
