/** A script of this folder in a process of its own. */
import { Data, Effect } from "effect"
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

export class ChildFailed extends Data.TaggedError("ChildFailed")<{
  readonly message: string
  readonly cause: unknown
}> {}

/** What it prints. */
export const run = (script: string, input: string): Effect.Effect<string, unknown> =>
  Effect.tryPromise({
    try: async (signal) => {
      const child = promisify(execFile)(process.execPath, args(script), { signal })
      child.child.stdin?.end(input)
      return (await child).stdout
    },
    catch: (cause) =>
      // Effect's programs say there why they failed.
      new ChildFailed({ message: `${script} failed: ${(cause as { readonly stdout?: string }).stdout ?? ""}`, cause })
  })
