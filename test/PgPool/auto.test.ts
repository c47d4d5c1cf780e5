/** `maxwait: "auto"` on a real server. */
import { assert, it } from "@effect/vitest"
import { Effect, Ref, Schedule } from "effect"
import type { PgPool } from "effect-pgpool"
import { describe } from "vitest"
import { makePool } from "../support/pgPool.js"

/** How many statements of 20 ms twenty fibers finish in two seconds, on a pool that has been used before. */
const finished = (options: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const { pool } = yield* makePool({ maxoverflow: 20, acquireTimeout: "30 seconds", ...options })
    const ask = pool.client`SELECT pg_sleep(0.02)`
    yield* Effect.all(Array.from({ length: 40 }, () => ask), { concurrency: 20 })
    const count = yield* Ref.make(0)
    const fiber = Effect.repeat(Effect.zipRight(ask, Ref.update(count, (n) => n + 1)), Schedule.forever)
    yield* Effect.all(Array.from({ length: 20 }, () => fiber), { concurrency: 20 }).pipe(
      Effect.timeoutOption("2 seconds")
    )
    const { opened } = yield* pool.stats
    return { statements: yield* Ref.get(count), opened }
  }).pipe(Effect.scoped)

describe("maxwait \"auto\"", () => {
  it.live(
    "R4: twenty fibers on 2/20 have nearly as much as from twenty kept connections",
    () =>
      Effect.gen(function*() {
        const kept = yield* finished({ maxsize: 20, maxwait: "auto" })
        const auto = yield* finished({ maxsize: 2, maxwait: "auto" })
        assert.isAtLeast(auto.statements, 0.7 * kept.statements)
        assert.isAtMost(auto.opened, 60)
      }),
    60_000
  )
})
