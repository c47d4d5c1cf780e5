/** What the planner speaks of: a load, the pools that may serve it, what is around them, and what becomes of the callers. */

/** One request for a connection. */
export interface Arrival {
  /** Milliseconds from the beginning. */
  readonly at: number
  /**
   * How long it holds its connection, in milliseconds, if the server is not busy with others. A hold that was recorded
   * already has in it what the server was busy with then.
   */
  readonly hold: number
}

/** Where requests come from: the same seed gives the same ones. A new iterator begins anew. */
export interface Load {
  /** In words, for the report: "400/s, hold p50=4ms p99=80ms". */
  readonly name: string
  /** How long it is, in milliseconds. */
  readonly duration: number
  /** In order of `at`. Made lazily: a day of 100/s is 8.6 million. */
  readonly arrivals: (seed: number) => Iterable<Arrival>
}

export interface Candidate {
  readonly maxsize: number
  /** Milliseconds, or as the pool forecasts. */
  readonly maxwait: number | "auto"
  readonly maxoverflow: number
}

export interface Outage {
  readonly at: number
  readonly length: number
}

/** The limits of a pool from a time on, in milliseconds from the beginning. */
export interface Limits {
  readonly at: number
  readonly maxsize: number
  readonly maxoverflow: number
}

export interface Surroundings {
  /** What a connect takes, in milliseconds. */
  readonly connect: number
  /** The statements that run share so many cores. `undefined`: each runs at its full speed always. */
  readonly serverCores: number | undefined
  /**
   * Which part of each hold the server works, from 0 to 1: only that becomes longer where the statements that run are more
   * than `serverCores`. In the rest of a hold the server waits for a lock, its disk or the caller. Default: all of it.
   */
  readonly serverPart?: number | undefined
  /** From when, for how long, in milliseconds: connections break, and no connect succeeds. */
  readonly outages: ReadonlyArray<Outage>
  /** When the pool is resized, instead of keeping the numbers of the candidate: as in a recording of it. Default: never. */
  readonly resizes?: ReadonlyArray<Limits> | undefined
  /** Other options of the pool that change what callers see, where they are not the defaults. */
  readonly options: {
    readonly acquireTimeout?: number
    readonly whenFull?: "wait" | "fail"
    readonly expires?: number
  }
}

export interface Outcome {
  readonly candidate: Candidate
  readonly requests: number
  /** Milliseconds that callers waited for a connection. */
  readonly wait: {
    readonly mean: number
    readonly p50: number
    readonly p99: number
    readonly p999: number
    readonly max: number
  }
  /** Callers that the pool gave no connection. */
  readonly refused: number
  /** Ended by an outage. */
  readonly failed: number
  /** Connections that the server holds, those that are opening included, on average over time. */
  readonly meanConnections: number
  readonly peakConnections: number
  readonly connects: number
  /** Demand beyond what it can serve: by how many callers the queue grows each second. 0 where it does not. */
  readonly queueGrowth: number
}

/** Plays a load; tells the part that is done, from 0 to 1, now and then. */
export type Simulate = (
  load: Load,
  candidate: Candidate,
  around: Surroundings,
  seed: number,
  onProgress?: (done: number) => void
) => Outcome
