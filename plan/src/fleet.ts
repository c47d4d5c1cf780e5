/** What all processes together hold, beside what the server allows. */
import type { Demand } from "./demand.js"
import type { Candidate, Outcome } from "./model.js"

export interface Fleet {
  /** Processes with a pool of their own. Each has the load. */
  readonly instances: number
  /** While a new version is rolled out, old and new ones run at once. */
  readonly rollout: boolean
  readonly maxConnections: number | undefined
  readonly serverCores: number | undefined
  /** Which part of a hold is work of the server. */
  readonly serverPart: number
}

/** `superuser_reserved_connections` of a server that was not told otherwise. */
export const reserved = 3

/** A listener has a session beyond all limits of the pool. */
const listener = 1

const processes = ({ instances, rollout }: Fleet): number => rollout ? 2 * instances : instances

export interface Count {
  /** On average, while the load lasts. */
  readonly mean: number
  /** What the processes keep. */
  readonly kept: number
  /** All processes have their rush at once. */
  readonly worst: number
  /** What the server allows, if it is known. */
  readonly allowed: number | undefined
}

export const countOf = (fleet: Fleet, { candidate, meanConnections }: Outcome): Count => ({
  mean: fleet.instances * meanConnections,
  kept: fleet.instances * candidate.maxsize,
  worst: worstOf(fleet, candidate),
  allowed: allowedBy(fleet)
})

const worstOf = (fleet: Fleet, { maxoverflow }: Candidate): number => processes(fleet) * (maxoverflow + listener)

const allowedBy = ({ maxConnections }: Fleet): number | undefined =>
  maxConnections === undefined ? undefined : maxConnections - reserved

export const fits = (fleet: Fleet, candidate: Candidate): boolean =>
  worstOf(fleet, candidate) <= (allowedBy(fleet) ?? Infinity)

/** The highest `maxoverflow` with which all processes fit. Below 1 none does. */
export const mostOverflow = (fleet: Fleet): number =>
  Math.floor((allowedBy(fleet) ?? Infinity) / processes(fleet)) - listener

/** The cores that the others leave to one process, on average. */
export const coresForOne = ({ instances, serverCores, serverPart }: Fleet, { mean }: Demand): number | undefined =>
  serverCores === undefined ? undefined : serverCores - (instances - 1) * mean * serverPart

/** All cores work all the time, and that is not enough. */
export interface Overload {
  readonly needed: number
  readonly cores: number
  /** By how many callers the queues of all processes grow each second. */
  readonly growth: number
}

export const overloadOf = (
  { instances, serverCores, serverPart }: Fleet,
  { mean, perSecond }: Demand
): Overload | undefined => {
  const needed = instances * mean * serverPart
  return serverCores === undefined || needed < serverCores
    ? undefined
    : { needed, cores: serverCores, growth: instances * perSecond * (1 - serverCores / needed) }
}
