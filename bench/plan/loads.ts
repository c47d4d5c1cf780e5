/** The loads and the pools by which the planner is compared with a real server. */
import type { Candidate } from "../../plan/src/model.js"
import type { Load, Service } from "../simulate/load.js"
import { arrivals, inCycles } from "../simulate/load.js"
import type { Plan } from "./real.js"

/** So long that neither the processors nor whole milliseconds count for much, and of different lengths. */
const service: Service = (random) => 20 + 20 * random.exponential()

/** Up and down like a wave, each 4 seconds, and in steps of a fifth of one. */
const wave = Array.from({ length: 20 }, (_, i) => [0.2, 45 - 40 * Math.cos(Math.PI * (i + 0.5) / 10)] as const)

const phases: Readonly<Record<string, (seconds: number) => Load["phases"]>> = {
  steady: (seconds) => [[seconds, 50]],
  swinging: (seconds) => inCycles(seconds, 4, wave),
  bursts: (seconds) => inCycles(seconds, 2, [[0.5, 150], [1.5, 10]])
}

/** What is asked, by the name of the load: the same each time. */
export const loads = (seconds: number): ReadonlyArray<readonly [name: string, plan: Plan]> =>
  Object.entries(phases).map(([name, phasesOf]) => [
    name,
    { arrivals: [...arrivals({ phases: phasesOf(seconds), service }, 1)] }
  ])

/** The pool that is recorded, and the other one of which the recording is to tell, too. */
export const recorded: Candidate = { maxsize: 2, maxwait: "auto", maxoverflow: 10 }
export const other: Candidate = { maxsize: 4, maxwait: 100, maxoverflow: 6 }
