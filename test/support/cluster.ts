/** A primary and a standby that follows it, made with nothing but SQL and a copy of the primary's folder. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join, relative, sep } from "node:path"
import pg from "pg"
import * as Postgres from "./postgres.js"
import { eventually } from "./server.js"

export interface Cluster {
  readonly primary: Postgres.Postgres
  readonly standby: Postgres.Postgres
  /** Makes the standby a primary, and waits until it is one. The old one is not touched. */
  readonly promote: Effect.Effect<void>
}

export interface Options {
  /** A commit on the primary is acknowledged only when the standby has stored it too. */
  readonly synchronous?: boolean | undefined
}

/** For the life of the scope. */
export const start = (options?: Options): Effect.Effect<Cluster, Postgres.PostgresError, Scope.Scope> =>
  Effect.gen(function*() {
    const parameters = { synchronous_commit: "on" }
    const primary = yield* Postgres.start({ parameters })
    const backup = yield* copy(primary)
    const standby = yield* Postgres.start({
      backup,
      parameters: {
        ...parameters,
        wal_retrieve_retry_interval: "100",
        primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres password=postgres`
      }
    })
    const isStreaming = (states: string) =>
      ask(
        primary,
        `SELECT count(*) = 1 AS done FROM pg_stat_replication WHERE state = 'streaming' AND sync_state ${states}`
      )
    yield* eventually(isStreaming("IS NOT NULL"), isTrue)
    if (options?.synchronous === true) {
      yield* ask(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
      yield* ask(primary, "SELECT pg_reload_conf() AS done")
      yield* eventually(isStreaming("IN ('sync', 'quorum')"), isTrue)
    }
    return {
      primary,
      standby,
      promote: Effect.asVoid(ask(standby, "SELECT pg_promote() AS done"))
    }
  })

/**
 * A base backup by the low-level interface, since there is no pg_basebackup beside the embedded server:
 * https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
 */
const copy = ({ folder, url }: Postgres.Postgres): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function*() {
    const temporary = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "effect-pgpool-backup-"))),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    )
    const from = join(folder, "data")
    const to = join(temporary, "data")
    yield* Effect.promise(() =>
      withClient(url, async (client) => {
        await client.query("SELECT pg_backup_start('standby', true)")
        await cp(from, to, { recursive: true, filter: (path) => belongsToBackup(relative(from, path)) })
        const { rows } = await client.query<{ labelfile: string }>("SELECT labelfile FROM pg_backup_stop(false)")
        await writeFile(join(to, "backup_label"), rows[0].labelfile)
        await writeFile(join(to, "standby.signal"), "")
        await mkdir(join(to, "pg_wal", "archive_status"), { recursive: true })
      })
    )
    return to
  })

/** What the documentation names as not needed; the folders themselves must be there. */
const belongsToBackup = (path: string): boolean => {
  if (/^postmaster\.(pid|opts)$/.test(path) || basename(path).startsWith("pgsql_tmp")) return false
  const [top, ...rest] = path.split(sep)
  return rest.length === 0 ||
    !["pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"]
      .includes(top)
}

const withClient = async <A>(url: string, use: (client: pg.Client) => Promise<A>): Promise<A> => {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => {})
  await client.connect()
  return use(client).finally(() => client.end())
}

const ask = ({ url }: Postgres.Postgres, query: string): Effect.Effect<boolean> =>
  Effect.promise(() => withClient(url, async (client) => (await client.query(query)).rows[0]?.done === true))

const isTrue = (answer: boolean) => answer
