/** Pools on the server of the run, and a look at that server past every pool. */
import { Reactivity } from "@effect/experimental"
import type { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Exit, Redacted, Scope } from "effect"
import { PgPool } from "effect-pgpool"
import { randomBytes } from "node:crypto"
import * as pg from "pg"
import { afterEach, assert, inject } from "vitest"

export const serverUrl = Redacted.make(inject("pgUrl"))

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
}

/** A session of one's own on a server. */
export const watch = (url: Redacted.Redacted = serverUrl): Effect.Effect<Server, never, Scope.Scope> =>
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
      terminate: (pid) => Effect.asVoid(query("SELECT pg_terminate_backend($1, 5000)", [pid]))
    }
  })

/** Repeats an effect until what it gives is as it should be. The generous limit only ends what would never come. */
export const eventually = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  holds: (a: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    let last = yield* effect
    for (let i = 0; i < 1000 && !holds(last); i++) {
      yield* pause(10)
      last = yield* effect
    }
    if (holds(last)) return last
    return yield* Effect.die(new Error(`It never came to that: ${JSON.stringify(last, undefined, 2)}`))
  })

/** Real time, whatever the clock. */
export const pause = (millis: number): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    setTimeout(() => resume(Effect.void), millis)
  })

export interface TestPool {
  readonly pool: PgPool.PgPool
  readonly sql: PgClient.PgClient
  /** Its `application_name`. */
  readonly app: string
  readonly server: Server
  /** Its sessions on the server. */
  readonly sessions: Effect.Effect<Array<Backend>>
  readonly until: (holds: (sessions: Array<Backend>) => boolean) => Effect.Effect<Array<Backend>>
  readonly close: Effect.Effect<void>
}

/** A pool under a name of its own, for the life of the scope. */
export const makePool = (
  options?: PgPool.PgPoolOptions
): Effect.Effect<TestPool, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const app = options?.applicationName ?? uniqueName()
    const server = yield* watch()
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const pool = yield* PgPool.make({ url: serverUrl, applicationName: app, ...options }).pipe(
      Effect.provide(Reactivity.layer),
      Scope.extend(scope)
    )
    return {
      pool,
      sql: pool.client,
      app,
      server,
      sessions: server.sessions(app),
      until: (holds) => server.until(app, holds),
      close: Scope.close(scope, Exit.void)
    }
  })

/** One that has an idle connection, so that a short `acquireTimeout` is not that of a connect on a slow machine. */
export const makeWarmPool = (options: PgPool.PgPoolOptions): Effect.Effect<TestPool, SqlError, Scope.Scope> =>
  Effect.tap(
    makePool({ warm: 1, validateAfterIdle: "1 hour", ...options }),
    ({ pool }) => eventually(pool.stats, ({ idle }) => idle === 1)
  )

/** A table of one's own, gone with the scope. */
export const makeTable = (
  columns = "id integer PRIMARY KEY",
  rest = ""
): Effect.Effect<{ readonly name: string; readonly ids: Effect.Effect<Array<number>> }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* watch()
    const name = uniqueName()
    yield* Effect.acquireRelease(
      server.query(`CREATE TABLE ${name} (${columns}) ${rest}`),
      () => server.query(`DROP TABLE ${name}`)
    )
    return {
      name,
      ids: Effect.map(server.query(`SELECT id FROM ${name} ORDER BY id`), (rows) => rows.map(({ id }) => id))
    }
  })

export const pidOf = (sql: PgClient.PgClient): Effect.Effect<number, SqlError> =>
  Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, (rows) => rows[0].pid)

/** The SQLSTATE, or the system's code, below an `SqlError`. */
export const codeOf = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code

/** The tag of what is below an `SqlError`. */
export const causeTagOf = (error: unknown): unknown => (error as { cause?: { _tag?: unknown } }).cause?._tag

/** Generous: what returns at once takes no longer, on any machine. What waits for a server takes much longer. */
export const promptly = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.disconnect(effect).pipe(Effect.timeoutOption("2 seconds")),
    (result) =>
      result._tag === "Some" ? Effect.succeed(result.value) : Effect.die(new Error("It did not return promptly"))
  )

const warnings: Array<Error> = []
process.on("warning", (warning) => warnings.push(warning))

afterEach(() => {
  assert.deepStrictEqual(warnings.splice(0).map(({ message }) => message), [])
})
