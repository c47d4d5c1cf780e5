/** The client that a storm is let loose on. */
import { Reactivity } from "@effect/experimental"
import { PgClient } from "@effect/sql-pg"
import type { SqlError } from "@effect/sql/SqlError"
import type { Redacted } from "effect"
import { Effect, Exit, Scope } from "effect"
import { PgPool } from "effect-pgpool"
import type { Server } from "../server.js"
import { uniqueName, watch } from "../server.js"
import { Ledger } from "./ledger.js"
import { Beats } from "./moment.js"
import type { Stage } from "./operations.js"
import type { Witness } from "./witness.js"

/** `prepared` is a pool that prepares statements, `multiplex` one that shares connections besides, and `stock` is `@effect/sql-pg`, for comparison. */
export type Client = "pool" | "prepared" | "multiplex" | "stock"

export const connections = 10

export interface Subject {
  readonly client: Client
  readonly stage: Stage
  readonly witness: Witness
  readonly beats: Beats
  readonly server: Server
  /** Its `application_name`. */
  readonly app: string
  readonly table: string
  readonly close: Effect.Effect<void>
}

export const open = (
  client: Client,
  url: Redacted.Redacted,
  witness: Witness
): Effect.Effect<Subject, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* watch(url)
    const table = uniqueName()
    yield* Effect.acquireRelease(
      server.query(`CREATE TABLE ${table} (id integer NOT NULL, part integer NOT NULL)`),
      () => Effect.forkDaemon(server.query(`DROP TABLE ${table}`))
    )
    const app = uniqueName()
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const beats = new Beats()
    const options = { url, applicationName: app, stream: beats.socket }
    const pool = client === "stock" ? undefined : yield* PgPool.make({
      ...options,
      maxsize: connections,
      maxoverflow: connections,
      // So few that they push each other out all the time.
      prepare: client !== "pool" && 2,
      multiplex: client === "multiplex" && 8,
      // What takes this long must not hide behind a connection given up, and a slow machine must not look like a fault.
      cleanupTimeout: "10 seconds"
    }).pipe(Effect.provide(Reactivity.layer), Scope.extend(scope))
    const sql = pool?.client ?? (yield* PgClient.make({ ...options, maxConnections: connections }).pipe(
      Effect.provide(Reactivity.layer),
      Scope.extend(scope)
    ))
    const channels = Array.from({ length: 3 }, uniqueName)
    const ledger = new Ledger(sql, witness, table)
    return {
      client,
      stage: { sql, pool, ledger, channels },
      witness,
      beats,
      server,
      app,
      table,
      close: Scope.close(scope, Exit.void)
    }
  })
