// Answers one question of memory.ts.
import { Reactivity } from "@effect/experimental"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Fiber, Redacted } from "effect"
import type { Scope } from "effect"
import { ElasticPool, PgPool } from "effect-pgpool"
import { text } from "node:stream/consumers"
import * as Pg from "pg"
import { median } from "simple-statistics"
import type { Answer, Question } from "./memory.js"
import { questionOf } from "./memory.js"

/** Something that is there until its scope is closed. */
type Held = Effect.Effect<unknown, unknown, Scope.Scope>

interface Pair {
  readonly ours: Held
  readonly other: Held
}

const bytes = Effect.sync(() => {
  globalThis.gc?.()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}).pipe(
  // Sockets that were closed are let go of a little later.
  Effect.delay("50 millis")
)

const suspended = (count: number, effect: Effect.Effect<unknown, unknown>): Held =>
  Effect.acquireRelease(
    Effect.sync(() => Array.from({ length: count }, () => Effect.runFork(effect))),
    Fiber.interruptAll
  )

const many = (count: number) => ({ maxsize: count, maxoverflow: count, acquireTimeout: "10 minutes" }) as const

/** `_resume`, because `Effect` makes an `AbortController` for a function that takes none. */
const bare = (count: number): Held => suspended(count, Effect.async((_resume) => {}))

const waiters = (count: number): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* ElasticPool.make({ ...many(1), acquire: Effect.void })
    yield* pool.get
    const ours = Effect.gen(function*() {
      yield* suspended(count, pool.use(() => Effect.void))
      const { waiting } = yield* pool.stats
      if (waiting !== count) return yield* Effect.dieMessage(`${waiting} wait, not ${count}`)
    })
    return { ours, other: bare(count) }
  })

const items = (count: number): Effect.Effect<Pair> => {
  const acquire = Effect.acquireRelease(Effect.sync(() => ({})), () => Effect.void)
  const ours = Effect.flatMap(
    ElasticPool.make({ ...many(count), acquire, connectConcurrency: count }),
    (pool) => Effect.scoped(Effect.replicateEffect(pool.get, count))
  )
  return Effect.succeed({ ours, other: Effect.replicateEffect(acquire, count) })
}

const sessions = (count: number, url: string): Effect.Effect<Pair> => {
  const ours = Effect.flatMap(
    PgPool.make({ ...many(count), url: Redacted.make(url) }),
    (pool) => Effect.scoped(Effect.replicateEffect(pool.get, count, { discard: true }))
  )
  const other = Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => new Pg.Pool({ connectionString: url, max: count, idleTimeoutMillis: 0 })),
      (pool) => Effect.promise(() => pool.end())
    ),
    (pool) =>
      Effect.promise(async () => {
        const clients = await Promise.all(Array.from({ length: count }, () => pool.connect()))
        for (const client of clients) client.release()
      })
  )
  return Effect.succeed({ ours: Effect.provide(ours, Reactivity.layer), other })
}

/** All behind a slow one. */
const statements = (count: number, url: string): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { client: sql } = yield* PgPool.make({ ...many(1), url: Redacted.make(url), multiplex: count + 1 })
    const ours = Effect.gen(function*() {
      yield* Effect.acquireRelease(Effect.fork(sql`SELECT pg_sleep(${600})`), Fiber.interruptFork)
      yield* Effect.yieldNow()
      yield* suspended(count, sql`SELECT ${1}::int`)
    })
    return { ours, other: bare(count) }
  }).pipe(Effect.provide(Reactivity.layer))

const pairOf = ({ count, kind, url }: Question): Effect.Effect<Pair, unknown, Scope.Scope> =>
  ({ waiters, items, sessions, statements })[kind](count, url)

const weigh = (held: Held): Effect.Effect<number, unknown> =>
  Effect.gen(function*() {
    const before = yield* bytes
    yield* held
    return (yield* bytes) - before
  }).pipe(Effect.scoped)

const answer = (question: Question): Effect.Effect<Answer, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const pair = yield* pairOf(question)
    const ours: Array<number> = []
    const other: Array<number> = []
    for (let round = 0; round <= question.rounds; round++) {
      const weights = { ours: yield* weigh(pair.ours), other: yield* weigh(pair.other) }
      if (round === 0) continue
      ours.push(weights.ours / question.count)
      other.push(weights.other / question.count)
    }
    return { ours: median(ours), other: median(other) }
  })

Effect.promise(() => text(process.stdin)).pipe(
  Effect.flatMap(questionOf),
  Effect.flatMap(answer),
  Effect.flatMap((answer) => Console.log(JSON.stringify(answer))),
  Effect.scoped,
  NodeRuntime.runMain
)
