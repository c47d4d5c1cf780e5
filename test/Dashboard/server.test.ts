import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import * as Page from "../support/page.js"
import * as PgBouncer from "../support/pgbouncer.js"
import { eventually, makePool, makeTable, run, serverUrl, uniqueName } from "../support/pgPool.js"

const watch = (pool: PgPool.PgPool) => Page.of(Dashboard.router({ pools: [pool] })).watch("/pools/0")

const isKnown = ({ server }: any) => server._tag === "Known"

/** Somebody who holds a connection in a span of this name. */
const hold = (pool: PgPool.PgPool, name: string, ...statements: ReadonlyArray<string>) =>
  Effect.forkScoped(
    Effect.withSpan(
      pool.use((connection) =>
        Effect.zipRight(Effect.forEach(statements, (statement) => run(connection, statement)), Effect.never)
      ),
      name
    )
  )

describe("R44: what the server says of the holders", () => {
  it.scopedLive("its state, what it waits for, and who blocks it", () =>
    Effect.gen(function*() {
      const { pool, sessions } = yield* makePool({ maxsize: 3 })
      const table = yield* makeTable()
      yield* hold(pool, "first", `BEGIN; LOCK TABLE ${table.name}`)
      yield* eventually(sessions, (all) => all.some(({ state }) => state === "idle in transaction"))
      yield* hold(pool, "second", `BEGIN; LOCK TABLE ${table.name}`)
      yield* eventually(sessions, (all) => all.some(({ state }) => state === "active"))
      const isBlocked = ({ holders }: any) => holders[1]?.backend?.blockedBy.length > 0
      const { holders } = yield* Page.until(yield* watch(pool), isBlocked)
      const [first, second] = holders
      assert.deepInclude(first.backend, { state: "idle in transaction", waitsFor: null, blockedBy: [] })
      assert.isAtLeast(first.backend.since, 0)
      assert.deepInclude(second.backend, { state: "active", waitsFor: "Lock: relation" })
      assert.deepInclude(second.backend.blockedBy[0], { processId: first.processId, state: "idle in transaction" })
    }))

  it.scopedLive("it is asked beside the pool, by one session for all who look, and only while somebody does", () =>
    Effect.gen(function*() {
      const { app, pool, sessions, server } = yield* makePool({ maxsize: 2 })
      const beside = server.sessions(`${app} dashboard`)
      yield* hold(pool, "holder")
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      assert.deepStrictEqual(yield* beside, [])
      const before = yield* pool.stats
      yield* Effect.scoped(Effect.gen(function*() {
        const all = yield* Effect.all([watch(pool), watch(pool), watch(pool)])
        yield* Effect.forEach(all, (messages) => Page.until(messages, isKnown), { concurrency: "unbounded" })
        assert.strictEqual((yield* beside).length, 1)
        assert.strictEqual((yield* sessions).length, 1)
      }))
      yield* server.until(`${app} dashboard`, (all) => all.length === 0)
      const after = yield* pool.stats
      assert.deepInclude(after, { acquired: before.acquired, opened: before.opened, size: 1 })
    }))

  it.scopedLive("it is closed with the pool, and comes again after it was lost", () =>
    Effect.gen(function*() {
      const { app, close, pool, server } = yield* makePool({ closeTimeout: "1 second" })
      yield* hold(pool, "holder")
      const messages = yield* watch(pool)
      yield* Page.until(messages, isKnown)
      const [{ pid }] = yield* server.until(`${app} dashboard`, (all) => all.length === 1)
      yield* server.terminate(pid)
      yield* server.until(`${app} dashboard`, ([session]) => session !== undefined && session.pid !== pid)
      yield* close
      assert.deepStrictEqual(yield* server.until(`${app} dashboard`, (all) => all.length === 0), [])
    }))

  it.scopedLive("if it can't be asked the page says why, and all else is there", () =>
    Effect.gen(function*() {
      let isGone = false
      const { pool } = yield* makePool({
        password: Effect.suspend(() =>
          isGone ? Effect.fail("the vault says: hunter2") : Effect.succeed(Redacted.make("postgres"))
        )
      })
      yield* hold(pool, "holder")
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      isGone = true
      const shot = yield* Page.until(yield* watch(pool), ({ server }) => server._tag === "Unknown")
      assert.include(shot.server.why, "see the log")
      assert.notInclude(JSON.stringify(shot), "hunter2")
      assert.deepInclude(shot.holders[0], { backend: null })
      assert.strictEqual(shot.holders[0].takenIn[0].name, "holder")
    }))

  it.scopedLive.skipIf(!PgBouncer.isInstalled)(
    "behind a pooler it says that nothing is known",
    () =>
      Effect.gen(function*() {
        const { url } = yield* PgBouncer.start({ server: serverUrl, mode: "session" })
        const { pool } = yield* makePool({ url })
        yield* hold(pool, "holder")
        const shot = yield* Page.until(yield* watch(pool), ({ server }) => server._tag === "Unknown")
        assert.include(shot.server.why, "a pooler in between")
      })
  )
})

describe("R44: no secrets", () => {
  it.scopedLive("no body has a password, the text or the parameters of a statement, or what a user's function failed with", () =>
    Effect.gen(function*() {
      const password = decodeURIComponent(new URL(Redacted.value(serverUrl)).password)
      let fails = false
      const { pool, sql } = yield* makePool({
        name: uniqueName(),
        database: "template1",
        password: Redacted.make(password),
        maxsize: 1,
        maxoverflow: 1,
        maxwait: 0,
        acquireTimeout: 300,
        outageTimeout: 300,
        leakThreshold: 100,
        onConnect: (connection) => fails ? run(connection, "SELECT 'secret-of-on-connect'::int") : Effect.void
      })
      const page = Page.of(Dashboard.router({ pools: [pool], token: Redacted.make("secret-token-of-page") }))
      const headers = { authorization: "Bearer secret-token-of-page" }
      const messages = yield* page.watch("/pools/0", headers)
      const scope = yield* Scope.make()
      yield* Scope.extend(Effect.forkScoped(sql`SELECT pg_sleep(30), ${"secret-parameter"}, 'secret-literal'`), scope)
      yield* eventually(pool.stats, ({ busy }) => busy === 1)
      yield* Effect.exit(sql`SELECT 1`)
      fails = true
      yield* Scope.close(scope, Exit.void)
      yield* pool.evict({ now: true })
      yield* Effect.exit(sql`SELECT 1`)
      const kinds = new Set<string>()
      const all = yield* messages.pipe(
        Stream.tap(({ data }) => Effect.sync(() => (data.events ?? []).forEach(({ kind }: any) => kinds.add(kind)))),
        Stream.takeUntil(() =>
          ["Exhausted", "Leaked", "ConnectFailed", "OutageBegan"].every((kind) => kinds.has(kind))
        ),
        Stream.runCollect,
        Effect.timeout("20 seconds")
      )
      const bodies = [JSON.stringify([...all]), yield* page.text("/pools", headers)]
      // What there is to hide has been on its way.
      assert.include(bodies[0], "ConnectFailed")
      assert.include(bodies[0], "22P02")
      assert.include(bodies[0], "template1")
      for (const body of bodies) assert.notInclude(body, "secret")
      // The password of the server of the tests is also the name of its user, so its place is looked at.
      const settings = [...all][0]!.data.settings as Array<[string, string]>
      assert.notInclude(settings.map(([option]) => option).join(), "password")
      assert.notInclude(bodies[0], `:${password}@`)
    }))
})
