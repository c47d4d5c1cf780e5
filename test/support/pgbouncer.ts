/** A PgBouncer in front of a server. */
import { Effect, Option, Redacted } from "effect"
import type { Scope } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as pg from "pg"
import * as Program from "./program.js"

export interface PgBouncer {
  /** The server's database, by way of it. */
  readonly url: Redacted.Redacted
  readonly port: number
  /** It also listens on a Unix socket in this folder. */
  readonly folder: string
  /** A command of its console, such as `SHOW POOLS`. */
  readonly admin: (command: string) => Effect.Effect<Array<any>>
  /** `SIGTERM` drops its clients at once; `SIGINT` waits until none is in a transaction. */
  readonly stop: (signal?: "SIGTERM" | "SIGINT" | "SIGKILL") => Effect.Effect<void>
  readonly start: Effect.Effect<void>
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
    const command = Option.getOrThrow(program)
    const config = join(folder, "pgbouncer.ini")
    const launch = (...args: ReadonlyArray<string>) => Program.run(folder, command, [...args, config])
    let current = launch()
    yield* Effect.addFinalizer(() => Effect.promise(() => (current.end(), current.ended)))
    const isUp = Effect.promise(() => Program.listens(port))
    yield* isUp
    const url = (database: string) => {
      const url = new URL(Redacted.value(options.server))
      url.port = String(port)
      if (database !== "") url.pathname = `/${database}`
      return url.href
    }
    return {
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
      stop: (signal = "SIGTERM") => Effect.promise(() => (current.signal(signal), current.ended)),
      start: Effect.zipRight(Effect.sync(() => void (current = launch())), isUp),
      takeOver: Effect.promise(async () => {
        const old = current
        current = launch("-R")
        await old.ended
      }),
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
