// Answers the questions of memory.ts, which come by standard input.
import * as Reactivity from "@effect/experimental/Reactivity"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import type * as SqlClient from "@effect/sql/SqlClient"
import { Console, Deferred, Effect, Fiber, Redacted } from "effect"
import type { Scope } from "effect"
import { ElasticPool, PgPool } from "effect-pgpool"
import { text } from "node:stream/consumers"
import * as Pg from "pg"
import { median } from "simple-statistics"
import type { Server } from "../test/support/server.js"
import { watch } from "../test/support/server.js"
import * as Clients from "./clients.js"
import type { Answer, Question } from "./memory.js"
import { questionsOf } from "./memory.js"

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

/** What Effect's programs wait on. */
const bare = (count: number): Held => suspended(count, Effect.flatMap(Deferred.make<void>(), Deferred.await))

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

/** Statements behind one that waits for a lock. */
const behindLock = (
  { query }: Server,
  sql: SqlClient.SqlClient,
  statements: ReadonlyArray<Effect.Effect<unknown, unknown>>
): Effect.Effect<ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    // Nothing is to wait for a connect, or for the check of a connection that was idle.
    yield* sql`SELECT ${1}::int`
    yield* query("SELECT pg_advisory_lock(7263541)")
    const fibers = yield* Effect.acquireRelease(
      Effect.sync(() =>
        [sql`SELECT pg_advisory_xact_lock(${7263541})`, ...statements].map((statement) => Effect.runFork(statement))
      ),
      Fiber.awaitAll
    )
    yield* Effect.addFinalizer(() => query("SELECT pg_advisory_unlock(7263541)"))
    return fibers
  })

const statements = (count: number, url: string): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const gate = yield* watch(Redacted.make(url))
    const pool = yield* PgPool.make({ ...many(1), url: Redacted.make(url), multiplex: count + 1 })
    const sql = pool.client
    const ours = Effect.gen(function*() {
      yield* behindLock(gate, sql, Array.from({ length: count }, () => sql`SELECT ${1}::int`))
      const { waiting } = yield* pool.stats
      if (waiting > 0) return yield* Effect.dieMessage(`${waiting} statements are not on their way`)
    })
    return { ours, other: bare(count) }
  }).pipe(Effect.provide(Reactivity.layer))

/** On one connection: but for those that share it, all wait for it. */
const waiting = (
  client: keyof typeof Clients.sqlClients,
  count: number,
  url: string
): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const gate = yield* watch(Redacted.make(url))
    const sql = yield* Clients.sqlClients[client](url, 1)
    const statement = Effect.suspend(() => sql`SELECT ${1}::int`)
    const ours = Effect.gen(function*() {
      const fibers = yield* behindLock(gate, sql, Array.from({ length: count }, () => statement))
      const ended = fibers.filter((fiber) => fiber.unsafePoll() !== null).length
      if (ended > 0) return yield* Effect.dieMessage(`${ended} statements do not wait`)
    })
    // Nobody can wait for less.
    return { ours, other: suspended(count, Effect.suspend(() => Effect.async((_resume) => {}))) }
  })

const pairOf = (question: Question): Effect.Effect<Pair, unknown, Scope.Scope> => {
  const { count, kind, url } = question
  return kind === "waiting"
    ? waiting(question.client, count, url)
    : ({ waiters, items, sessions, statements })[kind](count, url)
}

const weigh = (held: Held): Effect.Effect<number, unknown> =>
  Effect.gen(function*() {
    const before = yield* bytes
    yield* held
    return (yield* bytes) - before
  }).pipe(Effect.scoped)

const answer = (question: Question): Effect.Effect<Answer, unknown> =>
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
  }).pipe(Effect.scoped)

Effect.promise(() => text(process.stdin)).pipe(
  Effect.flatMap(questionsOf),
  Effect.flatMap(Effect.forEach(answer)),
  Effect.flatMap((answers) => Console.log(JSON.stringify(answers))),
  NodeRuntime.runMain
)
