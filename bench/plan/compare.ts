/** What the planner foretells from a recording, beside what then really happens. */
import type { FileSystem } from "@effect/platform"
import { Console, Effect } from "effect"
import type { Scope } from "effect"
import { median } from "simple-statistics"
import { loadOf } from "../../plan/src/load.js"
import type { Candidate } from "../../plan/src/model.js"
import { simulate } from "../../plan/src/simulate.js"
import { other, recorded } from "./loads.js"
import type { Foretold, Plan, Real } from "./real.js"
import { playReally } from "./real.js"

export interface Comparison {
  readonly load: string
  readonly candidate: Candidate
  readonly real: Foretold
  readonly foretold: Foretold
}

/** By how many times the greater is greater than the other one. Whole milliseconds are all that a recording has. */
export const apart = (one: number, other: number): number => (Math.max(one, other) + 1) / (Math.min(one, other) + 1)

/** Requests that come later than this, in milliseconds: the machine is busy with something else. */
const tooLate = 15

/** A run that was disturbed says nothing, and is played again. If all were, the one that was disturbed least counts. */
const undisturbed = <R>(play: Effect.Effect<Real, unknown, R>, tries = 5): Effect.Effect<Real, unknown, R> =>
  Effect.flatMap(play, (real) =>
    real.late <= tooLate || tries === 1
      ? Effect.succeed(real)
      : Console.error(`Again: requests were up to ${real.late.toFixed(0)} ms late`).pipe(
        Effect.zipRight(undisturbed(play, tries - 1)),
        Effect.map((again) => again.late < real.late ? again : real)
      ))

type Recording = Pick<Real, "source" | "resizes">

/**
 * A connect takes what it took in the run that is foretold: the machine may have been busier while the other pool was
 * recorded.
 */
const foretell = ({ resizes, source }: Recording, candidate: Candidate, { connect }: Real): Foretold => {
  const around = { connect, serverCores: undefined, outages: [], options: {}, resizes }
  const { meanConnections, wait } = simulate(loadOf(source), candidate, around, 1)
  return { mean: meanConnections, p99: wait.p99 }
}

const medians = (figures: ReadonlyArray<Foretold>): Foretold => ({
  mean: median(figures.map(({ mean }) => mean)),
  p99: median(figures.map(({ p99 }) => p99))
})

/** Records one pool so many times, and plays the recordings for that one and for another one, which is also played. */
export const compare = (
  url: string,
  [load, plan]: readonly [name: string, plan: Plan],
  runs: number
): Effect.Effect<ReadonlyArray<Comparison>, unknown, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const play = (candidate: Candidate) => Effect.replicateEffect(undisturbed(playReally(url, candidate, plan)), runs)
    const recordings = yield* play(recorded)
    const others = yield* play(other)
    const comparison = (candidate: Candidate, real: ReadonlyArray<Real>): Comparison => ({
      load,
      candidate,
      real: medians(real),
      foretold: medians(recordings.map((recording, run) => foretell(recording, candidate, real[run])))
    })
    return [comparison(recorded, recordings), comparison(other, others)]
  })
