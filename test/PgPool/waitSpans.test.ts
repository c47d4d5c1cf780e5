import { assert, describe, it } from "@effect/vitest"
import { Context, DefaultServices, Effect, Exit, Fiber, Stream, Tracer } from "effect"
import { eventually, makePool, uniqueName } from "../support/pgPool.js"
import type { Traced } from "../support/spans.js"
import { tookOf, traced } from "../support/spans.js"

const one = { maxsize: 1, maxoverflow: 1, warm: 1, validateAfterIdle: "1 hour" } as const

const waits = (spans: ReadonlyArray<Traced>) => spans.filter(({ name }) => name === "pool.wait")

describe("R43: spans of waiting callers", () => {
  const uses = {
    "a statement": ["sql.execute", ({ sql }) => sql`SELECT 1`],
    "a statement in a span of the program": ["sql.execute", ({ sql }) => Effect.withSpan(sql`SELECT 1`, "report")],
    "a stream": ["sql.execute", ({ sql }) => Stream.runDrain(sql`SELECT 1`.stream)],
    "a transaction": ["sql.transaction", ({ sql }) => sql.withTransaction(sql`SELECT 1`)],
    "use": ["report", ({ pool }) => Effect.withSpan(pool.use(() => Effect.void), "report")],
    "get": ["report", ({ pool }) => Effect.withSpan(Effect.scoped(pool.get), "report")]
  } satisfies Record<
    string,
    readonly [string, (pool: Effect.Effect.Success<ReturnType<typeof makePool>>) => Effect.Effect<unknown, unknown>]
  >
  for (const [name, [parent, use]] of Object.entries(uses)) {
    it.scopedLive(`${name} that had to wait for another one has a span of the wait`, () =>
      Effect.gen(function*() {
        const name = uniqueName()
        const pool = yield* makePool({ ...one, name })
        yield* eventually(pool.pool.stats, ({ idle }) => idle === 1)
        assert.deepStrictEqual(waits(yield* traced(use(pool))), [], "it need not wait")
        const spans = yield* traced(Effect.scoped(Effect.gen(function*() {
          const waiting = yield* Effect.scoped(Effect.gen(function*() {
            yield* pool.pool.get
            const waiting = yield* Effect.fork(use(pool))
            yield* eventually(pool.pool.stats, ({ waiting }) => waiting === 1)
            yield* Effect.sleep(50)
            return waiting
          }))
          yield* Fiber.join(waiting)
        })))
        const [wait, ...more] = waits(spans)
        assert.deepStrictEqual(more, [])
        assert.deepStrictEqual(wait, {
          name: "pool.wait",
          kind: "internal",
          parent,
          attributes: {
            "db.client.connection.pool.name": name,
            "effect_pgpool.wait.reason": "full",
            "effect_pgpool.outcome": "served"
          },
          events: [],
          ended: "success"
        })
        assert.isAtLeast(tookOf(wait), 50)
      }))
  }

  it.scopedLive("callers without a span have none", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool(one)
      const spans = yield* traced(Effect.scoped(Effect.gen(function*() {
        const waiting = yield* Effect.scoped(
          Effect.zipRight(pool.get, Effect.fork(pool.use(() => Effect.void)))
        )
        yield* Fiber.join(waiting)
      })))
      assert.deepStrictEqual(spans, [])
    }))

  const attributesOf = (use: Effect.Effect<unknown, unknown>) =>
    Effect.map(traced(Effect.withSpan(use, "report")), (spans) => {
      const [{ attributes, ended }] = waits(spans)
      return [attributes["effect_pgpool.wait.reason"], attributes["effect_pgpool.outcome"], ended]
    })

  it.scopedLive("why: a connection was opened", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ minsize: 0 })
      assert.deepStrictEqual(yield* attributesOf(pool.use(() => Effect.void)), ["opening", "served", "success"])
    }))

  it.scopedLive("why: connects fail; and how it ended: refused", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({
        url: undefined,
        host: "127.0.0.1",
        port: 1,
        minsize: 0,
        acquireTimeout: 200,
        outageTimeout: 200
      })
      const refused = pool.use(() => Effect.void)
      assert.deepStrictEqual(yield* attributesOf(refused), ["outage", "acquireTimeout", "failure"])
    }))

  it.scopedLive("how it ended: interrupted, refused, closed", () =>
    Effect.gen(function*() {
      const { close, pool, sql } = yield* makePool({ ...one, acquireTimeout: 300, closeTimeout: 100 })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* pool.get
        for (const use of [sql`SELECT 1`, pool.use(() => Effect.void)]) {
          const interrupted = Effect.timeout(use, 50)
          assert.deepStrictEqual(yield* attributesOf(interrupted), ["full", "interrupted", "failure"])
          assert.deepStrictEqual(yield* attributesOf(use), ["full", "acquireTimeout", "failure"])
        }
        const closing = yield* Effect.fork(attributesOf(sql`SELECT 1`))
        yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
        yield* Effect.fork(close)
        assert.deepStrictEqual(yield* Fiber.join(closing), ["full", "closed", "failure"])
      }))
    }))

  it.scopedLive("the program can switch tracing off", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ minsize: 0 })
      const use = Effect.withSpan(pool.use(() => Effect.void), "report")
      assert.deepStrictEqual(yield* traced(Effect.withTracerEnabled(use, false)), [])
    }))

  it.scopedLive("the program can switch tracing off within a span of its own", () =>
    Effect.gen(function*() {
      const { pool } = yield* makePool({ minsize: 0 })
      const use = Effect.withTracerEnabled(pool.use(() => Effect.void), false)
      const spans = yield* traced(Effect.withSpan(use, "report"))
      assert.deepStrictEqual(spans.map(({ name }) => name), ["report"])
    }))

  it.scopedLive("a tracer that throws keeps no caller from its connection", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool(one)
      const spoilt = Tracer.make({
        span: (name, ...rest) => {
          if (name === "pool.wait") throw new Error("spoilt")
          return plain.span(name, ...rest)
        },
        context: (run) => run()
      })
      for (const use of [sql`SELECT 1`, pool.use(() => Effect.void)]) {
        const waiting = yield* Effect.scoped(Effect.gen(function*() {
          yield* pool.get
          const waiting = yield* Effect.fork(Effect.withTracer(Effect.withSpan(use, "report"), spoilt))
          yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
          return waiting
        }))
        yield* Fiber.join(waiting)
        yield* eventually(pool.stats, ({ busy }) => busy === 0)
      }
    }))
})

const plain = Context.get(DefaultServices.liveServices, Tracer.Tracer)

describe("R43: spans of statements that fail", () => {
  const failing: Record<string, readonly [sql: string, attributes: Record<string, unknown>]> = {
    "an error of the server": ["SELECT 1 / 0", { "db.response.status_code": "22012", "error.type": "22012" }],
    "a mistake in the text": ["SELEC", { "db.response.status_code": "42601", "error.type": "42601" }],
    "the session ends": [
      "SELECT pg_terminate_backend(pg_backend_pid())",
      { "db.response.status_code": "57P01", "error.type": "57P01" }
    ]
  }
  for (const [name, [text, attributes]] of Object.entries(failing)) {
    it.scopedLive(`say how: ${name}`, () =>
      Effect.gen(function*() {
        const { sql } = yield* makePool()
        const statement = sql.unsafe(text)
        const ways = [
          statement,
          statement.values,
          statement.raw,
          statement.unprepared,
          Stream.runDrain(statement.stream),
          sql.withTransaction(statement)
        ]
        for (const way of ways) {
          const spans = yield* traced(way)
          const told = spans.find(({ name }) => name === "sql.execute")!
          assert.strictEqual(told.ended, "failure")
          assert.deepInclude(told.attributes, attributes)
        }
      }))
  }

  it.scopedLive("of a caller that got no connection", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ ...one, acquireTimeout: 100 })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* pool.get
        const spans = yield* traced(sql`SELECT 1`)
        assert.strictEqual(spans[0].attributes["error.type"], "PoolExhausted")
        assert.notProperty(spans[0].attributes, "db.response.status_code")
      }))
    }))

  it.scopedLive("not of one that was interrupted, or that is well", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      yield* sql`SELECT 1`
      const interrupted = Effect.asVoid(Effect.exit(Effect.timeout(sql`SELECT pg_sleep(60)`, 200)))
      for (const use of [Effect.asVoid(sql`SELECT 1`), interrupted]) {
        const [{ attributes }] = yield* traced(use)
        assert.notProperty(attributes, "error.type")
      }
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(sql`SELECT 1`)))
    }))
})
