/** A look at a server past every pool, for tests and for programs without a test runner. */
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { randomBytes } from "node:crypto"
import * as pg from "pg"

/** A name that no other test has: of a table, a channel, an application. */
export const uniqueName = (): string => `test_${randomBytes(6).toString("hex")}`

export interface Backend {
  readonly pid: number
  readonly state: string
  readonly query: string
  readonly wait_event: string | null
}

export interface Server {
  readonly query: (text: string, values?: Array<unknown>) => Effect.Effect<Array<any>>
  /** The sessions of an application, oldest first. */
  readonly sessions: (applicationName: string) => Effect.Effect<Array<Backend>>
  /** Waits until the sessions of an application are so. */
  readonly until: (
    applicationName: string,
    holds: (sessions: Array<Backend>) => boolean
  ) => Effect.Effect<Array<Backend>>
  readonly terminate: (pid: number) => Effect.Effect<void>
  /** Sends a statement on the spot, while nobody else asks, and waits for nothing. */
  readonly unsafeSend: (text: string) => void
}

/** A session of one's own on a server. */
export const watch = (url: Redacted.Redacted): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new pg.Client({
          connectionString: Redacted.value(url),
          application_name: "test watcher",
          // A pool that leaves a lock behind must fail its test, not hang it.
          lock_timeout: 10_000
        })
        client.on("error", () => {})
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    )
    const turn = Effect.unsafeMakeSemaphore(1)
    const query: Server["query"] = (text, values) =>
      turn.withPermits(1)(Effect.map(Effect.promise(() => client.query(text, values)), ({ rows }) => rows))
    const sessions: Server["sessions"] = (applicationName) =>
      query(
        "SELECT pid, state, query, wait_event FROM pg_stat_activity WHERE application_name = $1 ORDER BY backend_start",
        [applicationName]
      )
    return {
      query,
      sessions,
      until: (applicationName, holds) => eventually(sessions(applicationName), holds),
      terminate: (pid) => Effect.asVoid(query("SELECT pg_terminate_backend($1, 5000)", [pid])),
      unsafeSend: (text) => void client.query(text)
    }
  })

/** Repeats an effect until what it gives is as it should be. The generous limit only ends what would never come. */
export const eventually = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  holds: (a: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.flatMap(within(30_000, effect, holds), (last) =>
    holds(last)
      ? Effect.succeed(last)
      : Effect.die(new Error(`It never came to that: ${JSON.stringify(last, undefined, 2)}`)))

/** What an effect gives as soon as that is as it should be, or at the end of so many milliseconds. */
export const within = <A, E, R>(
  millis: number,
  effect: Effect.Effect<A, E, R>,
  holds: (a: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const end = performance.now() + millis
    while (true) {
      const last = yield* effect
      if (holds(last) || performance.now() > end) return last
      yield* pause(10)
    }
  })

/** Real time, whatever the clock. */
export const pause = (millis: number): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    setTimeout(() => resume(Effect.void), millis)
  })

/** One statement, in a session of its own. */
export const ask = (url: string, text: string): Effect.Effect<Array<any>> =>
  Effect.scoped(Effect.flatMap(watch(Redacted.make(url)), ({ query }) => query(text)))
