import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { uniqueName, watch } from "./support/pgPool.js"
import * as Postgres from "./support/postgres.js"
import { freePort } from "./support/program.js"

const example = fileURLToPath(new URL("../examples/http-service.ts", import.meta.url))

/** The example as a process of its own, on a server of its own. It is ready when this ends. */
const serve = Effect.gen(function*() {
  const postgres = yield* Postgres.start()
  const app = uniqueName()
  const port = yield* freePort
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--import", "tsx", example, "--serve"], {
        stdio: ["ignore", "ignore", "inherit"],
        env: { ...process.env, DATABASE_URL: postgres.url, PGPOOL_APPLICATION_NAME: app, PORT: String(port) }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const exit = once(child, "exit")
  const url = `http://127.0.0.1:${port}`
  // What comes before the handlers are there is never answered.
  const status = (path: string) =>
    fetch(url + path, { signal: AbortSignal.timeout(5000) }).then((response) => response.status)
  const until = (path: string, expected: number) =>
    Effect.promise(async () => {
      while (await status(path).catch(() => 0) !== expected) await delay(20)
    })
  yield* until("/ready", 204)
  return {
    app,
    postgres,
    status: (path: string) => Effect.promise(() => status(path)),
    until,
    terminate: Effect.sync(() => child.kill("SIGTERM")),
    transfer: () =>
      fetch(`${url}/transfer`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ from: "Ada", to: "Bob", amount: 1 })
      }),
    end: Effect.promise(() => exit)
  }
})

describe("R36: the endpoints of the HTTP example", { timeout: 90_000 }, () => {
  it.scopedLive("at SIGTERM readiness fails, liveness does not, and a request that is under way ends", () =>
    Effect.gen(function*() {
      const { app, end, postgres, status, terminate, transfer, until } = yield* serve
      const server = yield* watch(Redacted.make(postgres.url))
      assert.strictEqual(yield* status("/live"), 204)
      yield* server.query("BEGIN")
      yield* server.query("SELECT FROM example_accounts WHERE owner = 'Ada' FOR UPDATE")
      const underWay = transfer()
      yield* server.until(app, (sessions) => sessions.some(({ wait_event }) => wait_event === "transactionid"))
      yield* terminate
      yield* until("/ready", 503)
      assert.strictEqual(yield* status("/live"), 204)
      assert.strictEqual((yield* Effect.promise(transfer)).status, 503)
      yield* server.query("ROLLBACK")
      assert.strictEqual((yield* Effect.promise(() => underWay)).status, 204)
      assert.deepStrictEqual(yield* end, [0, null])
      assert.deepStrictEqual(yield* server.query("SELECT balance FROM example_accounts ORDER BY owner"), [
        { balance: 99 },
        { balance: 1 }
      ])
    }))

  it.scopedLive("while the database is down readiness fails, and liveness does not", () =>
    Effect.gen(function*() {
      const { postgres, status, until } = yield* serve
      yield* postgres.stop()
      yield* until("/ready", 503)
      assert.strictEqual(yield* status("/live"), 204)
      yield* postgres.start
      yield* until("/ready", 204)
    }))
})
