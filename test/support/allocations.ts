/** What is allocated, and by which files of src: counted by V8's own profiler, and not by the size of the heap. */
import { Effect } from "effect"
import type { HeapProfiler } from "node:inspector"
import { Session } from "node:inspector/promises"
import { setFlagsFromString } from "node:v8"

// Optimised code would name the function into which the one that allocates was inlined, or save the allocation.
for (const flag of ["--no-opt", "--no-maglev"]) setFlagsFromString(flag)

/** Bytes for each of so many operations, also of what was garbage at once, by the path below src/internal. */
export type Allocations = (path: string) => number

/** Of what an operation allocates. What is only allocated when a function runs for the first times is left out. */
export const allocationsOf = <E, R>(
  operation: Effect.Effect<unknown, E, R>,
  { measured = 30, warmUp = 150 } = {}
): Effect.Effect<Allocations, E, R> =>
  Effect.gen(function*() {
    yield* Effect.repeatN(operation, warmUp - 1)
    const session = yield* sampling
    yield* Effect.repeatN(operation, measured - 1)
    const { profile } = yield* Effect.promise(() => session.post("HeapProfiler.stopSampling"))
    const nodes = [...nodesOf(profile.head)]
    return (path: string) =>
      nodes.filter(({ callFrame }) => callFrame.url.includes(`/src/internal/${path}`))
        .reduce((sum, { selfSize }) => sum + selfSize, 0) / measured
  }).pipe(Effect.scoped)

/** An interval of one byte: each allocation is a sample. */
const sampling = Effect.acquireRelease(
  Effect.promise(async () => {
    const session = new Session()
    session.connect()
    const everything = {
      samplingInterval: 1,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true
    }
    await session.post("HeapProfiler.startSampling", everything)
    return session
  }),
  (session) => Effect.sync(() => session.disconnect())
)

type Node = HeapProfiler.SamplingHeapProfileNode

function* nodesOf(node: Node): Iterable<Node> {
  yield node
  for (const child of node.children) yield* nodesOf(child)
}
