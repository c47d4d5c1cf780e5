// Run by postgres.test.ts, which kills it: starts a server and never closes its scope.
import { Console, Effect } from "effect"
import * as Postgres from "./postgres.js"

Postgres.start().pipe(
  Effect.flatMap(({ folder, pid }) => Console.log(JSON.stringify({ folder, pid }))),
  Effect.zipRight(Effect.never),
  Effect.scoped,
  Effect.runFork
)
