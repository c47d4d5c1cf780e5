// Run by scale.test.ts: counts the steps that the pool takes, as V8 does for code coverage. That slows all code down, and who
// measures the coverage would count too: so in a process of its own.
import { Effect } from "effect"
import { Session } from "node:inspector/promises"
import type { Event } from "./fleet.js"
import { events, requests } from "./fleet.js"

const profiler = new Session()
profiler.connect()
await profiler.post("Profiler.enable")
await profiler.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true })

/** How often the parts of the pool's functions were run since the last time. */
const taken = async (): Promise<number> => {
  const { result } = await profiler.post("Profiler.takePreciseCoverage")
  let steps = 0
  for (const { functions, url } of result) {
    if (!url.includes("/src/internal/pool/")) continue
    for (const { ranges } of functions) for (const { count } of ranges) steps += count
  }
  return steps
}

const stepsOf = ({ before, happens }: Event, size: number): Promise<number> =>
  Effect.runPromise(Effect.gen(function*() {
    const fleet = yield* before(size)
    yield* Effect.promise(taken)
    yield* happens(fleet, size)
    const steps = yield* Effect.promise(taken)
    yield* fleet.close
    return steps
  }))

const sizes = process.argv.slice(2).map(Number)
const steps: Record<string, ReadonlyArray<number>> = {}
for (const [name, event] of Object.entries<Event>({ ...events, ...requests })) {
  const each: Array<number> = []
  // What is run for the first time is counted otherwise.
  for (const size of [sizes[0], ...sizes]) each.push(await stepsOf(event, size))
  steps[name] = each.slice(1)
}
console.log(JSON.stringify(steps))
