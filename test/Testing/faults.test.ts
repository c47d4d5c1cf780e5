import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { PgError, PgPool, PgPoolLayer } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { eventually, pause, pidOf, serverUrl, uniqueName, watch } from "../support/pgPool.js"
import { freePort } from "../support/program.js"
import { startWithTls } from "../support/sockets.js"

const one = Effect.flatMap(SqlClient.SqlClient, (sql) => sql<{ one: number }>`SELECT 1 AS one`)

const oneRow = [{ one: 1 }]

const poolOf = (options?: PgPool.PgPoolOptions) =>
  PgPool.layer({ url: serverUrl, maxsize: 2, maxoverflow: 2, validateAfterIdle: "1 hour", ...options })

const builds = <A, E>(layer: Layer.Layer<A, E>) => Effect.exit(Effect.scoped(Layer.build(layer)))

const messageOf = <A, E>(exit: Exit.Exit<A, E>): string =>
  Exit.isFailure(exit) ? String((Cause.squash(exit.cause) as Error).message) : "it succeeded"

describe("R46: faults between a pool and its server", () => {
  it.scopedLive("refuse and cut: callers wait while the database is away, and nobody fails", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      const pool = yield* PgPool.PgPool
      yield* one
      yield* Effect.zipRight(faults.refuse, faults.cut)
      yield* eventually(pool.stats, ({ size }) => size === 0)
      const callers = yield* Effect.fork(Effect.all([one, one, one, one], { concurrency: "unbounded" }))
      yield* eventually(pool.stats, ({ connectFailures }) => connectFailures >= 2)
      assert.isNull(callers.unsafePoll())
      assert.match(String((yield* pool.stats).lastConnectError), /ECONNREFUSED/)
      yield* faults.restore
      assert.deepStrictEqual(yield* Fiber.join(callers), [oneRow, oneRow, oneRow, oneRow])
    }).pipe(Effect.provide(Testing.faults(poolOf()))))

  it.scopedLive("cut: the statement that runs fails, the next one has a new connection", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      const sql = yield* SqlClient.SqlClient
      const server = yield* watch()
      const app = uniqueName()
      yield* sql`SELECT set_config('application_name', ${app}, false)`
      const running = yield* Effect.fork(Effect.flip(sql`SELECT pg_sleep(30)`))
      yield* server.until(app, ([session]) => session?.wait_event === "PgSleep")
      yield* faults.cut
      assert.isTrue(PgError.isOutcomeUnknown(yield* Fiber.join(running)))
      assert.deepStrictEqual(yield* one, oneRow)
    }).pipe(Effect.provide(Testing.faults(poolOf({ maxsize: 1, maxoverflow: 1 })))))

  it.scopedLive("silence: what was sent arrives after restore, in its order", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      const pool = yield* PgPool.PgPool
      const before = yield* pidOf(pool.client)
      yield* faults.silence
      const asked = yield* Effect.fork(Effect.all([pidOf(pool.client), one], { concurrency: 2 }))
      yield* pause(100)
      assert.isNull(asked.unsafePoll())
      yield* faults.restore
      const [pid, row] = yield* Fiber.join(asked)
      assert.strictEqual(pid, before)
      assert.deepStrictEqual(row, oneRow)
    }).pipe(Effect.provide(Testing.faults(poolOf()))))

  it.scopedLive("silence: queryTimeout and connectTimeout end the wait", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      const pool = yield* PgPool.PgPool
      yield* one
      yield* faults.silence
      assert.isTrue(PgError.isOutcomeUnknown(yield* Effect.flip(one)))
      assert.isTrue(PgError.isUnavailable(yield* Effect.flip(one)))
      yield* faults.restore
      yield* eventually(pool.stats, ({ busy }) => busy === 0)
      assert.deepStrictEqual(yield* one, oneRow)
    }).pipe(
      Effect.provide(Testing.faults(
        poolOf({
          maxsize: 1,
          maxoverflow: 1,
          queryTimeout: 200,
          cleanupTimeout: 200,
          connectTimeout: 500,
          acquireTimeout: 500,
          outageTimeout: 500
        })
      ))
    ))

  it.scopedLive("delay: each direction takes so long", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      yield* one
      yield* faults.delay("100 millis")
      const began = performance.now()
      assert.deepStrictEqual(yield* one, oneRow)
      assert.isAtLeast(performance.now() - began, 199)
    }).pipe(Effect.provide(Testing.faults(poolOf()))))

  it.scopedLive("an interrupted statement is cancelled at the server, by way of the faults", () =>
    Effect.gen(function*() {
      const pool = yield* PgPool.PgPool
      const server = yield* watch()
      const app = uniqueName()
      yield* pool.client`SELECT set_config('application_name', ${app}, false)`
      const running = yield* Effect.fork(pool.client`SELECT pg_sleep(30)`)
      yield* server.until(app, ([session]) => session?.wait_event === "PgSleep")
      yield* Fiber.interrupt(running)
      yield* server.until(app, ([session]) => session?.state === "idle")
      assert.strictEqual((yield* pool.stats).cancelled, 1)
    }).pipe(Effect.provide(Testing.faults(poolOf({ maxsize: 1, maxoverflow: 1 })))))

  it.scopedLive("a pool that closes in a silence says good-bye to its server", () =>
    Effect.gen(function*() {
      const server = yield* watch()
      const app = uniqueName()
      yield* Effect.gen(function*() {
        const faults = yield* Testing.Faults
        yield* one
        yield* faults.silence
      }).pipe(Effect.provide(Testing.faults(poolOf({ applicationName: app }))))
      yield* server.until(app, (sessions) => sessions.length === 0)
    }))

  for (
    const [name, layer] of Object.entries({
      layerConfig: PgPool.layerConfig({ url: Config.redacted("DATABASE_URL") }),
      layerFromEnv: PgPool.layerFromEnv({ maxsize: 1 }),
      PgPoolLayer,
      "a layer of a program": Layer.provideMerge(Layer.effectDiscard(one), PgPoolLayer)
    })
  ) {
    it.scopedLive(`stand before ${name}`, () =>
      Effect.gen(function*() {
        const faults = yield* Testing.Faults
        const pool = yield* PgPool.PgPool
        yield* one
        yield* faults.cut
        yield* eventually(pool.stats, ({ size }) => size === 0)
      }).pipe(
        Effect.provide(Testing.faults(layer)),
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["DATABASE_URL", Redacted.value(serverUrl)]])))
      ))
  }

  it.scopedLive("TLS, Unix sockets and several hosts are as without them", () =>
    Effect.gen(function*() {
      const server = yield* startWithTls()
      const credentials = { username: "postgres", password: Redacted.make("postgres"), database: "postgres" }
      const ways: Record<string, PgPool.PgPoolOptions> = {
        "verified TLS": { host: "localhost", port: server.port, ssl: { ca: server.authority.cert } },
        "a Unix socket": { path: server.place, port: server.port },
        "several hosts": { hosts: [`127.0.0.1:${yield* freePort}`, `127.0.0.1:${server.port}`] }
      }
      for (const [name, options] of Object.entries(ways)) {
        yield* Effect.gen(function*() {
          const faults = yield* Testing.Faults
          const pool = yield* PgPool.PgPool
          const pid = yield* pidOf(pool.client)
          yield* Effect.timeoutOption(pool.client`SELECT pg_sleep(60)`, 100)
          assert.strictEqual(yield* pidOf(pool.client), pid, name)
          yield* faults.cut
          assert.deepStrictEqual(yield* one, oneRow, name)
          assert.notStrictEqual(yield* pidOf(pool.client), pid, name)
        }).pipe(Effect.provide(Testing.faults(
          PgPool.layer({ ...credentials, maxsize: 1, maxoverflow: 1, cleanupTimeout: "10 seconds", ...options })
        )))
      }
    }))

  it.scopedLive("a server that is not there, and a certificate for another host, are told as without them", () =>
    Effect.gen(function*() {
      const server = yield* startWithTls()
      const port = yield* freePort
      const reasons: ReadonlyArray<readonly [PgPool.PgPoolOptions, string]> = [
        [{ url: Redacted.make(`postgresql://127.0.0.1:${port}/x`) }, `connect ECONNREFUSED 127.0.0.1:${port}`],
        [{ host: "127.0.0.1", port: server.port, ssl: { ca: server.authority.cert } }, "IP: 127.0.0.1 is not in the"]
      ]
      for (const [options, reason] of reasons) {
        const layer = Testing.faults(PgPool.layer({ outageTimeout: 300, acquireTimeout: 300, ...options }))
        const error = yield* Effect.flip(Effect.provide(one, layer))
        assert.include(error.message, reason)
      }
    }))

  it.scopedLive("are those of their own layer, also where another test has built the same", () => {
    const shared = poolOf()
    return Effect.gen(function*() {
      const beside = yield* PgPool.PgPool
      yield* Effect.gen(function*() {
        const pool = yield* PgPool.PgPool
        assert.notStrictEqual(pool, beside)
        yield* Effect.flatMap(Testing.Faults, ({ refuse }) => refuse)
        assert.deepStrictEqual(yield* beside.client`SELECT 1 AS one`, oneRow)
      }).pipe(Effect.provide(Testing.faults(shared)))
    }).pipe(Effect.provide(shared))
  })

  it.scopedLive("bad input is a defect that says what to do", () =>
    Effect.gen(function*() {
      const faults = yield* Testing.Faults
      assert.strictEqual(
        messageOf(yield* Effect.exit(faults.restore)),
        "restore: there is no fault to end, call cut, silence, refuse or delay before it"
      )
      yield* faults.cut
      yield* faults.restore
      assert.match(messageOf(yield* Effect.exit(faults.restore)), /no fault to end/)
      assert.match(messageOf(yield* Effect.exit(faults.delay(0))), /^delay: 0 is not allowed, it must be a finite dura/)
      assert.match(
        messageOf(yield* builds(Testing.faults(Layer.empty))),
        /^Testing.faults: the layer makes no PgPool, so nothing would be tested. Give it the layer that makes the pool$/
      )
      const stream = () => assert.fail("it was called")
      assert.match(
        messageOf(yield* builds(Testing.faults(poolOf({ stream })))),
        /^stream: .* is not allowed, it must be left out for Testing.faults, which makes the sockets itself$/
      )
    }).pipe(Effect.provide(Testing.faults(poolOf()))))
})
