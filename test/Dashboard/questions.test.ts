import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream, TestClock } from "effect"
import type { PgPool } from "effect-pgpool"
import { live } from "../../src/internal/dashboard/live.js"
import * as Wire from "../../src/internal/testing/messages.js"
import * as Fake from "../support/fakeServer.js"
import { eventually, makePool, pause } from "../support/pgPool.js"

const nothingKnown = [
  Wire.rowDescription(["json_agg"]),
  Wire.dataRow(["[]"]),
  Wire.complete("SELECT 1"),
  Wire.ready()
]

/** A pool of a server that counts how often it is asked what it does. */
const makeAsked = Effect.gen(function*() {
  const server = yield* Fake.start()
  let count = 0
  server.onSend = (messages, { request }) => {
    if (!request.includes("pg_stat_activity")) return messages
    count++
    return nothingKnown
  }
  const { pool } = yield* makePool({ url: undefined, host: "127.0.0.1", port: server.port, username: "app" })
  return {
    pool,
    questions: Effect.sync(() => count),
    untilSessions: (expected: number) => eventually(Effect.sync(() => server.sessions.size), (n) => n === expected)
  }
})

const look = (pool: PgPool.PgPool) => Effect.forkScoped(Stream.runDrain(live(pool, () => false)))

const hold = (pool: PgPool.PgPool) =>
  Effect.zipRight(
    Effect.forkScoped(pool.use(() => Effect.never)),
    eventually(pool.stats, ({ busy }) => busy === 1)
  )

/** Time for what it has begun is in it. */
const halfSecond = Effect.zipRight(TestClock.adjust("500 millis"), pause(5))

const seconds = (count: number) => Effect.repeatN(halfSecond, 2 * count - 1)

describe("R44: how often the server is asked", () => {
  it.scoped("once in two seconds, however many look and whenever they began; not at all while nobody looks", () =>
    Effect.gen(function*() {
      const { pool, questions, untilSessions } = yield* makeAsked
      yield* hold(pool)
      yield* seconds(20)
      assert.strictEqual(yield* questions, 0)
      yield* untilSessions(1)

      for (const round of ["first", "second"]) {
        const before = yield* questions
        yield* Effect.scoped(Effect.gen(function*() {
          let halfSeconds = 0
          const pass = Effect.zipRight(halfSecond, Effect.sync(() => halfSeconds++))
          // They come in between, and go on until enough was asked, however slow the machine is.
          for (let n = 0; n < 4; n++) yield* Effect.zipRight(look(pool), pass)
          yield* eventually(Effect.zipRight(pass, questions), (count) => count >= before + 6)
          assert.isAtMost((yield* questions) - before, 1 + Math.floor(halfSeconds / 4), round)
        }))
        yield* untilSessions(1)
        const after = yield* questions
        yield* seconds(20)
        assert.strictEqual(yield* questions, after)
      }
    }))

  it.scoped("not at all while no connection is in use", () =>
    Effect.gen(function*() {
      const { pool, questions, untilSessions } = yield* makeAsked
      yield* look(pool)
      yield* untilSessions(1)
      yield* seconds(10)
      assert.strictEqual(yield* questions, 0)
      yield* hold(pool)
      yield* eventually(Effect.zipRight(halfSecond, questions), (count) => count === 1)
    }))
})
