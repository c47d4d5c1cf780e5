import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import type { PgPool } from "effect-pgpool"
import { eventually, isSleeping, makePool, nobodySleeps, promptly, watch } from "../support/pgPool.js"
import { startOnUnixSocket } from "../support/sockets.js"

const credentials = { username: "postgres", password: Redacted.make("postgres"), database: "postgres" }

const url = (text: string) => ({ url: Redacted.make(text) })

/** The ways to name a socket in a folder. */
const ways = (folder: string, port: number): Record<string, PgPool.PgPoolOptions> => ({
  "path, the folder": { path: folder, port, ...credentials },
  "path, the socket": { path: `${folder}/.s.PGSQL.${port}`, ...credentials },
  host: { host: folder, port, ...credentials },
  "a URL with an encoded host": url(
    `postgresql://postgres:postgres@${encodeURIComponent(folder)}:${port}/postgres`
  ),
  "a URL with a query": url(`postgresql:///postgres?host=${folder}&port=${port}&user=postgres&password=postgres`),
  // It has no port.
  "a URL of a socket": { ...url(`socket://postgres:postgres@${folder}?db=postgres`), port }
})

describe("R27: a Unix socket", () => {
  it.scopedLive("every way to name it leads there, and so does the cancel (R16)", () =>
    Effect.gen(function*() {
      const { folder, port, url } = yield* startOnUnixSocket
      const server = yield* watch(Redacted.make(url))
      for (const [name, options] of Object.entries(ways(folder, port))) {
        const { app, pool, sql } = yield* makePool({ url: undefined, cleanupTimeout: "5 seconds", ...options })
        const rows = yield* sql`SELECT client_addr FROM pg_stat_activity WHERE pid = pg_backend_pid()`
        assert.deepStrictEqual(rows, [{ client_addr: null }], name)
        const sleeper = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
        yield* server.until(app, (sessions) => sessions.some(isSleeping))
        yield* promptly(Fiber.interrupt(sleeper))
        yield* server.until(app, nobodySleeps)
        yield* eventually(pool.stats, ({ idle }) => idle === 1)
        assert.strictEqual((yield* pool.stats).opened, 1, name)
      }
    }))

  it.scopedLive("R18: while there is no socket callers wait; they outlive a restart", () =>
    Effect.gen(function*() {
      const server = yield* startOnUnixSocket
      const { pool, sql } = yield* makePool({
        url: undefined,
        path: server.folder,
        port: server.port,
        ...credentials
      })
      yield* sql`SELECT 1`
      yield* server.stop()
      const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* eventually(pool.stats, ({ closed }) => closed.failed > 0)
      yield* server.start
      assert.deepStrictEqual(yield* Fiber.join(caller), [{ one: 1 }])
    }))

  it.scopedLive("R18: an outage that lasts names the socket", () =>
    Effect.gen(function*() {
      const options = { url: undefined, path: "/nowhere", acquireTimeout: 50, outageTimeout: 200 }
      const { sql } = yield* makePool({ ...options, ...credentials })
      const error = yield* Effect.flip(sql`SELECT 1`)
      assert.include(error.message, "ENOENT /nowhere/.s.PGSQL.5432")
    }))
})
