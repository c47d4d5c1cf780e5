/** Outcomes as the simulation gives them, made by hand. */
import type { Candidate, Outcome } from "../src/model.js"

export const candidate = (maxsize: number, maxoverflow: number, maxwait: Candidate["maxwait"] = "auto"): Candidate => ({
  maxsize,
  maxoverflow,
  maxwait
})

export const outcome = (
  candidate: Candidate,
  { p99 = 0, ...rest }: Partial<Omit<Outcome, "candidate" | "wait">> & { readonly p99?: number } = {}
): Outcome => ({
  candidate,
  requests: 1000,
  wait: { mean: p99 / 10, p50: 0, p99, p999: 2 * p99, max: 3 * p99 },
  refused: 0,
  failed: 0,
  meanConnections: candidate.maxsize,
  peakConnections: candidate.maxoverflow,
  connects: 10,
  queueGrowth: 0,
  ...rest
})
