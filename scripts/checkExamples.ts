/**
 * Runs every program that lies directly in examples/, each with an empty database at DATABASE_URL. It must end by
 * itself, with status 0. What needs more than that (the demo) has a folder of its own and is not run here,
 * nor is what `npm test` runs.
 */
import { Command, FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect } from "effect"
import * as Postgres from "../test/support/postgres.js"

class ExampleFailed extends Data.TaggedError("ExampleFailed")<{ readonly message: string }> {}

const run = (file: string) =>
  Effect.gen(function*() {
    yield* Console.log(`\n-- examples/${file}`)
    const { url } = yield* Postgres.start()
    const status = yield* Command.make(process.execPath, "--import", "tsx", `examples/${file}`).pipe(
      Command.env({ DATABASE_URL: url }),
      Command.stdout("inherit"),
      Command.stderr("inherit"),
      Command.exitCode,
      Effect.timeoutFail({
        duration: "3 minutes",
        onTimeout: () => new ExampleFailed({ message: `examples/${file} did not end within 3 minutes` })
      })
    )
    if (status !== 0) return yield* new ExampleFailed({ message: `examples/${file} ended with status ${status}` })
  }).pipe(Effect.scoped)

Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const files = (yield* fs.readDirectory("examples")).filter((file) => /(?<!\.test)\.ts$/.test(file)).sort()
  yield* Effect.forEach(files, run, { discard: true })
}).pipe(Effect.provide(NodeContext.layer), NodeRuntime.runMain)
