import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import type { Role } from "../../src/internal/postgres/config/attrs.js"
import type { Lease } from "../../src/internal/postgres/lease/lease.js"
import { askRole, checkRole } from "../../src/internal/postgres/session/roles.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import * as Cluster from "../support/cluster.js"
import { codeOf, eventually, isSleeping, makePool, nobodySleeps, pidOf, promptly, watch } from "../support/pgPool.js"
import type { Postgres } from "../support/postgres.js"

const urlOf = ({ url }: Postgres) => Redacted.make(url)

/** The options of a pool on these servers. */
const on = (...servers: ReadonlyArray<{ readonly port: number }>): PgPool.PgPoolOptions => ({
  url: undefined,
  hosts: servers.map(({ port }) => `127.0.0.1:${port}`),
  username: "postgres",
  password: Redacted.make("postgres"),
  database: "postgres"
})

const portOf = (sql: PgPool.PgPool["client"]) =>
  Effect.map(sql<{ port: number }>`SELECT inet_server_port() AS port`, ([{ port }]) => port)

const Running = Context.GenericTag<Cluster.Cluster>("test/Cluster")
const RunningLive = Layer.scoped(Running, Cluster.start())

layer(RunningLive, { timeout: "2 minutes", excludeTestServices: true })("a primary and a standby", (it) => {
  const roles = [
    ["read-write", "primary"],
    ["primary", "primary"],
    ["read-only", "standby"],
    ["standby", "standby"],
    ["prefer-standby", "standby"]
  ] as const

  for (const [targetSessionAttrs, expected] of roles) {
    it.scoped(`R30: ${targetSessionAttrs} is the ${expected}, in whatever order they are named`, () =>
      Effect.gen(function*() {
        const { primary, standby } = yield* Running
        for (const servers of [[primary, standby], [standby, primary]]) {
          const { pool, sql } = yield* makePool({ ...on(...servers), targetSessionAttrs })
          assert.strictEqual(yield* portOf(sql), (expected === "primary" ? primary : standby).port)
          assert.strictEqual((yield* pool.stats).closed.failed, 0)
        }
      }))
  }

  it.scoped("R30: any is the first", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Running
      for (const servers of [[primary, standby], [standby, primary]]) {
        const { sql } = yield* makePool(on(...servers))
        assert.strictEqual(yield* portOf(sql), servers[0].port)
      }
    }))

  it.scoped("R30: prefer-standby takes the primary where the standby is away, and read-only waits", () =>
    Effect.gen(function*() {
      const { primary } = yield* Running
      const closed = yield* Effect.scoped(Effect.map(Proxy.start(urlOf(primary)), ({ port }) => ({ port })))
      const preferring = yield* makePool({ ...on(closed, primary), targetSessionAttrs: "prefer-standby" })
      assert.strictEqual(yield* portOf(preferring.sql), primary.port)
      const { sql } = yield* makePool({
        ...on(closed, primary),
        targetSessionAttrs: "read-only",
        acquireTimeout: 1000,
        outageTimeout: 1000
      })
      const error = yield* Effect.flip(sql`SELECT 1`)
      assert.include(error.message, `127.0.0.1:${closed.port}: connect ECONNREFUSED`)
      assert.include(
        error.message,
        `127.0.0.1:${primary.port}: the server is read-write, and targetSessionAttrs asks for`
      )
      assert.isTrue(PgError.isRetryable(error))
    }))

  it.scoped("R30: a server that reports nothing is asked", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Running
      for (
        const [server, fits] of [[primary, ["read-write", "primary"]], [standby, ["read-only", "standby"]]] as const
      ) {
        const { pool } = yield* makePool(on(server))
        yield* pool.use((connection) =>
          Effect.gen(function*() {
            const { session } = connection as Lease
            for (const role of ["read-write", "read-only", "primary", "standby"] satisfies Array<Role>) {
              const answers = [yield* Effect.exit(checkRole(session, role)), yield* Effect.exit(askRole(session, role))]
              delete session.reported.in_hot_standby
              answers.push(yield* Effect.exit(checkRole(session, role)))
              for (const answer of answers) {
                assert.strictEqual(Exit.isSuccess(answer), fits.includes(role as never), role)
              }
            }
          })
        )
      }
    }))

  it.scoped("R19: a connection that hears that it can only read is closed, where it was to write", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Running
      for (const [targetSessionAttrs, isClosed] of [["read-write", true], ["primary", true], ["any", false]] as const) {
        const { sql } = yield* makePool({ ...on(primary, standby), targetSessionAttrs })
        const pid = yield* pidOf(sql)
        const error = yield* Effect.flip(sql`BEGIN READ ONLY; CREATE TABLE t (); COMMIT`)
        assert.strictEqual(codeOf(error), "25006")
        assert.strictEqual((yield* pidOf(sql)) !== pid, isClosed)
      }
    }))

  it.scoped("R17: a ping finds out that the host may not write any more", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Running
      const { query } = yield* watch(urlOf(primary))
      const { pool, sql } = yield* makePool({
        ...on(standby, primary),
        targetSessionAttrs: "read-write",
        validateAfterIdle: 0,
        outageTimeout: "20 seconds"
      })
      const pid = yield* pidOf(sql)
      assert.strictEqual(yield* pidOf(sql), pid)
      const readOnly = (value: string) =>
        Effect.zipRight(
          query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`),
          query("SELECT pg_reload_conf()")
        )
      yield* Effect.addFinalizer(() => readOnly("off"))
      yield* readOnly("on")
      yield* eventually(query("SHOW default_transaction_read_only"), ([row]) =>
        row.default_transaction_read_only === "on")
      const caller = yield* Effect.fork(pidOf(sql))
      yield* eventually(pool.stats, ({ closed }) =>
        closed.failed > 0)
      yield* readOnly("off")
      assert.notStrictEqual(yield* caller, pid)
    }))

  it.scoped("R16: a cancel goes to the host of its session", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Running
      const server = yield* watch(urlOf(standby))
      const { app, pool, sql } = yield* makePool({
        ...on(primary, standby),
        targetSessionAttrs: "standby",
        maxsize: 1,
        maxoverflow: 1,
        cleanupTimeout: "10 seconds"
      })
      const pid = yield* pidOf(sql)
      const fiber = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
      yield* server.until(app, (sessions) => sessions.some(isSleeping))
      yield* promptly(Fiber.interrupt(fiber))
      yield* server.until(app, nobodySleeps)
      assert.strictEqual(yield* pidOf(sql), pid)
      assert.strictEqual((yield* pool.stats).opened, 1)
    }))

  it.scoped("R21: LISTEN goes to the host that is asked for", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Running
      const { sql } = yield* makePool({ ...on(standby, primary), targetSessionAttrs: "primary" })
      const payloads = yield* sql.listen("channel").pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.fork
      )
      yield* Effect.repeat(Effect.delay(sql.notify("channel", "hello"), 50), {
        until: () => Effect.map(Fiber.poll(payloads), (exit) => exit._tag === "Some")
      })
      assert.deepStrictEqual([...(yield* Fiber.join(payloads))], ["hello"])
    }))
})

/** Writers that go on until they are stopped, and what they were told. */
const writers = (sql: PgPool.PgPool["client"], count: number) =>
  Effect.gen(function*() {
    const acknowledged: Array<number> = []
    const unknown: Array<number> = []
    const failures: Array<unknown> = []
    let last = 0
    const write = Effect.suspend(() => {
      const id = ++last
      return sql`INSERT INTO ledger (id) VALUES (${id})`.pipe(
        Effect.matchEffect({
          onSuccess: () => Effect.sync(() => void acknowledged.push(id)),
          onFailure: (error) =>
            Effect.sync(() => {
              if (PgError.isOutcomeUnknown(error)) unknown.push(id)
              else if (!PgError.isRetryable(error)) failures.push(error)
            })
        }),
        Effect.zipRight(Effect.sleep(2))
      )
    })
    const fibers = yield* Effect.forEach(Array.from({ length: count }), () => Effect.fork(Effect.forever(write)))
    return { acknowledged, unknown, failures, stop: Fiber.interruptAll(fibers) }
  })

const ledger = (server: Postgres) =>
  Effect.scoped(
    Effect.flatMap(watch(urlOf(server)), ({ query }) =>
      Effect.map(query("SELECT id FROM ledger"), (rows) => new Set(rows.map(({ id }) => id as number))))
  )

describe("the standby is promoted", () => {
  for (const away of ["crashes", "falls silent"] as const) {
    it.scopedLive(
      `R18: the primary ${away}: the pool moves by itself, and no acknowledged write is lost`,
      () =>
        Effect.gen(function*() {
          const { primary, promote, standby } = yield* Cluster.start({ synchronous: true })
          const proxy = yield* Proxy.start(urlOf(primary))
          const hosts = on(proxy, standby)
          const { pool, sql } = yield* makePool({
            ...hosts,
            targetSessionAttrs: "primary",
            queryTimeout: "1 second",
            acquireTimeout: "60 seconds"
          })
          const readers = yield* makePool({
            ...hosts,
            targetSessionAttrs: "standby",
            acquireTimeout: "4 seconds",
            outageTimeout: "4 seconds"
          })
          yield* sql`CREATE TABLE ledger (id integer PRIMARY KEY)`
          const reading = yield* pidOf(readers.sql)
          const heard: Array<string> = []
          yield* Effect.forkScoped(
            Stream.runForEach(pool.listen("news"), (event) => Effect.sync(() => heard.push(event._tag)))
          )
          const load = yield* writers(sql, 16)
          yield* eventually(Effect.sync(() => load.acknowledged.length), (count) => count > 200)
          if (away === "crashes") yield* primary.stop("immediate")
          else proxy.blackhole()
          yield* promote
          const before = load.acknowledged.length
          yield* eventually(Effect.sync(() => load.acknowledged.length), (count) => count > before + 500)
          yield* load.stop
          assert.deepStrictEqual(load.failures, [])
          const stored = yield* ledger(standby)
          assert.deepStrictEqual(load.acknowledged.filter((id) => !stored.has(id)), [])
          // What is there and was not acknowledged had an unknown outcome.
          const told = new Set([...load.acknowledged, ...load.unknown])
          assert.isAtMost([...stored].filter((id) => !told.has(id)).length, 16)
          assert.strictEqual(yield* portOf(sql), standby.port)
          yield* eventually(
            Effect.zipRight(sql.notify("news", "moved"), Effect.sync(() => heard.join())),
            (heard) => heard.startsWith("Reconnected,Notification")
          )
          // There is no standby any more, and the session on what was one has heard so.
          assert.include((yield* Effect.flip(Effect.repeatN(pidOf(readers.sql), 1))).message, "asks for a standby")
          yield* eventually(readers.pool.stats, ({ size }) => size === 0)
          const sessions = yield* (yield* watch(urlOf(standby))).query("SELECT pid FROM pg_stat_activity")
          assert.notInclude(sessions.map(({ pid }) => pid), reading)
        }),
      120_000
    )
  }
})
