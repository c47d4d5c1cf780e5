import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { insideOf } from "../../src/internal/inside.js"
import * as Wire from "../../src/internal/testing/messages.js"
import * as Fake from "../support/fakeServer.js"
import { eventually, makePool } from "../support/pgPool.js"

/** A pool of a fake server, what asks that server beside the pool, and how often it was asked. */
const make = (answer: (messages: Array<Buffer>) => ReadonlyArray<Buffer>) =>
  Effect.gen(function*() {
    const server = yield* Fake.start()
    let questions = 0
    server.onSend = (messages, { at, request }) => {
      if (at === "login") return messages
      if (request.includes("pg_backend_pid")) questions++
      return answer(messages)
    }
    const { pool } = yield* makePool({ url: undefined, host: "127.0.0.1", port: server.port, username: "app" })
    return {
      server,
      look: Effect.scoped(insideOf(pool)!.server!),
      questions: Effect.sync(() => questions),
      sessions: Effect.sync(() => server.sessions.size)
    }
  })

describe("R44: the session beside the pool", () => {
  it.scopedLive("is closed each time when a pooler turns out to be in between", () =>
    Effect.gen(function*() {
      const { look, questions, server, sessions } = yield* make((messages) => messages)
      server.greeting = [Wire.authenticationOk, Wire.keyData(99), Wire.ready()]
      for (let round = 0; round < 3; round++) assert.isTrue(Exit.isFailure(yield* Effect.exit(look)))
      assert.strictEqual(yield* questions, 3)
      yield* eventually(sessions, (count) => count === 0)
    }))

  it.scopedLive("is closed each time when the last browser leaves before there is an answer", () =>
    Effect.gen(function*() {
      const { look, questions, sessions } = yield* make(() => [])
      for (let round = 1; round <= 3; round++) {
        const looking = yield* Effect.fork(look)
        yield* eventually(questions, (count) => count === round)
        yield* Fiber.interrupt(looking)
      }
      yield* eventually(sessions, (count) => count === 0)
    }))
})
