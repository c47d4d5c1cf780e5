#!/usr/bin/env node
/**
 * The planner as a program: 0 if a candidate meets the target, 2 if none does or the input is wrong, 1 if the report can't be
 * written, 130 after Ctrl-C.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { run } from "./command.js"
import { defectWords } from "./defect.js"
import { playAll } from "./workers.js"

const statusOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.isInterruptedOnly(exit.cause)) return 130
  return Cause.isFailure(exit.cause) ? 2 : 1
}

/** A full disk, or a pipe that nobody reads. */
process.stdout.on("error", ({ message }) => {
  console.error(`The report can't be written: ${message}`)
  process.exit(1)
})

run(playAll)(process.argv).pipe(
  // Mistakes have been told already.
  Effect.tapDefect((cause) => Effect.sync(() => console.error(defectWords(cause)))),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, end) => end(statusOf(exit))
  })
)
