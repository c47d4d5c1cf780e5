/** @internal */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import type { PgPool, PgPoolOptions } from "../../../PgPool.js"
import type { PoolError } from "../../../PoolError.js"
import { PoolClosed } from "../../../PoolError.js"
import * as pool from "../../elasticPool.js"
import type { Target } from "../config/target.js"
import type { Query } from "../driver/query.js"
import { asSqlError, isNotSent, mostRetries, refused } from "../errors/errors.js"
import { Lease, Statements } from "../lease/lease.js"
import * as SessionStream from "../lease/stream.js"
import { makeListen } from "../listen/listen.js"
import { TransactionLevel } from "../transaction/level.js"
import type { Transactions } from "../transaction/transaction.js"
import { makeTransaction, makeWithConnection, withOptions } from "../transaction/transaction.js"
import { json, makeCompiler } from "./compiler.js"
import type { Pool } from "./pooled.js"
import { pooled } from "./pooled.js"
import { makeTransforms } from "./transforms.js"

/**
 * The way of a client's statements to a session: that of the transaction or connection that the fiber is in, else one of
 * the pool.
 */
class Router extends Statements {
  /**
   * A tag of its own for each client, also of another copy of this package, as dependencies may bring one along: nobody
   * else's transaction is taken for ours.
   */
  private readonly tag = Context.GenericTag<TransactionLevel>(`effect-pgpool/Transaction/${randomUUID()}`)

  constructor(private readonly pool: Pool) {
    super()
  }

  readonly enter = <R>(level: TransactionLevel, context: Context.Context<R>): Context.Context<R> => {
    level.isEntered = true
    const entered = Context.add(context, this.tag, level)
    if (!level.isTransaction) return entered as Context.Context<R>
    // Libraries tell transactions apart by it, and batch their queries by that.
    return Context.add(entered, SqlClient.TransactionConnection, [level, level.depth]) as Context.Context<R>
  }

  /**
   * What has ended is passed over: a fiber that outlives a transaction uses what is around that, or the pool. A nested
   * transaction that outlives the one around it is still one; its statements fail.
   */
  readonly current = (context: Context.Context<never>): TransactionLevel | undefined => {
    let level = context.unsafeMap.get(this.tag.key) as TransactionLevel | undefined
    if (level === undefined) {
      // For libraries that carry only the tag of `@effect/sql` along.
      const foreign = context.unsafeMap.get(SqlClient.TransactionConnection.key) as
        | readonly [Connection, number]
        | undefined
      if (foreign?.[0] instanceof TransactionLevel && foreign[0].client === this) level = foreign[0]
    }
    while (level !== undefined && (level.hasEnded || !level.isEntered)) level = level.outer
    return level
  }

  /** A session that was lost after it was handed over is as good as none. */
  readonly withLevel = <A, E, R>(
    f: (level: TransactionLevel) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | SqlError, R> =>
    pool.use(this.pool, (session, loan): Effect.Effect<A, E | SqlError, R> => {
      if (session.isAlive) {
        const level = TransactionLevel.on(this, session)
        loan.onEnd = () => level.end()
        return f(level)
      }
      loan.end()
      return this.withLevel(f)
    }, asSqlError)

  run<A>(statement: Query): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      const level = this.current(fiber.currentContext)
      return level === undefined ? pooled(this.pool, statement) : level.run(statement)
    })
  }

  executeStream(
    ...[sql, params, transformRows]: Parameters<Connection["executeStream"]>
  ): Stream.Stream<any, SqlError> {
    return Stream.unwrapScoped(Effect.withFiberRuntime((fiber) => {
      const level = this.current(fiber.currentContext)
      return level !== undefined
        ? Effect.succeed(level.executeStream(sql, params, transformRows))
        : Effect.succeed(this.stream({ sql, params, transformRows, inTurn: (page) => page }))
    }))
  }

  /** A session that has ended before it read the first request for rows is as good as none. */
  private stream(
    rows: Omit<SessionStream.Rows, "session">,
    retries = mostRetries
  ): Stream.Stream<any, SqlError> {
    return Stream.suspend(() => {
      let hasBegun = false
      return Stream.unwrapScoped(
        Effect.map(
          Effect.mapError(pool.get(this.pool), asSqlError),
          (session) => SessionStream.exclusive({ ...rows, session })
        )
      ).pipe(
        Stream.mapChunks((chunk) => (hasBegun = true, chunk)),
        Stream.catchSome((error) =>
          retries > 0 && !hasBegun && isNotSent(error) ? Option.some(this.stream(rows, retries - 1)) : Option.none()
        )
      )
    })
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

/** What a pool can do for its client's users, also what is in no `PgClient`. */
interface Client extends Pick<PgPool, "client" | "transaction" | "withConnection" | "listen"> {
  /** Ends all listeners, and their session. */
  readonly closeListen: Effect.Effect<void>
}

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
): Effect.Effect<Client, never, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const reactivity = yield* Reactivity.Reactivity
    const closed = () => refused(new PoolClosed({ stats: state.stats() }))
    const { close: closeListen, listen } = yield* makeListen(target, state.settings, state.env, closed)
    const { transformJson, transformQueryNames, transformResultNames } = options
    const compiler = makeCompiler(transformQueryNames, transformJson)
    const transformRows = transformResultNames === undefined
      ? undefined
      : makeTransforms(transformResultNames, transformJson).rows
    const spanAttributes = attributesOf(target, options)
    const router = new Router(state)
    const transactions: Transactions = {
      spanAttributes,
      withLevel: router.withLevel,
      current: router.current,
      enter: router.enter,
      report: (event) => void state.env.fork(event),
      reach: target.reach
    }
    const members = {
      [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
      [PgClient.TypeId as PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
      config: target.config,
      reserve: Effect.mapError(lease(state), asSqlError),
      withTransaction: makeTransaction(transactions)({}),
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query,
      json,
      listen: (channel: string) =>
        Stream.filterMap(listen(channel), (event) =>
          event._tag === "Notification" ? Option.some(event.payload) : Option.none()),
      notify: (channel: string, payload: string) =>
        Effect.asVoid(router.executeRaw("SELECT pg_notify($1, $2)", [channel, payload]))
    }
    // Statements are cached by the identity of their acquirer: each constructor needs one of its own.
    const clientOf = (compiler: Statement.Compiler, rows: typeof transformRows): PgClient.PgClient => {
      const client: any = Object.assign(Statement.make(Effect.succeed(router), compiler, spanAttributes, rows), members)
      client.safe = client
      client.withoutTransforms = () =>
        client
      return client
    }
    const hasTransforms = transformRows !== undefined || transformQueryNames !== undefined
    const plain = clientOf(hasTransforms ? compiler.withoutTransform : compiler, undefined)
    const client = hasTransforms
      ? Object.assign(clientOf(compiler, transformRows), { withoutTransforms: () => plain })
      : plain
    return {
      client,
      transaction: withOptions(transactions),
      withConnection: makeWithConnection(transactions),
      listen,
      closeListen
    }
  })

/** As OpenTelemetry names them. With several hosts nobody knows which one it will be when a span begins. */
const attributesOf = ({ config, hosts }: Target, options: PgPoolOptions): ReadonlyArray<readonly [string, unknown]> => {
  const ports = new Set(hosts.list.map(({ port }) => port))
  return [
    ...Object.entries(options.spanAttributes ?? {}),
    ["db.system.name", "postgresql"],
    ["db.namespace", config.database ?? config.username ?? "postgres"],
    ["server.address", hosts.list.map(({ name }) => name).join(",")],
    ...(ports.size === 1 ? [["server.port", hosts.list[0].port] as const] : [])
  ]
}
