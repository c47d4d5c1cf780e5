// What the pool costs beside its peers, measured side by side in one run: npm run bench
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { cpus } from "node:os"
import * as Postgres from "../test/support/postgres.js"
import { table } from "./measure.js"
import { contended, idle } from "./overhead.js"
import { queries } from "./queries.js"

const program = Effect.gen(function*() {
  yield* Console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0].model}. Medians of 5 rounds, in turn.\n`)
  yield* Console.log(table("Taking an idle item and giving it back", yield* idle))
  for (const fibers of [64, 1000]) {
    yield* Console.log(table(`Waiting for one of 10 items, ${fibers} fibers`, yield* contended(fibers)))
  }
  const { url } = yield* Postgres.start()
  for (const connections of [1, 2, 10]) {
    yield* Console.log(
      table(`\`select $1::int\`, 64 fibers, ${connections} connections`, yield* queries(url, connections))
    )
  }
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
