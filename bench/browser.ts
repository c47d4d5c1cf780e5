/** Somebody who looks at the live page: it is served by this process, as by an application, and read in another one. */
import { Effect, Layer, Logger, LogLevel } from "effect"
import type { Scope } from "effect"
import type { PgPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { freePort } from "../test/support/program.js"

/** What a browser does without drawing: it reads all that it is sent. */
const reader = `
  const { body } = await fetch(process.argv[1])
  for await (const _ of body) process.stdout.write(".")
`

/** Looks until the end of the scope, from the first snapshot on. */
export const look = (pool: PgPool.PgPool): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const port = yield* freePort
    yield* Layer.build(Dashboard.layer({ pools: [pool], port })).pipe(Logger.withMinimumLogLevel(LogLevel.Warning))
    const { stdout } = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const args = ["--input-type=module", "--eval", reader, `http://127.0.0.1:${port}/pools/0`]
        return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
      }),
      (child) => Effect.sync(() => child.kill())
    )
    yield* Effect.promise(() => once(stdout, "data"))
    stdout.resume()
  })
