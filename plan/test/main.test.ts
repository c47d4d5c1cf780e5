import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { spawn } from "node:child_process"
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
