/** Those who play the day. */
import { Reactivity } from "@effect/experimental"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Cause, Context, Effect, Exit, Layer, Redacted } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"
import * as Pg from "pg"
import { slowness } from "./play.js"

/** Makes a request, and tells when it is over, with its error if it failed. */
export type Send = (done: (error: unknown) => void) => void

export interface Connecting {
  readonly url: string
  readonly applicationName: string
  /** What each request asks. */
  readonly statement: string
}

type Contender = (connecting: Connecting) => Effect.Effect<Send, unknown, Scope.Scope>

/** The default of `pg-pool`, and so of `@effect/sql-pg`, as slow as all the rest. */
const idleTimeoutMillis = 10_000 * slowness

const pgPool = (max: number): Contender => ({ applicationName, statement, url }) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new Pg.Pool({ connectionString: url, max, application_name: applicationName, idleTimeoutMillis })
    ),
    (pool) => Effect.promise(() => pool.end())
  ).pipe(Effect.map((pool) => (done) => pool.query(statement, done)))

const forked = (request: Effect.Effect<unknown, unknown>): Send => (done) => {
  Effect.runFork(request).addObserver((exit) => done(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined))
}

const sqlPg = (maxConnections: number): Contender => ({ applicationName, statement, url }) =>
  Layer.build(
    PgClient.layer({ url: Redacted.make(url), applicationName, maxConnections, idleTimeout: idleTimeoutMillis })
  ).pipe(
    Effect.map((context) => forked(Context.get(context, SqlClient.SqlClient).unsafe(statement)))
  )

const ours = (options: PgPool.PgPoolOptions): Contender => ({ applicationName, statement, url }) =>
  PgPool.make({ ...options, url: Redacted.make(url), applicationName }).pipe(
    Effect.map(({ client }) => forked(client.unsafe(statement))),
    Effect.provide(Reactivity.layer)
  )

const maxwait = 200 * slowness

const seed = { maxsize: 2, maxwait, maxoverflow: 20 } as const

/** The one that the adaptive pool is to be as fast as. */
export const rival = "pg-pool, max 20"

export const adaptive = "auto (2 / 20)"

export const contenders: Record<string, Contender> = {
  "pg-pool, max 10": pgPool(10),
  [rival]: pgPool(20),
  "@effect/sql-pg, max 20": sqlPg(20),
  "fixed (10 / 200 ms / 20)": ours({ maxwait }),
  "the seed's (2 / 200 ms / 20)": ours({ ...seed, whenFull: "fail" }),
  [adaptive]: ours({ ...seed, maxwait: "auto" }),
  "auto (10 / 20)": ours({ maxwait: "auto" })
}

export const ofTheDay = Object.keys(contenders)
