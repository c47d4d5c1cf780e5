// Plays the day with one contender, in a process of its own, which ../day.ts starts with a job.
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import type { Connecting } from "./contenders.js"
import { contenders } from "./contenders.js"
import type { Day, Score } from "./play.js"
import { planOf, play } from "./play.js"

export interface Job extends Day, Connecting {
  readonly contender: string
}

/** What it tells: first that it begins, then how it went. */
export type Message = "begins" | Score

const tell = (message: Message) => Effect.promise(() => new Promise((resolve) => process.send!(message, resolve)))

/** Requests by which the code is compiled, as in a process that has run for longer: one each millisecond. */
const warmUp = Array.from({ length: 2000 }, (_, i) => i)

const program = Effect.gen(function*() {
  const job: Job = JSON.parse(process.argv[2])
  const plan = planOf(job)
  const make = contenders[job.contender]
  // The pool that is measured opens everything anew.
  yield* Effect.scoped(Effect.flatMap(make({ ...job, applicationName: "warm-up" }), (send) => play(send, warmUp)))
  const send = yield* make(job)
  yield* tell("begins")
  yield* tell(yield* play(send, plan))
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
