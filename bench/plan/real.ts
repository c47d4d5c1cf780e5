/** A load on a real server: what the planner is to foretell. */
import { Reactivity } from "@effect/experimental"
import { FileSystem } from "@effect/platform"
import { Cause, Data, Effect, Exit, Redacted, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import { PgPool, PoolRecording } from "effect-pgpool"
import { readRecording } from "../../plan/src/input/recording.js"
import type { Source } from "../../plan/src/load.js"
import type { Arrival, Candidate, Limits } from "../../plan/src/model.js"
import type { Send } from "../day/contenders.js"
import { play } from "../day/play.js"
import { quantile } from "../times.js"

class RequestsFailed extends Data.TaggedError("RequestsFailed")<{ readonly message: string }> {}

/** What the planner foretells, or what really was. Milliseconds. */
export interface Foretold {
  readonly p99: number
  readonly mean: number
}

export interface Real extends Foretold {
  /** What a connect took, on average. */
  readonly connect: number
  /** How late 99 of 100 requests were made, at most. */
  readonly late: number
  /** What the pool has recorded, as the planner reads it. */
  readonly source: Source
  readonly resizes: ReadonlyArray<Limits>
}

/** How often the connections are counted, in milliseconds. */
const perCount = 10

/** Each count holds until the next one: a busy process is late with some. */
class Counts {
  private area = 0
  private readonly begin = performance.now()
  private last = { at: this.begin, size: 0 }

  add(size: number): void {
    const at = performance.now()
    this.area += this.last.size * (at - this.last.at)
    this.last = { at, size }
  }

  get mean(): number {
    return this.area / (this.last.at - this.begin)
  }
}

const waitsOf = (path: string) =>
  PoolRecording.read(path).pipe(
    Stream.runFold([] as Array<number>, (waits, line) => {
      if (line._tag === "Loan") waits.push(line.waited)
      return waits
    }),
    Effect.map((waits) => Float64Array.from(waits).sort())
  )

/** What is played, and when the pool is resized meanwhile. */
export interface Plan {
  readonly arrivals: ReadonlyArray<Arrival>
  readonly resize?: Limits
}

/** Plays it, and gives how late its requests were. */
const playIn = (
  url: string,
  candidate: Candidate,
  { arrivals, resize }: Plan,
  path: string
): Effect.Effect<Omit<Real, "p99" | "source" | "resizes">, unknown, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const pool = yield* PgPool.make({ ...candidate, url: Redacted.make(url) })
    // They outlive the pool, and so hear of its last callers.
    const recording = yield* Effect.forkDaemon(PoolRecording.record(pool, path))
    const connects: Array<number> = []
    yield* Effect.forkScoped(
      Stream.runForEach(pool.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "Opened") connects.push(event.took)
        }))
    )
    const counts = new Counts()
    const count = Effect.map(pool.stats, ({ size }) => counts.add(size))
    yield* Effect.forkScoped(Effect.repeat(count, Schedule.fixed(perCount)))
    if (resize !== undefined) yield* Effect.forkScoped(Effect.delay(pool.resize(resize), resize.at))
    let next = 0
    const send: Send = (done) => {
      const { hold } = arrivals[next++]
      Effect.runFork(pool.client.unsafe(`select pg_sleep(${hold / 1000})`)).addObserver((exit) =>
        done(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined)
      )
    }
    const { failures, late } = yield* play(send, arrivals.map(({ at }) => at))
    yield* count
    if (failures > 0) return yield* new RequestsFailed({ message: `${failures} requests have failed` })
    const connect = connects.reduce((sum, took) => sum + took, 0) / connects.length
    return { recording, connect, late, mean: counts.mean }
  }).pipe(
    Effect.scoped,
    Effect.flatMap(({ recording, ...figures }) => Effect.as(recording.await, figures)),
    Effect.provide(Reactivity.layer)
  )

/** Plays the load against a pool, which is recorded. */
export const playReally = (
  url: string,
  candidate: Candidate,
  plan: Plan
): Effect.Effect<Real, unknown, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = `${yield* fs.makeTempDirectoryScoped()}/pool.ndjson`
    const figures = yield* playIn(url, candidate, plan, path)
    const { resizes = [], source } = yield* readRecording(path, undefined)
    return { ...figures, p99: quantile(yield* waitsOf(path), 0.99), source, resizes }
  })
