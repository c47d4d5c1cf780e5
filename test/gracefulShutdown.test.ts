import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { connect } from "node:net"
import { text } from "node:stream/consumers"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { inject } from "vitest"
import { isSleeping, uniqueName, watch } from "./support/pgPool.js"
import { freePort } from "./support/program.js"

const example = fileURLToPath(new URL("../examples/graceful-shutdown.ts", import.meta.url))

/** The example as a process of its own, which listens when this ends. */
const serve = (within: string) =>
  Effect.gen(function*() {
    const app = uniqueName()
    const server = yield* watch()
    const port = yield* freePort
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--import", "tsx", example, "--serve"], {
          stdio: ["ignore", "pipe", "inherit"],
          env: {
            ...process.env,
            DATABASE_URL: inject("pgUrl"),
            PGPOOL_APPLICATION_NAME: app,
            PORT: String(port),
            SHUTDOWN_WITHIN: within
          }
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const output = text(child.stdout)
    const exit = once(child, "exit")
    const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
    const until = (path: string, status: number) =>
      Effect.promise(async () => {
        while (await get(path).then((response) => response.status !== status, () => true)) await delay(20)
      })
    yield* until("/ready", 204)
    return {
      get: (path: string) => Effect.promise(() => get(path)),
      order: () => get("/order"),
      port,
      until,
      terminate: Effect.sync(() => child.kill("SIGTERM")),
      /** How it ended, and what it said. */
      end: Effect.promise(async () => ({ exit: await exit, output: await output })),
      untilSleeping: server.until(app, (sessions) => sessions.some(isSleeping)),
      untilGone: server.until(app, (sessions) => sessions.length === 0)
    }
  })

describe("R36: SIGTERM, with NodeRuntime.runMain", { timeout: 60_000 }, () => {
  it.scopedLive("a request that is under way ends, new ones get 503, and a leaked connection is closed after a while", () =>
    Effect.gen(function*() {
      const { end, get, order, terminate, until, untilGone, untilSleeping } = yield* serve("10 seconds")
      assert.strictEqual((yield* get("/leak")).status, 200)
      const underWay = order()
      yield* untilSleeping
      yield* terminate
      yield* until("/ready", 503)
      const late = yield* get("/order")
      assert.strictEqual(late.status, 503)
      assert.strictEqual(late.headers.get("connection"), "close")
      const response = yield* Effect.promise(() => underWay)
      assert.strictEqual(response.status, 200)
      assert.strictEqual(yield* Effect.promise(() => response.text()), "ordered")
      const { exit, output } = yield* end
      assert.deepStrictEqual(exit, [0, null])
      assert.include(output, "now closed under their borrowers: 1. Callers")
      yield* untilGone
    }))

  it.scopedLive("where nothing is leaked it ends as soon as the last request has, also with a client that has sent half of one", () =>
    Effect.gen(function*() {
      const { end, order, port, terminate, until, untilGone, untilSleeping } = yield* serve("1 hour")
      const idler = connect(port, "127.0.0.1")
      idler.on("error", () => {})
      idler.write("GET /ready HTTP/1.1\r\n")
      const underWay = order()
      yield* untilSleeping
      yield* terminate
      yield* until("/ready", 503)
      assert.strictEqual((yield* Effect.promise(() => underWay)).status, 200)
      const { exit, output } = yield* end
      assert.deepStrictEqual(exit, [0, null])
      assert.notInclude(output, "The drain")
      yield* untilGone
    }))

  it.scopedLive("a second one ends it at once", () =>
    Effect.gen(function*() {
      const { end, get, terminate, until, untilGone } = yield* serve("1 hour")
      yield* get("/leak")
      yield* terminate
      yield* until("/ready", 503)
      yield* terminate
      const { exit } = yield* end
      assert.deepStrictEqual(exit, [143, null])
      yield* untilGone
    }))
})
