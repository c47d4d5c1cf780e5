import { Data, Effect, Schema } from "effect"
import type { Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export class PostgresError extends Data.TaggedError("PostgresError")<{ readonly message: string }> {}

export interface Options {
  /** Server parameters, as in `postgresql.conf`. They win over the holder's own. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** The folder of another version's programs. */
  readonly programs?: string | undefined
  /** A folder with a base backup to start from, which is moved away. */
  readonly backup?: string | undefined
}

export interface Postgres {
  readonly url: string
  readonly port: number
  /** The server process that was started first. */
  readonly pid: number
  /** Holds everything of this server and is removed with it. */
  readonly folder: string
  /** `fast` says good-bye to its clients; `immediate` is a crash: their sockets just end. */
  readonly stop: (mode?: "fast" | "immediate") => Effect.Effect<void, PostgresError>
  /** Starts a stopped server again, with the same port and data. Gives the new pid. */
  readonly start: Effect.Effect<number, PostgresError>
}

const State = Schema.Struct({ port: Schema.Number, pid: Schema.Number, folder: Schema.String })
const Answer = Schema.parseJson(Schema.Union(State, Schema.Struct({ error: Schema.String })))

const holder = fileURLToPath(new URL("./postgresHolder.mjs", import.meta.url))

/**
 * A server of one's own for the life of the scope. A process of its own holds it, and ends it when the pipe to this
 * process breaks: so nothing is left behind even where no finaliser can run.
 */
export const start = (options?: Options): Effect.Effect<Postgres, PostgresError, Scope.Scope> =>
  Effect.gen(function*() {
    const { request } = yield* Effect.acquireRelease(
      Effect.sync(() => hold(options ?? {})),
      ({ end }) => Effect.promise(end)
    )
    const { folder, pid, port } = yield* request("start")
    return {
      url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
      port,
      pid,
      folder,
      stop: (mode = "fast") => Effect.asVoid(request(`stop ${mode}`)),
      start: Effect.map(request("start"), (state) => state.pid)
    }
  })

const hold = ({ backup, parameters = {}, programs }: Options) => {
  // Detached: a Ctrl-C in the terminal must not take the server away before its clients are closed.
  const args = [holder, JSON.stringify(parameters), programs ?? "", ...(backup === undefined ? [] : [backup])]
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ["pipe", "pipe", "inherit"]
  })
  const exited = once(child, "exit")
  // A write to a holder that is gone is answered by its exit.
  child.stdin.on("error", () => {})
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const mutex = Effect.unsafeMakeSemaphore(1)

  const request = (command: string) =>
    Effect.promise(() => {
      child.stdin.write(`${command}\n`)
      return answers.next()
    }).pipe(
      Effect.flatMap(({ done, value }) =>
        done === true ?
          new PostgresError({ message: "The process that holds the server ended, see its output above." }) :
          Effect.orDie(Schema.decode(Answer)(value))
      ),
      Effect.flatMap((answer) =>
        "error" in answer ? new PostgresError({ message: answer.error }) : Effect.succeed(answer)
      ),
      // An answer that nobody waits for would be taken for that of the next command.
      Effect.uninterruptible,
      mutex.withPermits(1)
    )

  const end = () => {
    child.stdin.end()
    return exited
  }

  return { request, end }
}
