/**
 * What stock `PgClient.layer` does wrong, as tests: written against what both clients have, so that
 * `HAZARDS_CLIENT=stock npx vitest run test/hazards` runs the same ones on stock, where each fails.
 */
import { PgClient } from "@effect/sql-pg"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Redacted, Scope } from "effect"
import type { Duration } from "effect"
import { PgPool } from "effect-pgpool"
import type { Backend, Server } from "./pgPool.js"
import { isSleeping, nobodySleeps, serverUrl, uniqueName, watch } from "./pgPool.js"
import type { PostgresError } from "./postgres.js"
import { startOnUnixSocket } from "./sockets.js"

export const isOurs = process.env["HAZARDS_CLIENT"] !== "stock"

/** For what can't be said with the members and options that stock has. */
export const describeOurs = describe.skipIf(!isOurs)

export interface Options extends Omit<PgClient.PgClientConfig, "maxConnections" | "minConnections" | "connectionTTL"> {
  /** The size of the pool. Default: 10, as that of both. */
  readonly connections?: number | undefined
  /** The server on which the sessions are watched. Default: that of the run. */
  readonly watched?: Redacted.Redacted | undefined
  /** Settings for which stock has no option. */
  readonly ours?: PgPool.PgPoolOptions | undefined
}

export interface Client {
  readonly sql: PgClient.PgClient
  /** Its `application_name`. */
  readonly app: string
  /** A look past the client. */
  readonly server: Server
  readonly sessions: Effect.Effect<Array<Backend>>
  readonly until: (holds: (sessions: Array<Backend>) => boolean) => Effect.Effect<Array<Backend>>
  /** Closes its scope, in the time that this takes. */
  readonly close: Effect.Effect<void>
}

export const layerOf = ({ connections = 10, ours, watched: _, ...settings }: Options) =>
  isOurs
    ? PgPool.layer({ url: serverUrl, ...settings, maxsize: connections, maxoverflow: connections, ...ours })
    : PgClient.layer({ url: serverUrl, ...settings, maxConnections: connections })

/** The client that is tested, for the life of the scope, which it can't hold open. */
export const makeClient = (options?: Options): Effect.Effect<Client, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const app = uniqueName()
    const server = yield* watch(options?.watched)
    const scope = yield* Scope.make()
    const close = Effect.uninterruptible(Scope.close(scope, Exit.void))
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        within(close, "5 seconds"),
        // What stock leaves running would hold the locks on which the end of the test then waits.
        Effect.catchAllCause(
          server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [app]),
          () => Effect.void
        )
      )
    )
    const context = yield* Layer.build(layerOf({ applicationName: app, ...options })).pipe(Scope.extend(scope))
    return {
      sql: Context.get(context, PgClient.PgClient),
      app,
      server,
      sessions: server.sessions(app),
      until: (holds) => server.until(app, holds),
      close
    }
  })

/** Where a client finds a server of its own, over a Unix socket. */
export const onUnixSocket: Effect.Effect<Options, PostgresError, Scope.Scope> = Effect.map(
  startOnUnixSocket,
  ({ folder, port, url }) => ({
    url: undefined,
    host: folder,
    port,
    username: "postgres",
    password: Redacted.make("postgres"),
    database: "postgres",
    watched: Redacted.make(url)
  })
)

/** What an effect gives if it ends in time. It is left to itself then, whether it can be interrupted or not. */
const within = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  limit: Duration.DurationInput
): Effect.Effect<Option.Option<A>, E, R> => Effect.interruptible(Effect.timeoutOption(Effect.disconnect(effect), limit))

/**
 * A test that ends in time, and as a failure, whatever hangs in it: on stock that may be its body, the interrupt of its
 * body or its finalisers.
 */
export const hazard = (
  name: string,
  test: () => Effect.Effect<void, unknown, Scope.Scope>,
  limit: Duration.DurationInput = "12 seconds"
): void =>
  it.live(name, () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const exit = yield* within(Effect.exit(Scope.extend(test(), scope)), limit)
      const closed = yield* within(Effect.exit(Effect.uninterruptible(Scope.close(scope, Exit.void))), "10 seconds")
      if (Option.isNone(exit)) return yield* Effect.die(new Error(`It did not end within ${limit}`))
      yield* exit.value
      if (Option.isNone(closed)) return yield* Effect.die(new Error("Its scope did not close"))
      yield* closed.value
    }))

/** The failure of an effect, which must be an `SqlError`. */
export const failure = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<SqlError, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, SqlError)
    return error
  })

/** Generous: what returns at once is back within a second on any machine, also where all else hangs. */
export const atOnce = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    within(effect, "1 second"),
    (result) =>
      Option.isSome(result) ? Effect.succeed(result.value) : Effect.die(new Error("It did not return at once"))
  )

/** A caller's deadline of 200 milliseconds is kept, and what ran on the server is gone soon after. */
export const timesOut = <A, E, R>(
  { until }: Pick<Client, "until">,
  use: Effect.Effect<A, E, R>
): Effect.Effect<void, E, R> =>
  Effect.gen(function*() {
    const result = yield* atOnce(Effect.timeoutOption(use, "200 millis"))
    assert.isTrue(Option.isNone(result))
    const gone = yield* within(until(nobodySleeps), "5 seconds")
    assert.isTrue(Option.isSome(gone), "the query runs on on the server")
  })

const sleepers = (sessions: Array<Backend>): number => sessions.filter(isSleeping).length

/** So many statements are seen to run at the same time: the whole pool is usable. */
export const runTogether = ({ app, server, sql, until }: Client, count: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const fibers = yield* Effect.forEach(range(count), () => Effect.fork(Effect.exit(sql`SELECT pg_sleep(60)`)))
    yield* until((sessions) => sleepers(sessions) === count)
    yield* server.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [app])
    yield* Fiber.joinAll(fibers)
  })

/** Kills the session that sleeps. */
export const killSleeper = ({ server, until }: Pick<Client, "server" | "until">): Effect.Effect<void> =>
  Effect.flatMap(
    until((sessions) => sessions.some(isSleeping)),
    (sessions) => server.terminate(sessions.find(isSleeping)!.pid)
  )

/** Opens so many connections, and leaves them idle. */
export const open = ({ sql }: Pick<Client, "sql">, count: number): Effect.Effect<void, SqlError> =>
  Effect.scoped(Effect.all(Effect.replicate(sql.reserve, count), { concurrency: "unbounded", discard: true }))

export const range = (count: number): Array<number> => Array.from({ length: count }, (_, n) => n)
