/**
 * What the server says: the sessions of the pool in `pg_stat_activity`, seen through a connection that is none of the
 * pool's.
 */
import { Context, Data, Effect, Layer } from "effect"
import pg from "pg"

export class ObserverError extends Data.TaggedError("ObserverError")<{ readonly message: string }> {}

export class Observer extends Context.Tag("demo/Observer")<Observer, {
  /** The server processes that serve the pool, by their pids. */
  readonly sessions: Effect.Effect<ReadonlyArray<number>, ObserverError>
}>() {}

/** Sees the sessions whose `application_name` is `watched`. It may see them as the same user, so no superuser is needed. */
export const layer = (url: string, watched: string): Layer.Layer<Observer, ObserverError> =>
  Layer.scoped(
    Observer,
    Effect.gen(function*() {
      const client = yield* Effect.acquireRelease(
        Effect.try({
          try: () => new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 }),
          catch: observerError("The address of the server can't be used")
        }),
        (client) => Effect.ignore(Effect.promise(() => client.end()))
      )
      // The next query tells of a lost connection; without a listener this would end the process.
      client.on("error", () => {})
      const attempt = <A>(failure: string, f: () => Promise<A>) =>
        Effect.tryPromise({ try: f, catch: observerError(failure) })

      yield* attempt("The server can't be reached", () => client.connect())
      yield* attempt(
        "The server can't be asked",
        // Not as an option of the client: there the URL would win.
        () => client.query("SELECT set_config('application_name', $1, false)", [`${watched} observer`])
      )
      const sessions = attempt(
        "The server does not tell its sessions",
        () =>
          client.query<{ pid: number }>(
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY backend_start, pid",
            [watched]
          )
      )
      return { sessions: Effect.map(sessions, ({ rows }) => rows.map(({ pid }) => pid)) }
    })
  )

const observerError = (failure: string) => (cause: unknown) =>
  new ObserverError({ message: `${failure}: ${reason(cause)}` })

/** A refused connection to a name with several addresses has an empty message of its own. */
const reason = (cause: unknown): string =>
  cause instanceof AggregateError ?
    cause.errors.map(reason).join(", ") :
    cause instanceof Error ?
    cause.message :
    String(cause)
