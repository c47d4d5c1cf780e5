/** A process of its own that answers requests: neither another one's code nor its garbage is in its way. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import type { WorkerError } from "@effect/platform/WorkerError"
import * as WorkerRunner from "@effect/platform/WorkerRunner"
import { Layer, Schema } from "effect"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"

/** What a contender in such a process is asked: so many operations. */
export class Run extends Schema.TaggedRequest<Run>()("Run", {
  payload: { operations: Schema.Number },
  success: Schema.Struct({ wall: Schema.Number, cpu: Schema.Number }),
  failure: Schema.Defect
}) {}

/** Where the workers of a file come from: each has a process in which that `serve`s. */
export const layer = (file: URL, ...args: ReadonlyArray<string>) =>
  // Figures come over as they are, also what is not a number.
  NodeWorker.layer(() => fork(fileURLToPath(file), [...args], { serialization: "advanced" }))

/** Answers requests until the process that asks has ended, whichever way that does. */
export const serve = (runner: Layer.Layer<never, WorkerError, WorkerRunner.PlatformRunner>): void => {
  process.on("disconnect", () => process.exit())
  NodeRuntime.runMain(WorkerRunner.launch(Layer.provide(runner, NodeWorkerRunner.layer)))
}
