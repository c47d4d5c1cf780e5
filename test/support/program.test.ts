import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { eventually } from "./pgPool.js"
import * as Program from "./program.js"

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Tells who it is in a file, and stays. */
const program = ["/bin/sh", ["-c", "echo $$ > pid; exec sleep 600"]] as const

const pidIn = (folder: string) =>
  Effect.map(
    eventually(
      Effect.sync(() => existsSync(join(folder, "pid")) ? readFileSync(join(folder, "pid"), "utf8") : ""),
      (text) => text.endsWith("\n")
    ),
    Number
  )

describe("Program", () => {
  it.scopedLive("ends by a signal", () =>
    Effect.gen(function*() {
      const folder = yield* Program.makeFolder("pgpool-program-")
      const { ended, signal } = Program.run(folder, ...program)
      const pid = yield* pidIn(folder)
      signal("SIGTERM")
      yield* Effect.promise(() => ended)
      assert.isFalse(isAlive(pid))
      assert.isTrue(existsSync(folder))
    }))

  it.scopedLive("ends with who started it, in whatever way that ends, and leaves no folder behind", () =>
    Effect.gen(function*() {
      const folder = yield* Program.makeFolder("pgpool-program-")
      const holder = fileURLToPath(new URL("./programHolder.mjs", import.meta.url))
      // Its input is the pipe of a process that is killed.
      const parent = spawn(process.execPath, [
        "-e",
        `require("child_process").spawn(process.execPath, ${
          JSON.stringify([holder, folder, program[0], ...program[1]])
        },
          { detached: true, stdio: ["pipe", "ignore", "ignore"] }); setInterval(() => {}, 1000)`
      ])
      const pid = yield* pidIn(folder)
      parent.kill("SIGKILL")
      yield* Effect.promise(() => once(parent, "exit"))
      yield* eventually(Effect.sync(() => isAlive(pid) || existsSync(folder)), (isLeft) => !isLeft)
    }))
})
