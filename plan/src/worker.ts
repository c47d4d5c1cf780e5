/** A worker thread: plays one candidate after the other, as it is told to. */
import { parentPort, workerData } from "node:worker_threads"
import type { Source } from "./load.js"
import { loadOf } from "./load.js"
import type { Candidate, Outcome, Surroundings } from "./model.js"
import { simulate } from "./simulate.js"

/** What all candidates have in common. */
export interface Task {
  readonly source: Source
  readonly around: Surroundings
  readonly seed: number
}

/** What a worker says of the candidate that it plays. */
export type Told =
  | { readonly _tag: "Progress"; readonly done: number }
  | { readonly _tag: "Ended"; readonly outcome: Outcome }

const tell = (told: Told) => parentPort?.postMessage(told)

const { around, seed, source }: Task = workerData

parentPort?.on("message", (candidate: Candidate) => {
  const onProgress = (done: number) => tell({ _tag: "Progress", done })
  tell({ _tag: "Ended", outcome: simulate(loadOf(source), candidate, around, seed, onProgress) })
})
