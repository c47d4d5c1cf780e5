/** What somebody sees who makes one of the typical mistakes of the first hour: the whole of what the program prints. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { execFile } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { serverUrl } from "./support/pgPool.js"
import { freePort } from "./support/program.js"

const program = fileURLToPath(new URL("./support/userProgram.ts", import.meta.url))

const secret = "s3cret"

/** One that takes connections, and says nothing. */
const silent = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    return server
  }),
  (server) => Effect.sync(() => server.close())
).pipe(Effect.map((server) => `postgres://user:${secret}@127.0.0.1:${(server.address() as AddressInfo).port}/app`))

const serverWith = (change: (url: URL) => void): string => {
  const url = new URL(Redacted.value(serverUrl))
  change(url)
  return url.href
}

type Environment = Readonly<Record<string, string>>

/** What is in the environment, and the reason that is to be told. */
const mistakes: Record<string, [env: Effect.Effect<Environment, never, any>, reason: RegExp]> = {
  "wrong option": [Effect.succeed({ DATABASE_URL: Redacted.value(serverUrl), PGPOOL_MAXSIZ: "3" }), /PGPOOL_MAXSIZ\b/g],
  "seconds for milliseconds": [
    Effect.map(silent, (url) => ({ DATABASE_URL: url, PGPOOL_CONNECT_TIMEOUT: "5" })),
    /connect took longer/g
  ],
  "wrong password": [
    Effect.sync(() => ({ DATABASE_URL: serverWith((url) => url.password = secret) })),
    /password authentication failed for user/g
  ],
  "no such database": [
    Effect.sync(() => ({ DATABASE_URL: serverWith((url) => url.pathname = "/nowhere") })),
    /database "nowhere" does not exist/g
  ],
  // A developer's machine may well have a server there, which does not know this user.
  "no DATABASE_URL": [
    Effect.succeed({ USER: "nobody_of_that_name" }),
    /ECONNREFUSED|authentication failed|"nobody_of_that_name" does not exist|password, and none was given/g
  ],
  "server away": [
    Effect.map(freePort, (port) => ({ DATABASE_URL: `postgres://user:${secret}@127.0.0.1:${port}/app` })),
    /ECONNREFUSED/g
  ]
}

const run = (how: string, env: Environment): Effect.Effect<string> =>
  Effect.async((resume) => {
    const { PATH = "" } = process.env
    const times = { PGPOOL_ACQUIRE_TIMEOUT: "1 second", PGPOOL_OUTAGE_TIMEOUT: "1 second" }
    const child = execFile(
      process.execPath,
      ["--import", "tsx", program, how],
      { env: { PATH, ...times, ...env } },
      (_error, stdout, stderr) => resume(Effect.succeed(`${stdout}${stderr}`))
    )
    return Effect.sync(() => child.kill())
  })

/** Without the place in its own code that Node points at, and its version. */
const withoutNode = (printed: string): string =>
  printed.replace(/^node:internal.*\n.*\n *\^\n\n/m, "").replace(/\nNode\.js v.*\n/, "")

describe("R32: a mistake of the first hour is told in at most 15 lines, with the reason once", () => {
  for (const [name, [makeEnv, reason]] of Object.entries(mistakes)) {
    it.scopedLive(`${name}, by runMain`, () =>
      Effect.gen(function*() {
        const printed = yield* run("runMain", yield* makeEnv)
        isReadable(printed)
        const error = printed.slice(printed.indexOf("ERROR"))
        assert.lengthOf(error.match(reason) ?? [], 1, printed)
        assert.notInclude(error, "[cause]", printed)
        assert.deepStrictEqual(framesOf(error).filter((frame) => !frame.includes("listUsers")), [], printed)
        // What goes wrong when the layer is built is not in the span of what it is provided to.
        if (name !== "wrong option") assert.match(error, /at listUsers \(.*userProgram\.ts/, printed)
      }), 60_000)

    it.scopedLive(`${name}, by runPromise, which nobody catches`, () =>
      Effect.gen(function*() {
        const printed = withoutNode(yield* run("runPromise", yield* makeEnv))
        isReadable(printed)
        const error = printed.slice(printed.search(/^\[?(SqlError|Error)/m))
        assert.deepStrictEqual(framesOf(error).filter((frame) => !frame.includes("listUsers")), [], printed)
        // Node prints the headline, and then Effect's `Cause`, which has the error once more.
        assert.isAtMost(error.match(reason)?.length ?? 0, 2, printed)
        assert.notInclude(error, "[cause]", printed)
      }), 60_000)
  }
})

const framesOf = (printed: string): ReadonlyArray<string> => printed.split("\n").filter((line) => /^\s+at /.test(line))

const isReadable = (printed: string): void => {
  assert.isAtMost(printed.trimEnd().split("\n").length, 15, printed)
  assert.notInclude(printed, "node_modules", printed)
  assert.notInclude(printed, secret, printed)
}
