import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, write } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import * as Program from "../../test/support/program.js"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

const command = [process.execPath, "--import", "tsx", main]

/** A run of the program itself: what it prints, and how it ends. `typed` is typed when it has printed `at`. */
const run = ([program, ...args]: ReadonlyArray<string>, typed?: { readonly at: string; readonly keys: string }) =>
  Effect.async<{ readonly status: number | null; readonly out: string; readonly err: string }>((resume) => {
    const { CI: _, ...env } = process.env
    const child = spawn(program, args, { env })
    let [out, err] = ["", ""]
    let isTyped = false
    child.stdout.on("data", (data) => {
      out += data
      if (typed === undefined || isTyped || !out.includes(typed.at)) return
      isTyped = true
      child.stdin.write(typed.keys)
    })
    child.stderr.on("data", (data) => err += data)
    child.on("close", (status) => resume(Effect.succeed({ status, out, err })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** How a run ends that is told to by Ctrl-C, when it has read what is in `pipe`, which is also its input, and waits for more. */
const interrupted = ([program, ...args]: ReadonlyArray<string>, pipe: string) =>
  Effect.async<number | null>((resume) => {
    // Nobody waits here for the other end to be opened.
    const fd = openSync(pipe, "r+")
    const child = spawn(program, args, { stdio: [fd, "ignore", "ignore"] })
    // More than a pipe holds: it is written when most of it has been read.
    write(fd, "1,5\n".repeat(200_000), () => setTimeout(() => child.kill("SIGINT"), 500))
    child.on("close", (status) => {
      closeSync(fd)
      resume(Effect.succeed(status))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const small = ["--rate", "50/s", "--hold", "10ms", "--length", "10s", "--maxsize", "2,4", "--maxwait", "auto"]

describe("the program", { timeout: 120_000 }, () => {
  it.live("ends with 0, and prints its report and nothing else", () =>
    Effect.gen(function*() {
      const { err, out, status } = yield* run([...command, ...small, "--format", "json"])
      assert.strictEqual(status, 0)
      assert.strictEqual(err, "")
      assert.isNotNull(JSON.parse(out).chosen)
    }))

  it.live("reads a file from a pipe", () =>
    Effect.gen(function*() {
      const lines = Array.from({ length: 50 }, (_, i) => `${10 * i} 5\\n`).join("")
      const planner = [...command, "--log", "/dev/stdin", "--pattern", "^(?<time>.*) (?<hold>.*)$", "--format", "json"]
      const quoted = planner.map((word) => `'${word}'`).join(" ")
      const { err, out, status } = yield* run(["sh", "-c", `printf '${lines}' | ${quoted}`])
      assert.strictEqual(status, 0, err)
      assert.strictEqual(JSON.parse(out).load.requests, 50)
    }))

  it.live("ends with 2 and one sentence if something is wrong, with no stack", () =>
    Effect.gen(function*() {
      const [name, unit, target] = yield* Effect.all([
        run([...command, "--raet", "4/s"]),
        run([...command, "--rate", "400", "--hold", "5ms"]),
        run([...command, ...small, "--target", "max-wait=0"])
      ])
      for (const { err, status } of [name, unit, target]) {
        assert.strictEqual(status, 2, err)
        assert.strictEqual(err.trim().split("\n").length, 1, err)
      }
      assert.include(name.err, "Did you mean --rate?")
      assert.include(unit.err, "--rate: 400 has no unit")
      assert.include(target.err, "No candidate meets the target")
      assert.include(target.out, "What it does not know:")
    }))

  it.live("ends with 130 at Ctrl-C while it waits for what another process writes", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(`${tmpdir()}/planner-`)
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      const pipe = `${folder}/load.csv`
      for (const [option, file] of [["--arrivals", "/dev/stdin"], ["--log", "/dev/stdin"], ["--arrivals", pipe]]) {
        execFileSync("mkfifo", [pipe])
        const status = yield* interrupted([...command, option, file, "--hold", "5ms"], pipe)
        assert.strictEqual(status, 130, `${option} ${file}`)
        rmSync(pipe)
      }
    }).pipe(Effect.scoped))

  it.live.skipIf(!existsSync("/dev/full"))(
    "ends with 1 and one sentence where its report can't be written",
    () =>
      Effect.gen(function*() {
        const planner = [...command, ...small].map((word) => `'${word}'`).join(" ")
        const { err, status } = yield* run(["sh", "-c", `${planner} > /dev/full`])
        assert.strictEqual(status, 1)
        assert.match(err, /^The report can't be written: .*\n$/)
      })
  )

  it.live.skipIf(Option.isNone(Program.find("script")))(
    "on a terminal shows a bar, and ends with 130 at Ctrl-C, quietly",
    () =>
      Effect.gen(function*() {
        const day = ["--rate", "1000/s", "--hold", "10ms", "--length", "24h"]
        const line = [...command, ...day].map((word) => `'${word}'`).join(" ")
        const { out, status } = yield* run(["script", "-qfec", line, "/dev/null"], { at: "] 0 %", keys: "\u0003" })
        assert.strictEqual(status, 130, out)
        const rest = out.replaceAll(/\^C|\r|\u001b\[2K|\[#* *\] \d+ %/g, "")
        assert.strictEqual(rest.trim(), "")
      })
  )
})
