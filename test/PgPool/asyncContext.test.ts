import { assert, describe, it } from "@effect/vitest"
import { context, trace } from "@opentelemetry/api"
import { Effect, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { AsyncLocalStorage, createHook } from "node:async_hooks"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { openTelemetry } from "../support/instrumentation.js"
import { eventually, makePool } from "../support/pgPool.js"

const storage = new AsyncLocalStorage<number>()

const kinds: Record<string, PgPool.PgPoolOptions> = {
  "a connection each": { maxsize: 20 },
  "two connections for all": { maxsize: 2, maxoverflow: 2 },
  "shared connections": { maxsize: 2, maxoverflow: 2, multiplex: true }
}

const requests = Array.from({ length: 20 }, (_, request) => request)

describe("R31: AsyncLocalStorage", () => {
  for (const [kind, options] of Object.entries(kinds)) {
    it.scopedLive(`each request finds its own store after everything that waits for the server: ${kind}`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makePool(options)
        const steps: Array<Effect.Effect<unknown, unknown>> = [
          sql`SELECT ${1}::int AS n`,
          sql`SELECT 1`.values,
          sql.withTransaction(sql`SELECT 1`),
          Effect.flip(sql`SELECT 1 / ${0}::int`),
          Stream.runDrain(sql`SELECT n FROM generate_series(1, 300) n`.stream),
          sql.withTransaction(Stream.runDrain(sql`SELECT n FROM generate_series(1, 300) n`.stream)),
          pool.use((connection) => connection.execute("SELECT 1", [], undefined))
        ]
        const store = Effect.sync(() => storage.getStore())
        const request = Effect.forEach(steps, (step) => Effect.zipRight(step, store))
        const found = yield* Effect.promise(() =>
          Promise.all(requests.map((id) => storage.run(id, () => Effect.runPromise(request))))
        )
        assert.deepStrictEqual(found, requests.map((id) => steps.map(() => id)))
      }))
  }

  it.scopedLive("a statement that had to wait for a connection is in the trace of its own request", () =>
    Effect.gen(function*() {
      const exporter = yield* openTelemetry({})
      const { sql } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const parent = (id: number) => ({
        traceId: "1".repeat(32),
        spanId: String(id + 1).padStart(16, "0"),
        traceFlags: 1
      })
      yield* Effect.promise(() =>
        Promise.all(requests.map((id) =>
          context.with(
            trace.setSpanContext(context.active(), parent(id)),
            () => Effect.runPromise(sql.unsafe(`SELECT ${id} AS n`))
          )
        ))
      )
      const found = new Map(
        exporter.getFinishedSpans().map((span) => [
          span.attributes["db.query.text"],
          span.parentSpanContext?.spanId
        ])
      )
      for (const id of requests) assert.strictEqual(found.get(`SELECT ${id} AS n`), parent(id).spanId)
    }))
})

/** What others keep for each async resource of ours they drop when they hear of its end: `cls-hooked`, profilers. */
const watchResources = Effect.acquireRelease(
  Effect.sync(() => {
    const alive = new Set<number>()
    let begun = 0
    const hook = createHook({
      init: (id, type) => {
        if (type !== "effect-pgpool") return
        begun++
        alive.add(id)
      },
      destroy: (id) => alive.delete(id)
    })
    return { alive, begun: () => begun, hook: hook.enable() }
  }),
  ({ hook }) => Effect.sync(() => hook.disable())
)

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

describe("R31: async hooks", () => {
  it.scopedLive("whoever counts async resources hears of the end of each of ours", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ maxsize: 2 })
      const { alive, begun } = yield* watchResources
      yield* Effect.forEach(requests, (n) => sql`SELECT ${n}::int`, { concurrency: "unbounded" })
      assert.isAtLeast(begun(), requests.length)
      yield* eventually(
        Effect.sync(() => (collectGarbage(), alive.size)),
        (size) => size < requests.length / 2
      )
    }))
})
