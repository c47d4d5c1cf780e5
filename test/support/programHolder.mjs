// Holds one program that stays in the foreground: `node programHolder.mjs <folder> <command> [arguments...]`. Each line
// of its input is a signal for the program. When the input ends, in whatever way the process at its other end ended,
// the program is killed and the folder removed.

import { execFileSync, spawn } from "node:child_process"
import { rm } from "node:fs/promises"
import { createInterface } from "node:readline"

const [folder = "", command = "", ...args] = process.argv.slice(2)

// PgBouncer refuses to run as root.
const user = process.getuid?.() !== 0
  ? {}
  : { uid: Number(execFileSync("id", ["-u", "nobody"])), gid: Number(execFileSync("id", ["-g", "nobody"])) }

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})
// The one who asked may be dead when there is something to tell.
process.stdout.on("error", () => {})

const child = spawn(command, args, { ...user, cwd: folder, stdio: ["ignore", "inherit", "inherit"] })
let hasAbandoned = false

child.once("exit", async () => {
  if (hasAbandoned) await rm(folder, { recursive: true, force: true })
  process.exit(0)
})

for await (const signal of createInterface({ input: process.stdin })) {
  child.kill(/** @type {NodeJS.Signals} */ (signal))
}
hasAbandoned = true
child.kill("SIGKILL")
