import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Stream } from "effect"
import { PgPool } from "effect-pgpool"
import { inject } from "vitest"
import { areAll } from "../support/areAll.js"
import { sampleOf, samplesOf, valueOf } from "../support/metrics.js"
import { eventually, isSleeping, makePool, nobodySleeps, serverUrl, uniqueName } from "../support/pgPool.js"

const duration = "db.client.operation.duration"

const seconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, Infinity]

describe("R41: the metrics of a PgPool", () => {
  it.scopedLive("names, kinds, units, attributes and bounds", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { sql } = yield* makePool({ name })
      yield* sql`SELECT 1`
      yield* Effect.exit(sql`SELECT 1 / 0`)
      const { hostname, pathname, port } = new URL(inject("pgUrl"))
      const server = {
        "db.system.name": "postgresql",
        "db.namespace": pathname.slice(1) || "postgres",
        "server.address": hostname,
        "server.port": port
      }
      const rows: Array<unknown> = []
      const row = (metric: string, kind: string, unit: string, own: object = {}, bounds?: ReadonlyArray<number>) =>
        rows.push({
          name: metric,
          kind,
          unit,
          attributes: { "db.client.connection.pool.name": name, ...own },
          ...bounds === undefined ? {} : { bounds }
        })
      for (const state of ["opening", "idle", "used", "checking", "closing"]) {
        row("db.client.connection.count", "upDownCounter", "{connection}", { "db.client.connection.state": state })
      }
      row("db.client.connection.max", "upDownCounter", "{connection}")
      row("db.client.connection.idle.max", "upDownCounter", "{connection}")
      row("db.client.connection.idle.min", "upDownCounter", "{connection}")
      row("db.client.connection.pending_requests", "upDownCounter", "{request}")
      row("db.client.connection.timeouts", "counter", "{timeout}")
      row("db.client.connection.create_time", "histogram", "s", {}, seconds)
      row("db.client.connection.wait_time", "histogram", "s", {}, seconds)
      row("db.client.connection.use_time", "histogram", "s", {}, seconds)
      for (
        const reason of [
          "expired",
          "evicted",
          "renewed",
          "idle",
          "used",
          "surplus",
          "invalidated",
          "dirty",
          "closed",
          "failed",
          "abandoned"
        ]
      ) row("effect_pgpool.connection.closed", "counter", "{connection}", { "effect_pgpool.reason": reason })
      row("effect_pgpool.connection.connect_failures", "counter", "{connection}")
      row("effect_pgpool.connection.overflow", "counter", "{connection}")
      row("effect_pgpool.connection.leaked", "counter", "{connection}")
      row("effect_pgpool.connection.oldest_wait", "gauge", "s")
      for (
        const outcome of [
          "served",
          "acquireTimeout",
          "outageTimeout",
          "maxwait",
          "connectTimeout",
          "connectRetry",
          "handOver",
          "queueFull",
          "closed",
          "interrupted",
          "failed"
        ]
      ) row("effect_pgpool.connection.requests", "counter", "{request}", { "effect_pgpool.outcome": outcome })
      const operationBounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, Infinity]
      row(duration, "histogram", "s", server, operationBounds)
      const divided = { "db.response.status_code": "22012", "error.type": "22012" }
      row(duration, "histogram", "s", { ...server, ...divided }, operationBounds)
      const samples = samplesOf(name).map(({ sum: _, value: __, ...sample }) => sample)
      assert.sameDeepMembers(samples, rows)
    }))

  it.scopedLive("each statement is timed once: alone, in transactions, on connections, as a stream", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { pool, sql } = yield* makePool({ name })
      const timed = () => valueOf(name, duration) ?? 0
      const times = <A, E>(n: number, what: string, effect: Effect.Effect<A, E>) =>
        Effect.gen(function*() {
          const before = timed()
          yield* effect
          assert.strictEqual(timed() - before, n, what)
        })
      yield* times(1, "plain", sql`SELECT 1`)
      yield* times(1, "values", sql`SELECT 1`.values)
      yield* times(1, "raw", sql`SELECT 1`.raw)
      yield* times(1, "unprepared", sql`SELECT 1`.unprepared)
      yield* times(2, "transaction", sql.withTransaction(Effect.zipRight(sql`SELECT 1`, sql`SELECT 2`)))
      yield* times(
        2,
        "nested transaction",
        sql.withTransaction(Effect.zipRight(sql`SELECT 1`, sql.withTransaction(sql`SELECT 2`)))
      )
      yield* times(2, "withConnection", pool.withConnection(Effect.zipRight(sql`SELECT 1`, sql`SELECT 2`)))
      yield* times(1, "use", pool.use((connection) => connection.executeRaw("SELECT 1", [])))
      const stream = Stream.runDrain(sql`SELECT n FROM generate_series(1, 300) n`.stream)
      yield* times(1, "stream", stream)
      yield* times(1, "stream in a transaction", sql.withTransaction(stream))
      yield* times(
        1,
        "stream on a connection",
        pool.use((connection) => Stream.runDrain(connection.executeStream("SELECT 1", [], undefined)))
      )
      assert.strictEqual(sampleOf(name, duration)!.value, timed())
    }))

  it.scopedLive("a statement that waits for the server takes as long", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { sql } = yield* makePool({ name })
      yield* sql`SELECT pg_sleep(0.2)`
      yield* sql.withTransaction(sql`SELECT pg_sleep(0.2)`)
      yield* Stream.runDrain(sql`SELECT pg_sleep(0.2)`.stream)
      assert.isAtLeast(sampleOf(name, duration)!.sum!, 0.6)
    }))

  const failing = (name: string, type: string, code = type) => {
    const sample = sampleOf(name, duration, type)
    assert.isDefined(sample, type)
    assert.strictEqual(sample!.attributes["error.type"], type)
    assert.strictEqual(sample!.attributes["db.response.status_code"], code === "" ? undefined : code)
    return sample!.value
  }

  it.scopedLive("statements that fail, by the type of the error", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { pool, sql } = yield* makePool({ name, maxsize: 1, maxoverflow: 1, acquireTimeout: 200 })
      const bad = sql`SELECT 1 / 0`
      yield* Effect.exit(bad)
      yield* Effect.exit(sql.withTransaction(bad))
      yield* Effect.exit(Stream.runDrain(bad.stream))
      yield* Effect.exit(sql.withTransaction(Stream.runDrain(bad.stream)))
      assert.strictEqual(failing(name, "22012"), 4)
      yield* Effect.exit(sql`SELEC`)
      assert.strictEqual(failing(name, "42601"), 1)
      yield* pool.withConnection(Effect.flatMap(Effect.fork(Effect.exit(pool.use(() => Effect.void))), Fiber.join))
      yield* Effect.scoped(Effect.zipRight(pool.get, Effect.exit(sql`SELECT 1`)))
      assert.strictEqual(failing(name, "PoolExhausted", ""), 1)
      assert.isUndefined(valueOf(name, duration, "PoolClosed"))
    }))

  it.scopedLive("statements that are interrupted, while they run and while they wait", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { pool, sql, until } = yield* makePool({ name, maxsize: 1, maxoverflow: 1 })
      const running = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
      yield* until((sessions) => sessions.some(isSleeping))
      const waiting = yield* Effect.fork(sql`SELECT 1`)
      yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
      yield* Fiber.interruptAll([waiting, running])
      assert.strictEqual(failing(name, "interrupted", ""), 2)
      yield* until(nobodySleeps)
      const inside = yield* Effect.fork(sql.withTransaction(sql`SELECT pg_sleep(60)`))
      yield* until((sessions) => sessions.some(isSleeping))
      yield* Fiber.interrupt(inside)
      assert.strictEqual(failing(name, "interrupted", ""), 3)
    }))

  it.scopedLive("a function that fails in a thousand ways makes a hundred metrics", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { sql } = yield* makePool({ name })
      for (let n = 100; n < 250; n++) {
        yield* Effect.exit(sql.unsafe(`DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'ZZ${n}'; END $$`))
      }
      const types = samplesOf(name).filter(({ attributes }) => "error.type" in attributes)
      assert.strictEqual(types.length, 101)
      assert.strictEqual(valueOf(name, duration, "ZZ100"), 1)
      assert.strictEqual(valueOf(name, duration, "_OTHER"), 50)
    }))

  it.scopedLive("labels of the program that are in force where the pool is made", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { sql } = yield* Effect.tagMetrics(makePool({ name }), { service: "shop" })
      yield* sql`SELECT 1`
      assert.isDefined(valueOf(name, duration))
      assert.isTrue(areAll(samplesOf(name), ({ attributes }) => attributes["service"] === "shop"))
    }))

  it.scopedLive("without a name of its own it has that of the database", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool()
      const { name } = yield* pool.stats
      assert.match(name, /:\d+\/postgres$/)
      assert.isAbove(samplesOf(name).length, 0)
    }))

  it.scopedLive("metrics: false registers none, also by PGPOOL_METRICS", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const { sql } = yield* makePool({ name, metrics: false })
      yield* sql`SELECT 1`
      yield* sql.withTransaction(sql`SELECT 1`)
      const variables = ConfigProvider.fromMap(new Map([["PGPOOL_METRICS", "false"]]))
      yield* Effect.flatMap(PgPool.PgPool, ({ client }) => client`SELECT 1`).pipe(
        Effect.provide(PgPool.layerFromEnv({ url: serverUrl, name })),
        Effect.withConfigProvider(variables)
      )
      assert.deepStrictEqual(samplesOf(name), [])
      const exit = yield* Effect.exit(makePool({ name, metrics: "no" as never }))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(String(exit), /metrics/)
    }))
})
