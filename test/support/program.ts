/** Programs of the system that stay in the foreground: a pooler, a load balancer. */
import { Effect, Option } from "effect"
import type { Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"

const holder = fileURLToPath(new URL("./programHolder.mjs", import.meta.url))

/** Where a program is: those of daemons are not on everybody's path. */
export const find = (name: string): Option.Option<string> =>
  Option.fromNullable(
    [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"]
      .map((folder) => join(folder, name))
      .find((file) => existsSync(file))
  )

export interface Program {
  readonly signal: (signal: NodeJS.Signals) => void
  /** Done when it has ended. */
  readonly ended: Promise<unknown>
}

export interface Daemon {
  readonly stop: (signal?: NodeJS.Signals) => Effect.Effect<void>
  readonly start: Effect.Effect<void>
  /** Starts another one, with these arguments before the others. Ends when the first has ended by itself. */
  readonly replace: (...args: ReadonlyArray<string>) => Effect.Effect<void>
}

/** Runs a program that listens on a port, until the scope is closed. */
export const serve = (
  { args, command, folder, port }: {
    readonly folder: string
    readonly command: string
    readonly args: ReadonlyArray<string>
    readonly port: number
  }
): Effect.Effect<Daemon, never, Scope.Scope> =>
  Effect.gen(function*() {
    const launch = (...first: ReadonlyArray<string>) => run(folder, command, [...first, ...args])
    let current = launch()
    yield* Effect.addFinalizer(() => Effect.promise(() => (current.end(), current.ended)))
    const isUp = Effect.promise(() => listens(port))
    yield* isUp
    return {
      stop: (signal = "SIGTERM") => Effect.promise(() => (current.signal(signal), current.ended)),
      start: Effect.zipRight(Effect.sync(() => void (current = launch())), isUp),
      replace: (...args) =>
        Effect.promise(() => {
          const { ended } = current
          current = launch(...args)
          return ended
        })
    }
  })

/** Runs a program in a folder, until it ends by itself, or by a signal, or this process ends. */
export const run = (folder: string, command: string, args: ReadonlyArray<string>): Program & { end: () => void } => {
  // Detached: a Ctrl-C in the terminal is for the tests, which end it in turn.
  const child = spawn(process.execPath, [holder, folder, command, ...args], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  child.stdin.on("error", () => {})
  return {
    signal: (signal) => void child.stdin.write(`${signal}\n`),
    ended: once(child, "exit"),
    end: () => child.stdin.end()
  }
}

/** A folder that every user may read and write, gone with the scope. */
export const makeFolder = (prefix: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), prefix))
      chmodSync(folder, 0o777)
      return folder
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

/** A file for the user that programs run as: nobody else may read it, since it may hold passwords or keys. */
export const writePrivate = (file: string, content: string): void => {
  writeFileSync(file, content, { mode: 0o600 })
  if (process.getuid?.() === 0) execFileSync("chown", ["nobody", file])
}

export const freePort: Effect.Effect<number> = Effect.promise(async () => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, "close")
  return port
})

/** Waits until somebody listens there. */
const listens = async (port: number): Promise<void> => {
  for (let attempts = 500; attempts > 0; attempts--) {
    const socket = connect(port, "127.0.0.1")
    const isOpen = await once(socket, "connect").then(() => true, () => false)
    socket.destroy()
    if (isOpen) return
    await delay(10)
  }
  throw new Error(`Nobody listens on port ${port}`)
}
