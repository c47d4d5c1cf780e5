/**
 * Plays cases of a misbehaving server in a process of its own: what makes that loop would make the test's own process
 * loop as well.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Line } from "./fuzzProgram.js"

export interface Report {
  readonly moments: Readonly<Record<string, number>>
  /** Megabytes, the most that there was. */
  readonly memory: number
  /** What must not have been. Empty if all is well. */
  readonly faults: ReadonlyArray<string>
}

/** Milliseconds. Its timer of 100 ms has not rung for so long. */
const silence = 20_000

export const run = (seed: number, cases: number): Effect.Effect<Report> =>
  Effect.async<Report>((resume) => {
    const program = spawn(
      process.execPath,
      ["--import", "tsx", fileURLToPath(new URL("./fuzzProgram.ts", import.meta.url)), `${seed}`, "0", `${cases - 1}`],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const running = new Set<number>()
    const moments: Record<string, number> = {}
    const faults: Array<string> = []
    let memory = 0
    let isOver = false
    const hangs = setTimeout(() => {
      faults.push(`it hangs, in one of the cases ${[...running].join(", ")}`)
      program.kill("SIGKILL")
    }, silence)
    createInterface(program.stdout).on("line", (text) => {
      hangs.refresh()
      const line: Line = JSON.parse(text)
      if (line.begin !== undefined) running.add(line.begin)
      if (line.end !== undefined) running.delete(line.end)
      if (line.moment !== undefined) moments[line.moment] = (moments[line.moment] ?? 0) + 1
      if (line.fault !== undefined) {
        faults.push(`case ${line.end ?? `one of ${[...running].join(", ")}`}: ${line.fault}`)
      }
      memory = Math.max(memory, line.memory ?? 0)
      isOver ||= line.over === true
    }).on("close", () => {
      clearTimeout(hangs)
      if (!isOver) faults.push(`it ended in one of the cases ${[...running].join(", ")}`)
      resume(Effect.succeed({ moments, memory, faults }))
    })
    return Effect.sync(() => {
      clearTimeout(hangs)
      program.kill("SIGKILL")
    })
  })
