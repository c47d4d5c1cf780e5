/** A script of this folder in a process of its own. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

export const args = (script: string, ...more: ReadonlyArray<string>): Array<string> => [
  // Those by which this process reads TypeScript.
  ...process.execArgv,
  "--expose-gc",
  fileURLToPath(new URL(script, import.meta.url)),
  ...more
]

/** What it prints. */
export const run = (script: string, input: string): Effect.Effect<string, unknown> =>
  Effect.tryPromise(async (signal) => {
    const child = promisify(execFile)(process.execPath, args(script), { signal })
    child.child.stdin?.end(input)
    return (await child).stdout
  })
