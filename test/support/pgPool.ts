/** Pools on the server of the run, and a look at that server past every pool. */
import { Reactivity } from "@effect/experimental"
import type { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Exit, Redacted, Scope } from "effect"
import { PgPool } from "effect-pgpool"
import { afterEach, assert, inject } from "vitest"
import type { Backend, Server } from "./server.js"
import { eventually, uniqueName, watch as watchServer } from "./server.js"

export type { Backend, Server } from "./server.js"
export { eventually, pause, uniqueName } from "./server.js"

export const serverUrl = Redacted.make(inject("pgUrl"))

/** The same as variables of the environment, as libpq and everybody else names them. */
export const serverVariables = (() => {
  const { hostname, password, pathname, port, username } = new URL(Redacted.value(serverUrl))
  return { PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password, PGDATABASE: pathname.slice(1) }
})()

/** A session of one's own on a server, by default that of the run. */
export const watch = (url: Redacted.Redacted = serverUrl): Effect.Effect<Server, never, Scope.Scope> => watchServer(url)

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

export const isSleeping = ({ query, state, wait_event }: Backend): boolean =>
  state === "active" && wait_event === "PgSleep" && query.includes("pg_sleep")

export const nobodySleeps = (sessions: Array<Backend>): boolean => !sessions.some(isSleeping)

export interface Table {
  readonly name: string
  readonly ids: Effect.Effect<Array<number>>
}

/** A table of one's own, gone with the scope. */
export const makeTable = (
  columns = "id integer PRIMARY KEY",
  rest = ""
): Effect.Effect<Table, never, Scope.Scope> =>
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

/** A function of the server, for the life of the scope. Gives its name. */
export const makeFunction = (returns: string, body: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* watch()
    const name = uniqueName()
    return yield* Effect.acquireRelease(
      Effect.as(
        server.query(`CREATE FUNCTION ${name}() RETURNS ${returns} LANGUAGE plpgsql AS 'BEGIN ${body} END'`),
        name
      ),
      () => server.query(`DROP FUNCTION ${name}`)
    )
  })

/** A table for whose rows COMMIT does that. */
export const makeCommit = (what: string): Effect.Effect<Table, never, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* watch()
    const does = yield* makeFunction("trigger", `${what} RETURN NULL;`)
    const table = yield* makeTable()
    yield* server.query(`
      CREATE CONSTRAINT TRIGGER on_commit AFTER INSERT ON ${table.name}
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${does}()
    `)
    return table
  })

/** A table for whose rows COMMIT takes so many seconds. */
export const makeSlowCommit = (seconds: number): Effect.Effect<Table, never, Scope.Scope> =>
  makeCommit(`PERFORM pg_sleep(${seconds});`)

export const insert = (sql: PgClient.PgClient, table: { readonly name: string }, id: number) =>
  sql`INSERT INTO ${sql(table.name)} (id) VALUES (${id})`

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

/** Runs a statement without parameters on one connection. */
export const run = (connection: PgPool.PgConnection, text: string) => connection.executeRaw(text, [])

/** What a setting of the session is. */
export const show = (sql: PgClient.PgClient, setting: string) =>
  Effect.map(sql.unsafe<Record<string, string>>(`SHOW ${setting}`), (rows) => Object.values(rows[0])[0])
