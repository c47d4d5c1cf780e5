/** @internal */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PgPool, PgPoolOptions } from "../../../PgPool.js"
import { PoolClosed } from "../../../PoolError.js"
import type { Target } from "../config/target.js"
import { asSqlError, refused } from "../errors/errors.js"
import { makeListen } from "../listen/listen.js"
import type { Transactions } from "../transaction/transaction.js"
import { makeTransaction, makeWithConnection, withOptions } from "../transaction/transaction.js"
import { attributesOf } from "./attributes.js"
import { json, makeCompiler } from "./compiler.js"
import type { SessionPool } from "./pooled.js"
import { reserve, Router } from "./router.js"
import { makeStatements } from "./statement.js"
import { makeTransforms } from "./transforms.js"

/** The abilities that a pool offers to the users of its client, including those that no `PgClient` has. */
interface Face extends Pick<PgPool, "client" | "transaction" | "withConnection" | "listen"> {
  /** Ends all listeners and their session. */
  readonly closeListen: Effect.Effect<void>
}

/**
 * `SqlClient` and `PgClient` over a pool. They do not use `SqlClient.make`, for two reasons. It looks for the global
 * transaction tag before it asks us, so a query of another client would run in our transaction. And its
 * `withTransaction` turns errors of COMMIT and ROLLBACK into defects.
 *
 * @internal
 */
export const makeClient = (
  state: SessionPool,
  target: Target,
  options: PgPoolOptions
): Effect.Effect<Face, never, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const reactivity = yield* Reactivity.Reactivity
    const closed = () => refused(new PoolClosed({ stats: state.stats() }))
    const { close: closeListen, listen } = yield* makeListen(target, state.settings, state.env, closed)
    const { transformJson, transformQueryNames, transformResultNames } = options
    const compiler = makeCompiler(transformQueryNames, transformJson)
    const transformRows = transformResultNames === undefined
      ? undefined
      : makeTransforms(transformResultNames, transformJson).rows
    const spanAttributes = [...Object.entries(options.spanAttributes ?? {}), ...attributesOf(target)]
    const router = new Router(state, target.operations)
    const transactions: Transactions = {
      spanAttributes,
      withLevel: router.withLevel,
      current: router.current,
      enter: router.enter,
      log: state.env.log,
      reach: target.reach
    }
    const members = {
      [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
      [PgClient.TypeId as PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
      config: target.config,
      reserve: Effect.mapError(reserve(state), asSqlError),
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
    const clientOf = (compiler: Statement.Compiler, rows: typeof transformRows): PgClient.PgClient => {
      const client: any = Object.assign(makeStatements(router, compiler, spanAttributes, rows), members)
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
