/** Whether waiting by a forecast is ever worse than waiting for a fixed time, or than not waiting. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { twentyFibers } from "./loads/fibers.js"
import { grid } from "./loads/grid.js"
import { oddCells } from "./loads/odd.js"
import { real } from "./loads/real.js"
import { markdown } from "./loads/simulated.js"
import type { Section } from "./report.js"

export interface Options {
  readonly url: string
  /** How long each contender works in each place of the real part. */
  readonly seconds: number
  readonly quick: boolean
}

/** Every so many loads of the grid, so that all that it takes is tried. */
const quickly = <A>(cells: ReadonlyArray<A>, every: number): ReadonlyArray<A> => cells.filter((_, i) => i % every === 0)

const simulated = (quick: boolean): Effect.Effect<Section> =>
  Effect.sync(() => {
    const cells = quick ? quickly(grid(50), 19) : grid(2000)
    const { text, worse } = markdown(cells, quick ? [] : oddCells)
    // There is no noise in it.
    if (worse > 0 && !quick) process.exitCode = 1
    return {
      title: "Three ways to wait at maxsize, in simulated time",
      command: "npm run bench -- loads",
      markdown: text
    }
  })

export const loads = ({ quick, seconds, url }: Options): Effect.Effect<ReadonlyArray<Section>, unknown, Scope.Scope> =>
  Effect.all([simulated(quick), twentyFibers({ seconds, url }), real({ seconds, url })])
