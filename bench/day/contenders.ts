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

type Named = readonly [name: string, contender: Contender]

const pgPoolOf = (max: number): Named => [`pg-pool, max ${max}`, pgPool(max)]

const autoOf = (maxsize: number): Named => [
  `auto (${maxsize} / 20)`,
  ours({ maxsize, maxwait: "auto", maxoverflow: 20 })
]

const rivalPool = pgPoolOf(20)
const adaptivePool = autoOf(2)

/** The one that the adaptive pool is to be as fast as. */
export const rival = rivalPool[0]

export const adaptive = adaptivePool[0]

const day: ReadonlyArray<Named> = [
  pgPoolOf(10),
  rivalPool,
  ["@effect/sql-pg, max 20", sqlPg(20)],
  ["fixed (10 / 200 ms / 20)", ours({ maxwait })],
  ["the seed's (2 / 200 ms / 20)", ours({ ...seed, whenFull: "fail" })],
  adaptivePool,
  autoOf(10)
]

export const ofTheDay: ReadonlyArray<string> = day.map(([name]) => name)

/** Pools of one kind, from small to large. */
interface Family {
  readonly sizes: ReadonlyArray<number>
  readonly of: (size: number) => Named
}

const adaptives: Family = { sizes: [1, 2, 3, 5, 8, 12], of: autoOf }
const rivals: Family = { sizes: [4, 6, 8, 10, 12, 20], of: pgPoolOf }

export interface Member {
  readonly name: string
  /** Its `maxsize` or its `max`. */
  readonly size: number
}

const membersOf = ({ of, sizes }: Family): ReadonlyArray<Member> => sizes.map((size) => ({ name: of(size)[0], size }))

export const families = { ours: membersOf(adaptives), rivals: membersOf(rivals) }

export const contenders: Record<string, Contender> = Object.fromEntries([
  ...day,
  ...[adaptives, rivals].flatMap(({ of, sizes }) => sizes.map(of))
])
