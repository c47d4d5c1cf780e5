/** An HAProxy in front of one or several servers. */
import { Effect, Option, Redacted } from "effect"
import type { Scope } from "effect"
import { join } from "node:path"
import * as Program from "./program.js"

export interface HaProxy extends Program.Daemon {
  /** The first server's database, by way of it. */
  readonly url: Redacted.Redacted
}

export interface Options {
  readonly servers: ReadonlyArray<Redacted.Redacted>
  /** Of the `listen` section, such as `timeout queue 1s`. They win over those of the tests. */
  readonly settings?: ReadonlyArray<string> | undefined
  /** Of each server, or of the nth, such as `check inter 100`; `backup` is added to all but the first. */
  readonly server?: string | ((n: number) => string) | undefined
  /** They take turns, instead of the others being there for when the first is down. */
  readonly takesTurns?: boolean | undefined
}

const program = Program.find("haproxy")

export const isInstalled = Option.isSome(program)
if (!isInstalled) console.warn("SKIPPED: there is no haproxy on this machine, so nothing is tested behind it")

export const start = (
  { server = "check inter 100 fall 1 rise 1", servers, settings = [], takesTurns = false }: Options
): Effect.Effect<HaProxy, never, Scope.Scope> =>
  Effect.gen(function*() {
    const folder = yield* Program.makeFolder("pgpool-haproxy-")
    const port = yield* Program.freePort
    const config = join(folder, "haproxy.cfg")
    const lines = [
      "defaults",
      "mode tcp",
      "timeout connect 1s",
      "timeout client 1m",
      "timeout server 1m",
      // Without it a check has its interval: on a busy machine, servers that answer would be taken for ones that are down.
      "timeout check 5s",
      "listen postgres",
      `bind 127.0.0.1:${port}`,
      ...settings,
      ...servers.map((url, n) => {
        const { host } = new URL(Redacted.value(url))
        return `server s${n} ${host} ${typeof server === "string" ? server : server(n)} ${
          n === 0 || takesTurns ? "" : "backup"
        }`
      })
    ]
    Program.writePrivate(config, `${lines.join("\n")}\n`)
    const daemon = yield* Program.serve({
      folder,
      command: Option.getOrThrow(program),
      args: ["-db", "-f", config],
      port
    })
    const url = new URL(Redacted.value(servers[0]))
    url.port = String(port)
    return { ...daemon, url: Redacted.make(url.href) }
  })
