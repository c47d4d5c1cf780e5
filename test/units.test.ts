/** Seconds that were taken for milliseconds are told of when the pool is made. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer } from "effect"
import { ElasticPool, PgPool } from "effect-pgpool"
import { FakeResource } from "./support/fakeResource.js"
import { makePool, withLogs } from "./support/testPool.js"

const advice = "A bare number is milliseconds: "

const suspicious = {
  acquireTimeout: 30,
  expires: 3600,
  idleTimeout: 600,
  connectTimeout: 5,
  outageTimeout: 10,
  cleanupTimeout: 1,
  closeTimeout: 5,
  suspendTimeout: 30,
  leakThreshold: 10
}

/** These have only a pool of PostgreSQL connections. */
const statements = { queryTimeout: 30, statementTimeout: 30, lockTimeout: 5, idleInTransactionTimeout: 60 }

const logsOf = (options: ElasticPool.PoolOptions) =>
  withLogs((logs) => Effect.as(ElasticPool.make({ ...new FakeResource().options, ...options }), logs))

const logsOfLayer = <E>(layer: Layer.Layer<PgPool.PgPool, E>) => withLogs((logs) => Effect.as(Layer.build(layer), logs))

describe("R25: a bare number that can't be milliseconds", () => {
  for (const [option, value] of Object.entries(suspicious)) {
    it.scoped(`${option}: ${value}`, () =>
      Effect.gen(function*() {
        const [line, ...more] = yield* logsOf({ [option]: value })
        assert.deepStrictEqual(more, [])
        assert.include(line, `WARN Is this meant? ${option} is ${value} ms. ${advice}write "${value} seconds"`)
        assert.deepStrictEqual(yield* logsOf({ [option]: `${value} millis` }), [])
        assert.deepStrictEqual(yield* logsOf({ [option]: Duration.millis(value) }), [])
        assert.deepStrictEqual(yield* logsOf({ [option]: value * 1000 }), [])
      }))
  }

  it.scoped("all are told of in one line", () =>
    Effect.gen(function*() {
      const options = { host: "localhost", ...suspicious, ...statements }
      const logs = yield* logsOfLayer(PgPool.layer(options))
      assert.strictEqual(logs.length, 1)
      const told = Object.entries({ ...suspicious, ...statements }).map(([option, value]) => `${option} is ${value} ms`)
      for (const one of told) assert.include(logs[0], one)
    }))

  it.scoped("in the environment it has the name that it has there", () =>
    Effect.gen(function*() {
      const env = ConfigProvider.fromMap(
        new Map([["PGHOST", "localhost"], ["PGPOOL_NAME", "shop"], ["PGPOOL_EXPIRES", "600"], [
          "PGPOOL_CONNECT_TIMEOUT",
          "5"
        ]])
      )
      const logs = yield* logsOfLayer(Layer.provide(PgPool.layerFromEnv(), Layer.setConfigProvider(env)))
      assert.deepStrictEqual(logs, [
        "WARN shop: Is this meant? PGPOOL_EXPIRES is 600 ms, PGPOOL_CONNECT_TIMEOUT is 5 ms. " +
        `${advice}write "600 seconds" if it is seconds, and "600 millis" if it is meant.`
      ])
    }))
})

it.scoped("R25: what may be meant is not told of: zero, and any wait before another connection is opened", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* logsOf({ maxwait: 5, validateAfterIdle: 1, closeTimeout: 0, acquireTimeout: 0 }), [])
    assert.deepStrictEqual(yield* logsOf({}), [])
  }))

it.scoped("R25: what is refused is not told of as well", () =>
  withLogs((logs) =>
    Effect.gen(function*() {
      yield* Effect.exit(makePool({ ...new FakeResource().options, expires: 600, maxsize: 0 }))
      assert.deepStrictEqual(logs, [])
    })
  ))
