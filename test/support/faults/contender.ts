/** What is put under a fault: a pool, by what a service does with it. */
import { Reactivity } from "@effect/experimental"
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Exit, Redacted, Scope, Stream } from "effect"
import { PgPool } from "effect-pgpool"
import * as pg from "pg"
import { Sockets } from "./sockets.js"

export type Statement = readonly [text: string, params: ReadonlyArray<unknown>]

export interface Contender {
  /** Rows of a single statement. */
  readonly query: (...statement: Statement) => Effect.Effect<ReadonlyArray<any>, unknown>
  readonly transaction: (statements: ReadonlyArray<Statement>) => Effect.Effect<unknown, unknown>
  /** All rows, one after the other. */
  readonly stream?: (text: string, onRow: Effect.Effect<unknown>, take?: number) => Effect.Effect<unknown, unknown>
  readonly sockets: Sockets
  readonly close: Effect.Effect<void>
  /** Only of ours: what the others don't have. */
  readonly ours?: PgPool.PgPool
}

export interface Connecting {
  readonly url: Redacted.Redacted
  readonly applicationName: string
  /** Connections at most. */
  readonly size: number
  /** Milliseconds that each caller has. Peers without a deadline for callers get it as their own options. */
  readonly deadline: number
  readonly ours?: PgPool.PgPoolOptions | undefined
}

/** So many statements share a connection, of the contender for which they do. */
export const multiplex = 8

type Make = (connecting: Connecting) => Effect.Effect<Contender, unknown, Scope.Scope>

const overSqlClient = (sql: PgClient.PgClient): Pick<Contender, "query" | "transaction" | "stream"> => {
  const query: Contender["query"] = (text, params) => sql.unsafe<any>(text, params as Array<unknown>)
  return {
    query,
    transaction: (statements) => sql.withTransaction(Effect.forEach(statements, (one) => query(...one))),
    stream: (text, onRow, take = Number.MAX_SAFE_INTEGER) =>
      sql.unsafe(text).stream.pipe(Stream.take(take), Stream.runForEach(() => onRow))
  }
}

/** A scope that can be closed before that of the test, and is closed with it. */
const ownScope = Effect.gen(function*() {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  return { scope, close: Scope.close(scope, Exit.void) }
})

const make = (options: PgPool.PgPoolOptions): Make => ({ applicationName, ours, size, url }) =>
  Effect.gen(function*() {
    const sockets = new Sockets()
    const { close, scope } = yield* ownScope
    const pool = yield* PgPool.make({
      url,
      applicationName,
      maxsize: size,
      maxoverflow: size,
      stream: sockets.make,
      ...options,
      ...ours
    }).pipe(Effect.provide(Reactivity.layer), Scope.extend(scope))
    return { ...overSqlClient(pool.client), sockets, close, ours: pool }
  })

const makeStock: Make = ({ applicationName, size, url }) =>
  Effect.gen(function*() {
    const sockets = new Sockets()
    const { close, scope } = yield* ownScope
    const sql = yield* PgClient.make({ url, applicationName, maxConnections: size, stream: sockets.make }).pipe(
      Effect.provide(Reactivity.layer),
      Scope.extend(scope)
    )
    return { ...overSqlClient(sql), sockets, close }
  })

/** As the best of its users have it: with the deadlines that it offers, and a listener for the errors of idle clients. */
const makePgPool: Make = ({ applicationName, deadline, size, url }) =>
  Effect.gen(function*() {
    const sockets = new Sockets()
    const pool = new pg.Pool({
      connectionString: Redacted.value(url),
      application_name: applicationName,
      max: size,
      connectionTimeoutMillis: deadline,
      query_timeout: deadline,
      stream: sockets.make
    })
    pool.on("error", () => {})
    const end = Effect.promise(() => pool.ended ? Promise.resolve() : pool.end())
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(Effect.disconnect(end), Duration.seconds(1))))
    const transact = async (statements: ReadonlyArray<Statement>) => {
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        await client.query("BEGIN")
        for (const [text, params] of statements) await client.query(text, params as Array<unknown>)
        await client.query("COMMIT")
      } catch (error) {
        failure = error as Error
        throw error
      } finally {
        client.release(failure)
      }
    }
    return {
      query: (text, params) =>
        Effect.map(Effect.tryPromise(() => pool.query(text, params as Array<unknown>)), ({ rows }) => rows),
      transaction: (statements) => Effect.tryPromise(() => transact(statements)),
      sockets,
      close: end
    }
  })

export const contenders = {
  "effect-pgpool": make({}),
  "effect-pgpool, multiplex": make({ multiplex }),
  "@effect/sql-pg": makeStock,
  "pg.Pool": makePgPool
}

export type Name = keyof typeof contenders
