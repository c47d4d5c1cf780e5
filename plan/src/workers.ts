/** Plays candidates on all cores, in worker threads. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import type { Source } from "./load.js"
import type { Candidate, Outcome, Surroundings } from "./model.js"
import type { Task, Told } from "./worker.js"

/** A worker thread has ended by itself, which is a mistake of the planner. */
export class WorkerFailed extends Data.TaggedError("WorkerFailed")<{ readonly cause: unknown }> {
  override get message(): string {
    return `A thread of the planner has failed: ${String(this.cause).split("\n", 1)[0]}`
  }
}

const program = new URL("./worker.js", import.meta.url)

/** In a clone this runs from its sources, which a thread can't read by itself. */
const fromSource = `import("tsx/esm/api").then(({ register }) => {
  register()
  return import(${JSON.stringify(program.href.replace(/js$/, "ts"))})
})`

/** Connects make garbage in heaps: with room for more of it, it is collected less often. */
const resourceLimits = { maxYoungGenerationSizeMb: 192 }

const makeWorker = (workerData: Task): Worker =>
  import.meta.url.endsWith(".ts")
    ? new Worker(fromSource, { eval: true, workerData, resourceLimits })
    : new Worker(program, { workerData, resourceLimits })

class Thread {
  private hear: (told: Told) => void = () => {}

  constructor(private readonly worker: Worker, private readonly failed: Deferred.Deferred<never>) {
    const fail = (cause: unknown) => Deferred.unsafeDone(failed, Effect.die(new WorkerFailed({ cause })))
    worker.on("message", (told: Told) => this.hear(told)).on("error", fail)
    worker.on("exit", (code) => fail(`it has ended with code ${code}`))
  }

  play(candidate: Candidate, onProgress: (done: number) => void): Effect.Effect<Outcome> {
    const played = Effect.async<Outcome>((resume) => {
      this.hear = (told) => told._tag === "Progress" ? onProgress(told.done) : resume(Effect.succeed(told.outcome))
      this.worker.postMessage(candidate)
    })
    return Effect.raceFirst(played, Deferred.await(this.failed))
  }

  /** At once, whatever it is at. */
  readonly end = Effect.promise(() => this.worker.terminate())
}

const start = (task: Task): Effect.Effect<Thread, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(Deferred.make<never>(), (failed) => new Thread(makeWorker(task), failed)),
    ({ end }) => end
  )

/**
 * Plays each candidate, and gives what has become of them in the same order. `onProgress` is told the part that is done,
 * from 0 to 1. An interrupt ends all threads.
 */
export const playAll = (
  source: Source,
  candidates: ReadonlyArray<Candidate>,
  around: Surroundings,
  seed: number,
  onProgress: (done: number) => void = () => {}
): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.gen(function*() {
    const threads = Math.min(candidates.length, availableParallelism())
    const idle = yield* Effect.all(Array.from({ length: threads }, () => start({ source, around, seed })))
    const parts = candidates.map(() => 0)
    const progress = (i: number) => (done: number) => {
      parts[i] = done
      onProgress(parts.reduce((sum, part) => sum + part, 0) / parts.length)
    }
    return yield* Effect.forEach(candidates, (candidate, i) =>
      Effect.suspend(() => {
        // As many candidates are played at the same time as there are threads.
        const thread = idle.pop()!
        return Effect.tap(thread.play(candidate, progress(i)), () => idle.push(thread))
      }), { concurrency: threads })
  }).pipe(Effect.scoped)
