/** Servers that are reached in another way than by plain TCP. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Postgres from "./postgres.js"

/** A server that also listens on a Unix socket, in `folder`. */
export const startOnUnixSocket = Effect.gen(function*() {
  const folder = yield* makeFolder("pgpool-socket-")
  const server = yield* Postgres.start({ parameters: { unix_socket_directories: folder } })
  return { ...server, folder }
})

/** A server with TLS, and its certificate: for `localhost`, signed by itself. `undefined` where there is no openssl. */
export const startWithTls = Effect.gen(function*() {
  const folder = yield* makeFolder("pgpool-tls-")
  const key = join(folder, "server.key")
  const file = join(folder, "server.crt")
  if (!makeCertificate(key, file)) return undefined
  const server = yield* Postgres.start({ parameters: { ssl: "on", ssl_cert_file: file, ssl_key_file: key } })
  return { ...server, certificate: readFileSync(file, "utf8") }
})

const makeFolder = (prefix: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), prefix))
      chmodSync(folder, 0o777)
      return folder
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

const makeCertificate = (key: string, file: string): boolean => {
  try {
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", file]
    ], { stdio: "ignore" })
  } catch {
    return false
  }
  chmodSync(key, 0o600)
  if (process.getuid?.() === 0) {
    const ids = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "nobody"])))
    for (const path of [key, file]) chownSync(path, ids[0], ids[1])
  }
  return true
}
