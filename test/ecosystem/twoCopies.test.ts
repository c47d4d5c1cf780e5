/** Two copies of this package in one process: dependencies may bring another one along. */
import { Reactivity } from "@effect/experimental"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Ours from "effect-pgpool"
import type { PgPool } from "effect-pgpool"
import { vi } from "vitest"
import { causeTagOf, makePool, pidOf, serverUrl } from "../support/pgPool.js"

const otherCopy = Effect.promise(async (): Promise<typeof Ours> => {
  vi.resetModules()
  const Theirs = await import("effect-pgpool")
  assert.notStrictEqual(Theirs.PgPool.make, Ours.PgPool.make)
  return Theirs
})

const makeTheirs = ({ PgPool }: typeof Ours, options?: PgPool.PgPoolOptions) =>
  Effect.provide(PgPool.make({ url: serverUrl, ...options }), Reactivity.layer)

const both = Effect.gen(function*() {
  const { sql } = yield* makePool()
  const { client } = yield* makeTheirs(yield* otherCopy)
  return [sql, client] as const
})

describe("two copies of the package", () => {
  it.scopedLive("R22: neither takes the other's transaction for its own", () =>
    Effect.gen(function*() {
      const clients = yield* both
      for (const [outer, inner] of [clients, [...clients].reverse()] as const) {
        yield* outer.withTransaction(Effect.gen(function*() {
          const own = yield* pidOf(outer)
          assert.notStrictEqual(yield* pidOf(inner), own)
          yield* inner.withTransaction(Effect.gen(function*() {
            assert.notStrictEqual(yield* pidOf(inner), own)
            assert.strictEqual(yield* pidOf(outer), own)
          }))
        }))
      }
    }))

  const failing: Record<string, PgPool.PgPoolOptions> = {
    "a refused connect": { url: undefined, host: "127.0.0.1", port: 1, username: "nobody" },
    "a database that is not there": { database: "there_is_none" },
    "a password that fails": { password: Effect.fail("none") },
    "a session lost in onConnect": {
      onConnect: (connection) => connection.executeRaw("SELECT pg_terminate_backend(pg_backend_pid())", [])
    },
    "a timeout in onConnect": {
      onConnect: (connection) => connection.executeRaw("SELECT pg_sleep(60)", []),
      queryTimeout: "100 millis"
    }
  }

  for (const [name, options] of Object.entries(failing)) {
    it.scopedLive(`R22: read errors of the other one as their own: ${name}`, () =>
      Effect.gen(function*() {
        const Theirs = yield* otherCopy
        const error = yield* Effect.flip(makeTheirs(Theirs, { connectTimeout: "1 second", ...options, eager: true }))
        const readBy = ({ PgError }: typeof Ours) => [PgError.isRetryable(error), PgError.isOutcomeUnknown(error)]
        assert.deepStrictEqual(readBy(Ours), readBy(Theirs))
        assert.isFalse(Ours.PgError.isOutcomeUnknown(error))
      }))
  }

  it.scopedLive("R22: know an unknown outcome of the other one", () =>
    Effect.gen(function*() {
      const { client } = yield* makeTheirs(yield* otherCopy, { queryTimeout: "100 millis" })
      const error = yield* Effect.flip(client`SELECT pg_sleep(60)`)
      assert.strictEqual(causeTagOf(error), "OutcomeUnknown")
      assert.isTrue(Ours.PgError.isOutcomeUnknown(error))
    }))
})
