/** A PgBouncer in front of a server. */
import { Effect, Option, Redacted } from "effect"
import type { Scope } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as pg from "pg"
import * as Program from "./program.js"

export interface PgBouncer extends Program.Daemon {
  /** The server's database, by way of it. */
  readonly url: Redacted.Redacted
  readonly port: number
  /** It also listens on a Unix socket in this folder. */
  readonly folder: string
  /** A command of its console, such as `SHOW POOLS`. */
  readonly admin: (command: string) => Effect.Effect<Array<any>>
  /** `SIGTERM` drops its clients at once; `SIGINT` waits until none is in a transaction. */
  readonly stop: Program.Daemon["stop"]
  /** Starts another one that takes over the sockets of the running one, with their clients (`pgbouncer -R`). */
  readonly takeOver: Effect.Effect<void>
  readonly log: Effect.Effect<string>
}

export interface Options {
  readonly server: Redacted.Redacted
  readonly mode: "session" | "transaction"
  /** Of `pgbouncer.ini`. They win over those of the tests. */
  readonly settings?: Readonly<Record<string, string | number>> | undefined
}

const program = Program.find("pgbouncer")

export const isInstalled = Option.isSome(program)
if (!isInstalled) console.warn("SKIPPED: there is no pgbouncer on this machine, so nothing is tested behind it")

export const start = (options: Options): Effect.Effect<PgBouncer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const folder = yield* Program.makeFolder("pgpool-pgbouncer-")
    const port = yield* Program.freePort
    configure(folder, port, options)
    const args = [join(folder, "pgbouncer.ini")]
    const daemon = yield* Program.serve({ folder, command: Option.getOrThrow(program), args, port })
    const url = (database: string) => {
      const url = new URL(Redacted.value(options.server))
      url.port = String(port)
      if (database !== "") url.pathname = `/${database}`
      return url.href
    }
    return {
      ...daemon,
      url: Redacted.make(url("")),
      port,
      folder,
      admin: (command) =>
        Effect.promise(async () => {
          const client = new pg.Client({ connectionString: url("pgbouncer") })
          client.on("error", () => {})
          try {
            await client.connect()
            return (await client.query(command)).rows
          } finally {
            await client.end()
          }
        }),
      takeOver: daemon.replace("-R"),
      log: Effect.sync(() => readFileSync(join(folder, "pgbouncer.log"), "utf8"))
    }
  })

const configure = (folder: string, port: number, { mode, server, settings }: Options): void => {
  const { hostname, password, port: serverPort, username } = new URL(Redacted.value(server))
  const users = join(folder, "users.txt")
  Program.writePrivate(users, `"${username}" "${password}"\n`)
  const all = {
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: folder,
    logfile: join(folder, "pgbouncer.log"),
    pidfile: join(folder, "pgbouncer.pid"),
    auth_type: "scram-sha-256",
    auth_file: users,
    admin_users: username,
    pool_mode: mode,
    // A server that comes back is to be found at once, as its own default of 15 s would not.
    server_login_retry: 1,
    ...settings
  }
  const lines = [
    "[databases]",
    `* = host=${hostname} port=${serverPort}`,
    "[pgbouncer]",
    ...Object.entries(all).map(([name, value]) => `${name} = ${value}`)
  ]
  Program.writePrivate(join(folder, "pgbouncer.ini"), `${lines.join("\n")}\n`)
}
