import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import { errorResponse, ready } from "../../src/internal/testing/messages.js"
import * as Fake from "../support/fakeServer.js"
import { makePool, promptly } from "../support/pgPool.js"

/**
 * A server that says FATAL in answer to what has `tok1` in it, and leaves the socket open. After that it says nothing,
 * unless `more` follows its last words.
 */
const makeFatal = (options: PgPool.PgPoolOptions, ...more: ReadonlyArray<Buffer>) =>
  Effect.gen(function*() {
    const server = yield* Fake.start()
    const silent = new WeakSet<object>()
    server.onSend = (messages, { request, session }) => {
      if (silent.has(session)) return []
      if (!request.includes("tok1")) return messages
      if (more.length === 0) silent.add(session)
      return [errorResponse("57P01", "last words"), ...more]
    }
    return yield* makePool({
      url: undefined,
      host: "127.0.0.1",
      port: server.port,
      username: "app",
      cleanupTimeout: 100,
      ...options
    })
  })

describe("R24: a server that says FATAL and does not close the session", () => {
  for (const multiplex of [false, true]) {
    it.scopedLive(`R24: a statement, a transaction and a stream end all the same${multiplex ? " (multiplex)" : ""}`, () =>
      Effect.gen(function*() {
        const { pool, sql } = yield* makeFatal({ maxsize: 1, maxoverflow: 1, multiplex })
        const statement = sql`SELECT ${"tok1"}`
        for (const use of [statement, sql.withTransaction(statement), Stream.runDrain(statement.stream)]) {
          const error = yield* promptly(Effect.flip(Effect.asVoid(use)))
          assert.deepStrictEqual(PgError.sqlState(error), Option.some("57P01"))
          // The only connection there may be is another one now.
          yield* promptly(sql`SELECT ${"tok2"}`)
        }
        assert.strictEqual((yield* pool.stats).opened, 4)
      }))
  }

  it.scopedLive("R24: but a session is kept whose pooler is ready again after that", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makeFatal({ maxsize: 1, maxoverflow: 1 }, ready())
      yield* promptly(Effect.flip(sql`SELECT ${"tok1"}`))
      yield* Effect.sleep(150)
      yield* promptly(sql`SELECT ${"tok2"}`)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))
})
