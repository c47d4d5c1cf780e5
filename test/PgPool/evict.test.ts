import type { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import type { PgPool } from "effect-pgpool"
import type { TestPool } from "../support/pgPool.js"
import { eventually, makePool, pause, serverUrl, uniqueName, watch } from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

/** A role whose password was changed at the server, but not yet where it is to be had. */
const makeRole = Effect.gen(function*() {
  const server = yield* watch()
  const name = uniqueName()
  let known = "the old one"
  yield* Effect.acquireRelease(
    server.query(`CREATE ROLE ${name} LOGIN PASSWORD '${known}'`),
    () => server.query(`DROP ROLE ${name}`)
  )
  const url = new URL(Redacted.value(serverUrl))
  url.username = name
  url.password = ""
  return {
    options: { url: Redacted.make(url.href), password: Effect.sync(() => Redacted.make(known)) },
    change: server.query(`ALTER ROLE ${name} PASSWORD 'the new one'`),
    tell: Effect.sync(() => void (known = "the new one"))
  }
})

/** Requests of so many fibers, one after the other each, as long as `during` lasts. */
const load = <A, E, R>(fibers: number, { sql }: TestPool, during: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const failures: Array<unknown> = []
    let done = 0
    const request = (sql: SqlClient.SqlClient) => sql`SELECT pg_sleep(0.005)`
    const one = Effect.suspend(() => done % 5 === 0 ? sql.withTransaction(request(sql)) : request(sql)).pipe(
      Effect.match({ onFailure: (error) => failures.push(error), onSuccess: () => done++ }),
      // Not all of them are at work all the time.
      Effect.zipRight(Effect.suspend(() => pause(done % 7)))
    )
    const loading = yield* Effect.fork(
      Effect.all(Effect.replicate(Effect.forever(one), fibers), { concurrency: fibers, discard: true })
    )
    yield* during
    yield* Fiber.interrupt(loading)
    return { done, failures }
  })

/** The time at the server, and how many sessions of the pool are older than that. */
const sessionsBefore = ({ app, server }: TestPool) =>
  Effect.map(server.query("SELECT clock_timestamp()::text AS now"), ([{ now }]) =>
    Effect.map(
      server.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = '${app}' AND backend_start <= '${now}'::timestamptz`
      ),
      (rows) => rows.length
    ))

const kinds: Record<string, { readonly fibers: number; readonly options: PgPool.PgPoolOptions }> = {
  "with permits to spare": { fibers: 4, options: { maxsize: 6, maxoverflow: 10 } },
  "with all permits in use": { fibers: 12, options: { maxsize: 4, maxoverflow: 4 } },
  "with multiplex": { fibers: 20, options: { maxsize: 3, maxoverflow: 4, multiplex: 4 } }
}

describe("R19: evict between two passwords: the server has the new one, the pool is still given the old one", () => {
  for (const [kind, { fibers, options }] of Object.entries(kinds)) {
    it.scopedLive(`R18, R19: no request fails, a line says that it has stopped, and it goes on by itself, ${kind}`, () =>
      withLogs((logs) =>
        Effect.gen(function*() {
          const role = yield* makeRole
          const test = yield* makePool({ ...options, ...role.options, warm: options.maxsize })
          const { pool } = test
          yield* eventually(pool.stats, ({ idle }) => idle === options.maxsize)
          const { done, failures } = yield* load(
            fibers,
            test,
            Effect.gen(function*() {
              yield* pause(200)
              const before = yield* sessionsBefore(test)
              yield* role.change
              yield* pool.evict()
              yield* pause(2000)
              yield* eventually(pool.stats, ({ closed }) => closed.failed > 1)
              // One may have made room.
              assert.isAtLeast(yield* before, options.maxsize! - 1)
              yield* role.tell
              yield* eventually(before, (n) => n === 0)
            })
          )
          assert.deepStrictEqual(failures, [])
          assert.isAbove(done, 50)
          const lines = logs.filter((line) => line.includes("evict has stopped"))
          assert.lengthOf(lines, 1)
          assert.match(
            lines[0],
            /^WARN .*connects fail \(.*password authentication failed.*\)\. \d connections of before/
          )
          assert.isAtMost((yield* pool.stats).size, options.maxoverflow!)
        })
      ))
  }
})

describe("R19: evict at a server that is well", () => {
  for (const [kind, { fibers, options }] of Object.entries(kinds)) {
    it.scopedLive(`R19: all sessions are replaced under load, and nobody notices, ${kind}`, () =>
      Effect.gen(function*() {
        const test = yield* makePool({ ...options, warm: options.maxsize })
        const { pool } = test
        yield* eventually(pool.stats, ({ idle }) => idle === options.maxsize)
        let before: Effect.Effect<number> = Effect.succeed(0)
        const { done, failures } = yield* load(
          fibers,
          test,
          Effect.gen(function*() {
            yield* pause(200)
            before = yield* sessionsBefore(test)
            const { opened, size } = yield* pool.stats
            yield* pool.evict()
            yield* eventually(before, (n) => n === 0)
            // One for each, and what else the load asked for.
            assert.isAtMost((yield* pool.stats).opened - opened, 2 * size + 2)
          })
        )
        assert.deepStrictEqual(failures, [])
        assert.isAbove(done, 20)
        assert.deepInclude(yield* pool.stats, { timeouts: 0 })
      }))
  }

  it.scopedLive("R19: evict({ now: true }) closes what is idle at once, and opens nothing", () =>
    Effect.gen(function*() {
      const { pool, sql, until } = yield* makePool({ maxsize: 3, warm: 3 })
      yield* eventually(pool.stats, ({ idle }) => idle === 3)
      const statement = yield* Effect.fork(sql`SELECT pg_sleep(0.2), 1 AS one`)
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      yield* pool.evict({ now: true })
      assert.deepInclude(yield* pool.stats, { idle: 0, busy: 1 })
      assert.strictEqual((yield* Fiber.join(statement))[0].one, 1)
      yield* until((sessions) => sessions.length === 0)
      assert.deepInclude(yield* pool.stats, { opened: 3 })
    }))
})
