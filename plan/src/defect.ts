/** What is said of a mistake of the planner itself. */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import { WorkerFailed } from "./workers.js"

/** Threads fail together, and for the same reason: it is said once. */
export const defectWords = (cause: Cause.Cause<unknown>): string => {
  const failed = Chunk.findFirst(Cause.defects(cause), (defect) => defect instanceof WorkerFailed)
  return failed._tag === "Some" ? failed.value.message : Cause.pretty(cause)
}
