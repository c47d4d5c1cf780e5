import { assert, describe, it } from "@effect/vitest"
import type { Scope } from "effect"
import { Effect, Stream, Tracer } from "effect"
import type { PgPool } from "effect-pgpool"
import { allocationsOf } from "../support/allocations.js"
import { makePool } from "../support/pgPool.js"

type Pool = PgPool.PgPool

/** Somebody who looks at a pool, or at each of its borrowers. */
interface Onlooker {
  readonly metrics?: boolean
  readonly listen?: (pool: Pool) => Effect.Effect<unknown, never, Scope.Scope>
  readonly duringUse?: (pool: Pool) => Effect.Effect<unknown>
  readonly span?: string
  readonly tracer?: Effect.Effect<Tracer.Tracer>
}

/** Any but Effect's own, which shows its spans to nobody. */
const tracer = Effect.map(
  Effect.tracer,
  (own) => Tracer.make({ span: own.span.bind(own), context: own.context.bind(own) })
)

/** Bytes for each two loans, by file. The second one has to wait for the first. */
const allocationsWith = ({ duringUse, listen, metrics = false, span, tracer = Effect.tracer }: Onlooker) =>
  Effect.gen(function*() {
    const { pool } = yield* makePool({ maxsize: 1, maxoverflow: 1, metrics })
    if (listen !== undefined) yield* listen(pool)
    const use = pool.use(() => Effect.zipRight(Effect.yieldNow(), duringUse?.(pool) ?? Effect.void))
    const two = Effect.zip(use, use, { concurrent: true })
    const operation = span === undefined ? two : Effect.withSpan(two, span)
    return yield* Effect.withTracer(allocationsOf(operation), yield* tracer)
  }).pipe(Effect.scoped)

const inSpan = { span: "work" }

/** The smallest object has 16 bytes. Now and then one is for the engine itself. */
const something = 16
const nothing = 8

describe("nothing is allocated for a loan that nobody looks at", () => {
  const shows = (title: string, paths: ReadonlyArray<string>, without: Onlooker, onlooker: Onlooker) =>
    it.scopedLive(title, () =>
      Effect.gen(function*() {
        const unseen = yield* allocationsWith(without)
        const seen = yield* allocationsWith({ ...without, ...onlooker })
        for (const path of paths) {
          assert.isAtMost(unseen(path), nothing, `${path}, while nobody looks`)
          assert.isAtLeast(seen(path), something, path)
        }
      }), { timeout: 120_000 })

  shows("R39: nothing to tell without a listener", ["pool/hub.ts", "pool/news.ts", "watch/heard.ts"], inSpan, {
    listen: ({ loans }) => Effect.forkScoped(Stream.runDrain(loans))
  })

  shows("R40: no holder before somebody asks who holds the connections", ["pool/holders.ts", "spans.ts"], inSpan, {
    duringUse: ({ holders }) => Effect.map(holders, (all) => all.map(({ takenIn }) => takenIn))
  })

  shows("R41: nothing to count without metrics", ["watch/metrics.ts"], inSpan, { metrics: true })

  shows("R43: nothing to trace without a span", ["waitSpan.ts"], { tracer }, inSpan)

  shows("R43: nothing to trace without a tracer", ["waitSpan.ts"], inSpan, { tracer })
})
