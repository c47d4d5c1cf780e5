/** @internal */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PgPoolOptions } from "../../PgPool.js"
import type { PoolError } from "../../PoolError.js"
import * as pool from "../elasticPool.js"
import type { ElasticPoolState } from "../pool/pool.js"
import type { Target } from "./config.js"
import { Lease, Statements } from "./connection.js"
import { asSqlError } from "./errors.js"
import { makeListen } from "./listen.js"
import type { Hooks, Session } from "./session.js"
import * as SessionStream from "./stream.js"
import type { Level, Transactions } from "./transaction.js"
import { makeWithTransaction } from "./transaction.js"

/** @internal */
export type Pool = ElasticPoolState<Session, SqlError>

let clients = 0

/**
 * The way of a client's statements to a session: that of the transaction that the fiber is in, else one of the pool.
 */
class Router extends Statements {
  /** A tag of its own for each client: nobody else's transaction is taken for ours. */
  private readonly tag = Context.GenericTag<Level>(`effect-pgpool/Transaction/${++clients}`)
  /** For libraries that carry only the tag of `@effect/sql` along. */
  private readonly levels = new WeakMap<Connection, Level>()

  constructor(private readonly pool: Pool) {
    super()
  }

  readonly enter = (level: Level) => <R>(context: Context.Context<R>): Context.Context<R> => {
    this.levels.set(level.lease, level)
    return context.pipe(
      Context.add(this.tag, level),
      Context.add(SqlClient.TransactionConnection, [level.lease, level.depth])
    ) as Context.Context<R>
  }

  /** A transaction that has ended is none: what outlives it uses the pool. */
  readonly current = (context: Context.Context<never>): Level | undefined => {
    let level = context.unsafeMap.get(this.tag.key) as Level | undefined
    if (level === undefined) {
      const foreign = context.unsafeMap.get(SqlClient.TransactionConnection.key) as
        | readonly [Connection, number]
        | undefined
      if (foreign !== undefined) level = this.levels.get(foreign[0])
    }
    return level?.lease.isAlive === true ? level : undefined
  }

  readonly withPooled = <A, E, R>(f: (session: Session) => Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    pool.use(this.pool, (session) => f(session), asSqlError)

  /**
   * A plain statement's session is given back with the answer, before the caller has even seen it: the next caller's
   * statement is on its way to the server meanwhile.
   */
  withSession<A>(f: (session: Session, hooks: Hooks) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      const level = this.current(fiber.currentContext)
      return level === undefined
        ? pool.use(this.pool, (session, giveBack) => f(session, { onAnswer: giveBack }), asSqlError)
        : level.lease.withSession(f)
    })
  }

  executeStream(
    ...[sql, params, transformRows]: Parameters<Connection["executeStream"]>
  ): Stream.Stream<any, SqlError> {
    return Stream.unwrapScoped(Effect.withFiberRuntime((fiber) => {
      const level = this.current(fiber.currentContext)
      return level !== undefined
        ? Effect.succeed(level.lease.executeStream(sql, params, transformRows))
        : Effect.map(
          Effect.mapError(pool.get(this.pool), asSqlError),
          (session) => SessionStream.cursor({ session, sql, params, transformRows, inTurn: (page) => page, hooks: {} })
        )
    }))
  }
}

/**
 * A lease of the pool's, dead once the scope is closed (R15).
 *
 * @internal
 */
export const lease = (state: Pool): Effect.Effect<Lease, SqlError | PoolError, Scope.Scope> =>
  Effect.flatMap(
    pool.get(state),
    (session) => Effect.acquireRelease(Effect.sync(() => new Lease(session)), (lease) => Effect.sync(() => lease.end()))
  )

/**
 * `SqlClient` and `PgClient` over a pool. Not `SqlClient.make`: it looks for the global transaction tag before it asks
 * us, so that a query of another client would run in our transaction, and its `withTransaction` turns errors of COMMIT
 * and ROLLBACK into defects.
 *
 * @internal
 */
export const makeClient = (
  state: Pool,
  target: Target,
  options: PgPoolOptions
): Effect.Effect<PgClient.PgClient, never, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const reactivity = yield* Reactivity.Reactivity
    const listen = yield* makeListen(target)
    const { transformJson, transformQueryNames, transformResultNames } = options
    const compiler = PgClient.makeCompiler(transformQueryNames, transformJson)
    const transformRows = transformResultNames === undefined
      ? undefined
      : Statement.defaultTransforms(transformResultNames, transformJson).array
    const spanAttributes = attributesOf(target, options)
    const router = new Router(state)
    const transactions: Transactions = {
      spanAttributes,
      withSession: router.withPooled,
      current: router.current,
      enter: router.enter,
      invalidate: (session) => state.invalidate(session),
      cleanupTimeout: target.cleanupTimeout
    }
    const members = {
      [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
      [PgClient.TypeId as PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
      config: target.config,
      reserve: Effect.mapError(lease(state), asSqlError),
      withTransaction: makeWithTransaction(transactions),
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query,
      json: PgJson,
      listen,
      notify: (channel: string, payload: string) =>
        Effect.asVoid(router.executeRaw("SELECT pg_notify($1, $2)", [channel, payload]))
    }
    // Statements are cached by the identity of their acquirer: each constructor needs one of its own.
    const clientOf = (compiler: Statement.Compiler, rows: typeof transformRows): PgClient.PgClient => {
      const client: any = Object.assign(Statement.make(Effect.succeed(router), compiler, spanAttributes, rows), members)
      client.safe = client
      client.withoutTransforms = () => client
      return client
    }
    if (transformRows === undefined && transformQueryNames === undefined) return clientOf(compiler, undefined)
    const plain = clientOf(compiler.withoutTransform, undefined)
    return Object.assign(clientOf(compiler, transformRows), { withoutTransforms: () => plain })
  })

const PgJson = Statement.custom<PgClient.PgCustom>("PgJson") as (value: unknown) => Statement.Fragment

/** As OpenTelemetry names them. */
const attributesOf = ({ config }: Target, options: PgPoolOptions): ReadonlyArray<readonly [string, unknown]> => [
  ...Object.entries(options.spanAttributes ?? {}),
  ["db.system.name", "postgresql"],
  ["db.namespace", config.database ?? config.username ?? "postgres"],
  ["server.address", config.host ?? "localhost"],
  ["server.port", config.port ?? 5432]
]
