/** A durable workflow of `@effect/workflow` on two runner processes whose cluster lives in our client's database. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { spawn } from "node:child_process"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"
import * as Database from "../support/database.js"
import { clusterLayer, Trip } from "../support/workflow.js"

const runnerFile = fileURLToPath(new URL("../support/workflowRunner.ts", import.meta.url))

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  await once(server.close(), "close")
  return port
})

/** A runner process. It is gone with the scope; and where no finaliser can run, with the pipe to this process. */
const startRunner = Effect.gen(function*() {
  const { url } = yield* Database.Database
  const args = ["--import", "tsx", runnerFile, Redacted.value(url), `${yield* freePort}`]
  return yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, args, { stdio: ["pipe", "inherit", "inherit"] })
      const exited = once(child, "exit")
      const kill = Effect.promise(() => {
        child.kill("SIGKILL")
        return exited
      })
      return { pid: child.pid!, kill }
    }),
    ({ kill }) => kill
  )
})

/** Repeats an effect until what it gives is as it should be; only the limit of the test ends it. */
const waitFor = <A>(effect: Effect.Effect<A>, holds: (a: A) => boolean): Effect.Effect<A> =>
  Effect.repeat(Effect.delay(effect, "100 millis"), { until: holds })

layer(Database.layer, { excludeTestServices: true })("@effect/workflow", (it) => {
  describe("R31: ClusterWorkflowEngine", () => {
    it.scoped(
      "a workflow whose runner is killed goes on on the other, and what it had done is not done again",
      () =>
        Effect.gen(function*() {
          const { server, url } = yield* Database.Database
          yield* server.query("CREATE TABLE ledger (id serial, activity text, runner integer)")
          const ledger = server.query("SELECT activity, runner FROM ledger ORDER BY id")
          // How many shards each of the runners holds.
          const held = server.query(`
            SELECT count(*)::int AS shards FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND datname = current_database() GROUP BY application_name`)
          // The first makes the cluster's tables: of two sessions that do the same CREATE TABLE IF NOT EXISTS at once,
          // one can fail.
          const first = yield* startRunner
          yield* waitFor(held, (rows) => rows.some(({ shards }) => shards === 20))
          const runners = [first, yield* startRunner]
          // A shard that moves takes its workflows along: wait until each has its half.
          yield* waitFor(held, (rows) => rows.filter(({ shards }) => shards === 10).length === 2)

          const result = yield* Effect.fork(
            Trip.execute({ id: "1" }).pipe(
              Effect.provide(Layer.provide(clusterLayer(), PgPool.layer({ url, applicationName: "client" })))
            )
          )
          const [, { runner: lost }] = yield* waitFor(ledger, (rows) => rows.length >= 2)
          const survivor = runners.find(({ pid }) => pid !== lost)!.pid
          yield* runners.find(({ pid }) => pid === lost)!.kill
          yield* server.query("INSERT INTO ledger (activity, runner) VALUES ('killed', $1)", [lost])
          assert.strictEqual(yield* Fiber.join(result), `departed from ${lost}`)
          assert.deepStrictEqual(yield* ledger, [
            { activity: "depart", runner: lost },
            { activity: "change", runner: lost },
            { activity: "killed", runner: lost },
            { activity: "change", runner: survivor },
            { activity: "arrive", runner: survivor }
          ])
        }),
      120_000
    )
  })
})
