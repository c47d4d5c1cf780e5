/** The processes of a server. */
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"

/** Linux only: PostgreSQL's processes have sessions of their own, so no signal reaches them all. */
const childrenOf = (parent: number): Array<number> =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      // The name of the program may have spaces, and stands in parentheses.
      return Number(readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]) === parent
    } catch {
      return false
    }
  })

const send = (pids: ReadonlyArray<number>, signal: NodeJS.Signals) => {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It is gone.
    }
  }
}

/** Stops processes for so many milliseconds; they go on in any case. */
export const freeze = (pids: ReadonlyArray<number>, millis: number): Effect.Effect<void> =>
  Effect.acquireUseRelease(
    Effect.sync(() => send(pids, "SIGSTOP")),
    () => Effect.sleep(millis),
    () => Effect.sync(() => send(pids, "SIGCONT"))
  )

export const all = (server: { readonly pid: number }): Array<number> => [server.pid, ...childrenOf(server.pid)]

export const kill = (pid: number): Effect.Effect<void> => Effect.sync(() => send([pid], "SIGKILL"))
