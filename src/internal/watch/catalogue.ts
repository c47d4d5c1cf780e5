/** @internal */
import type { Instrument } from "./instruments.js"

/*
 * The metrics of a pool. The names, units and bounds of `db.client.connection` are those of OpenTelemetry's semantic
 * conventions for database clients, 1.44. What these do not have begins with `effect_pgpool`.
 *
 * https://opentelemetry.io/docs/specs/semconv/db/database-metrics/
 */

/** The attribute that all metrics of a pool have. @internal */
export const poolName = "db.client.connection.pool.name"

/** @internal */
export const stateName = "db.client.connection.state"

/** Why a connection was closed. @internal */
export const reasonName = "effect_pgpool.reason"

/** What became of a caller. @internal */
export const outcomeName = "effect_pgpool.outcome"

/** Of histograms: from a millisecond to half a minute, in seconds. @internal */
export const bounds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30]

/** @internal */
export const count: Instrument = {
  name: "db.client.connection.count",
  unit: "{connection}",
  description: "Connections by state"
}

/** @internal */
export const max: Instrument = {
  name: "db.client.connection.max",
  unit: "{connection}",
  description: "The most connections that the pool may have: maxoverflow"
}

/** @internal */
export const idleMax: Instrument = {
  name: "db.client.connection.idle.max",
  unit: "{connection}",
  description: "The most connections that the pool keeps: maxsize"
}

/** @internal */
export const idleMin: Instrument = {
  name: "db.client.connection.idle.min",
  unit: "{connection}",
  description: "The connections that the pool keeps however long they are idle: minsize"
}

/** @internal */
export const pendingRequests: Instrument = {
  name: "db.client.connection.pending_requests",
  unit: "{request}",
  description: "Callers in the queue"
}

/** @internal */
export const timeouts: Instrument = {
  name: "db.client.connection.timeouts",
  unit: "{timeout}",
  description: "Callers that were refused because they had waited for as long as they may"
}

/** @internal */
export const createTime: Instrument = {
  name: "db.client.connection.create_time",
  unit: "s",
  description: "How long connects took that succeeded"
}

/** @internal */
export const waitTime: Instrument = {
  name: "db.client.connection.wait_time",
  unit: "s",
  description: "How long callers waited for the connection that they got"
}

/** @internal */
export const useTime: Instrument = {
  name: "db.client.connection.use_time",
  unit: "s",
  description: "How long callers held a connection"
}

/** @internal */
export const closed: Instrument = {
  name: "effect_pgpool.connection.closed",
  unit: "{connection}",
  description: "Connections that were closed, by reason"
}

/** @internal */
export const connectFailures: Instrument = {
  name: "effect_pgpool.connection.connect_failures",
  unit: "{connection}",
  description: "Connects that failed"
}

/** @internal */
export const overflow: Instrument = {
  name: "effect_pgpool.connection.overflow",
  unit: "{connection}",
  description: "Connects that were begun for connections beyond maxsize"
}

/** @internal */
export const leaked: Instrument = {
  name: "effect_pgpool.connection.leaked",
  unit: "{connection}",
  description: "Connections that were held for longer than leakThreshold"
}

/** @internal */
export const oldestWait: Instrument = {
  name: "effect_pgpool.connection.oldest_wait",
  unit: "s",
  description: "How long the oldest caller in the queue has waited"
}

/** @internal */
export const requests: Instrument = {
  name: "effect_pgpool.connection.requests",
  unit: "{request}",
  description: "Callers that asked for a connection, by what became of them"
}
