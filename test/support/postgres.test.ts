import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import pg from "pg"
import { inject } from "vitest"
import * as Postgres from "./postgres.js"

const select = (connectionString: string) =>
  Effect.promise(async () => {
    const client = new pg.Client({ connectionString })
    await client.connect()
    const { rows } = await client.query<{ one: number }>("select 1 as one")
    await client.end()
    return rows
  })

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("Postgres", () => {
  it.live("the server of the run answers", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* select(inject("pgUrl")), [{ one: 1 }])
    }))

  it.live("nothing is left after the scope", () =>
    Effect.gen(function*() {
      const { folder, pid } = yield* Effect.scoped(Effect.gen(function*() {
        const server = yield* Postgres.start({ parameters: { max_connections: "7" } })
        assert.deepStrictEqual(yield* select(server.url), [{ one: 1 }])
        assert.isTrue(isAlive(server.pid))
        assert.isTrue(existsSync(server.folder))
        return server
      }))
      assert.isFalse(isAlive(pid))
      assert.isFalse(existsSync(folder))
    }))

  it.scopedLive("stops and starts again on the same port", () =>
    Effect.gen(function*() {
      const server = yield* Postgres.start()
      yield* server.stop("immediate")
      assert.isFalse(isAlive(server.pid))
      yield* server.start
      assert.deepStrictEqual(yield* select(server.url), [{ one: 1 }])
    }))

  it.scopedLive("fails with the server's own words", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Postgres.start({ parameters: { no_such_parameter: "1" } }))
      assert.include(error.message, "no_such_parameter")
    }))

  it.live("nothing is left when its process is killed", () =>
    Effect.gen(function*() {
      const parent = spawn(
        process.execPath,
        ["--import", "tsx", fileURLToPath(new URL("./postgresParent.ts", import.meta.url))],
        { stdio: ["ignore", "pipe", "inherit"] }
      )
      const [line] = yield* Effect.promise(() => once(createInterface({ input: parent.stdout }), "line"))
      const { folder, pid } = JSON.parse(line)
      assert.isTrue(isAlive(pid))
      parent.kill("SIGKILL")
      yield* Effect.sync(() => isAlive(pid) || existsSync(folder)).pipe(
        Effect.repeat({ while: (left) => left, schedule: Schedule.spaced("50 millis") })
      )
    }))
})
