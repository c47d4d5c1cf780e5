/**
 * An elastic PostgreSQL connection pool for Effect.
 *
 * @since 0.1.0
 */
import { layerFromEnv } from "./PgPool.js"

export * as AtomicRequests from "./AtomicRequests.js"
export * as ElasticPool from "./ElasticPool.js"
export * as PgError from "./PgError.js"
export * as PgPool from "./PgPool.js"
export * as PoolError from "./PoolError.js"
export * as PoolEvent from "./PoolEvent.js"
export * as PoolHealth from "./PoolHealth.js"
export * as PoolHolder from "./PoolHolder.js"
export * as PoolRecording from "./PoolRecording.js"
export * as PoolStats from "./PoolStats.js"

/**
 * The pool from the environment: `PgPool.layerFromEnv()`.
 *
 * @since 0.1.0
 * @category layers
 */
export const PgPoolLayer = layerFromEnv()
